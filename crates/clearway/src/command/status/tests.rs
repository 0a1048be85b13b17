use super::*;
use crate::admin::api::{GenerationStatus, LastAttempt, Refused};

#[test]
fn a_status_can_be_read_by_a_person() {
    let status = Status {
        version: "0.1.0".into(),
        pid: 1,
        instance: Some("web".into()),
        state: "serving".into(),
        haproxy: Some("3.0.11".into()),
        generations: vec![
            GenerationStatus {
                generation: 1,
                state: "draining".into(),
                master: 7,
                worker: None,
                seconds: Some(12),
                sessions: Some(3),
            },
            GenerationStatus {
                generation: 2,
                state: "serving".into(),
                master: 17,
                worker: Some(18),
                seconds: Some(12),
                sessions: None,
            },
        ],
        last_attempt: Some(LastAttempt {
            moved: Vec::new(),
            generation: 3,
            failure: Some(Refused {
                code: 65,
                message: "HAProxy refused the configuration".into(),
                words: vec!["[ALERT] unknown keyword".into()],
                hints: Vec::new(),
            }),
            seconds_ago: 5,
        }),
        crashes_in_a_row: 0,
        strategy: clearway_core::strategy::Strategy::default(),
        redirected: Vec::new(),
        custody: vec!["0.0.0.0:80".into(), "[::]:443".into()],
        plumbing: Some(
            serde_json::json!({"table": "clearway_web_0_1", "mark": 536_870_912, "route_table": 7}),
        ),
        obstacles: Vec::new(),
        canary: serde_json::from_value(serde_json::json!([
            {"address": "10.2.0.2:80", "verdict": "works", "words": "the way of the clients works"},
            {"address": "10.2.0.3:80", "verdict": "broken", "words": "no way back"},
        ]))
        .unwrap(),
        configuration: Some(crate::admin::api::OnDisk {
            same: false,
            words: "haproxy.cfg has changed".into(),
        }),
        strangers: vec!["0.0.0.0:80 held by nginx (pid 9) takes clients of 0.0.0.0:80".into()],
    };
    assert_eq!(
        in_words(&status),
        "serving (clearway 0.1.0, pid 1, instance web, HAProxy 3.0.11)\n\
         generation 1 draining for 12 s, 3 session(s), master 7\n\
         generation 2 serving for 12 s, master 17, worker 18\n\
         the last start or reload DID NOT TAKE, 5 s ago (generation 3): HAProxy refused the configuration\n  \
           [ALERT] unknown keyword\n\
         configuration: haproxy.cfg has changed\n\
         STRANGER: 0.0.0.0:80 held by nginx (pid 9) takes clients of 0.0.0.0:80\n\
         in custody: 0.0.0.0:80, [::]:443\n\
         plumbing: table inet clearway_web_0_1, mark 0x20000000, route table 7\n\
         canary: the server 10.2.0.3:80: no way back\n"
    );
}
