use clearway_core::supervisor::{Cause, LifePhase, Phase};

use super::*;
use crate::command::tests::names;
use crate::front::api::{GenerationStatus, Holding, LastAttempt, ProgramStatus, Refused};
use crate::path::canary::CanaryAsks;

/// With something in every field that may have something.
fn full() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 1,
        instance: Some("web".into()),
        state: Phase::Serving,
        haproxy: Some("3.0.11".into()),
        generations: vec![
            GenerationStatus {
                generation: 1,
                state: LifePhase::Draining,
                master: 7,
                worker: None,
                seconds: Some(12),
                sessions: Some(3),
                memory: Some(20 << 20),
            },
            GenerationStatus {
                generation: 2,
                state: LifePhase::Serving,
                master: 17,
                worker: Some(18),
                seconds: Some(12),
                sessions: None,
                memory: None,
            },
        ],
        programs: vec![ProgramStatus {
            name: "api".to_owned(),
            state: "running".to_owned(),
            pid: Some(17),
            seconds: Some(3),
        }],
        last_attempt: Some(LastAttempt {
            moved: Vec::new(),
            carried: clearway_core::supervisor::Carried::default(),
            generation: 3,
            failure: Some(Refused {
                code: 65,
                message: "HAProxy refused the configuration".into(),
                words: vec!["[ALERT] unknown keyword".into()],
                lines: vec!["haproxy.cfg:5: bind nonsense".into()],
                hints: Vec::new(),
            }),
            applied: None,
            not_applied: vec!["haproxy.cfg:2: the bind line has changed".into()],
            seconds_ago: 5,
            cause: Cause::Reload,
            at: Some("2026-11-29T12:24:58Z".into()),
        }),
        crashes_in_a_row: 0,
        crashes: 2,
        crashes_since_reload: 1,
        last_crash: Some(Crash {
            generation: 1,
            how: "killed by SIGSEGV".into(),
            seconds_ago: 60,
            at: "2026-11-29T12:24:03Z".into(),
        }),
        rolled_back: serde_json::from_value(serde_json::json!({
            "to": 1, "from": 3, "at": "2026-11-29T12:24:50Z", "seconds_ago": 9, "note": "not the maps",
        }))
        .unwrap(),
        strategy: clearway_core::strategy::Strategy::default(),
        redirected: Vec::new(),
        custody: vec!["0.0.0.0:80".into(), "[::]:443".into()],
        plumbing: serde_json::from_value(serde_json::json!({
            "table": "clearway_web_0_1", "mark": 536_870_912, "route_table": 7, "preferences": [901, 902, 903],
            "owner": true, "wildcard_guard": true, "families": ["ipv4"], "loopback": ["127.0.0.1:81"], "own": false,
            "reply_mark": null, "late_reset": false, "intercepts": ["10.2.0.0/16 port 80"], "fail": "closed",
        }))
        .unwrap(),
        canary_asks: Some(CanaryAsks { seconds: 7, done: 2, servers: 9 }),
        run_directory: None,
        holder: None,
        started: None,
        incomplete: None,
        network_gone: false,
        obstacles: Vec::new(),
        canary: serde_json::from_value(serde_json::json!([
            {"address": "10.2.0.2:80", "verdict": "works", "words": "the return path works"},
            {"address": "10.2.0.3:80", "verdict": "broken", "words": "no return path"},
        ]))
        .unwrap(),
        configuration: Some(crate::front::api::OnDisk {
            same: false,
            words: "haproxy.cfg has changed".into(),
        }),
        strangers: vec!["0.0.0.0:80 held by nginx (pid 9) takes clients of 0.0.0.0:80".into()],
    }
}

#[test]
fn a_status_can_be_read_by_a_person() {
    let status = full();
    assert_eq!(
        in_words(&status),
        "serving (clearway 0.1.0, pid 1, instance web, HAProxy 3.0.11)\n\
         generation 1 draining for 12 s, 3 sessions, 20 MiB, master 7\n\
         generation 2 serving for 12 s, master 17, worker 18\n\
         program api running for 3 s, pid 17\n\
         the last reload DID NOT TAKE, 5 s ago (2026-11-29T12:24:58Z), as generation 3: HAProxy refused the configuration\n\
         not applied at run time: haproxy.cfg:2: the bind line has changed\n  \
           [ALERT] unknown keyword\n\
         ROLLED BACK: what generation 1 was started from serves again since 9 s (2026-11-29T12:24:50Z), in place of that of \
         generation 3; a reload takes what is on disk\n\
         configuration: haproxy.cfg has changed\n\
         STRANGER: 0.0.0.0:80 held by nginx (pid 9) takes clients of 0.0.0.0:80\n\
         crashes: 2 in all, 1 since a reload was asked for; the last one 60 s ago (2026-11-29T12:24:03Z): generation 1 \
         (killed by SIGSEGV)\n\
         in custody: 0.0.0.0:80, [::]:443\n\
         plumbing: table inet clearway_web_0_1, mark 0x20000000, route table 7\n\
         intercepted: 10.2.0.0/16 port 80 (fails closed)\n\
         canary: still asking, for 7 s: 2 of 9 transparent servers done\n\
         canary: the server 10.2.0.3:80: no return path\n"
    );
}

#[test]
fn a_network_that_is_gone_is_said() {
    let words = in_words(&Status { network_gone: true, ..full() });
    assert!(words.contains("\nUNREACHABLE: the network is gone: no interface but `lo` is left"), "{words}");
    assert!(!in_words(&full()).contains("UNREACHABLE"));
}

/// One of a later version may have words, fields and shapes that this one does not know.
#[test]
fn the_status_of_a_later_version_can_be_read() {
    let status: Status = serde_json::from_value(serde_json::json!({
        "version": "9.0.0", "pid": 7, "instance": null, "state": "dreaming", "haproxy": null, "crashes_in_a_row": 0,
        "generations": [{"generation": 1, "state": "resting", "master": 8, "worker": null, "seconds": 1, "sessions": 0}],
        "last_attempt": null, "custody": [], "plumbing": {"table": 9}, "new": true,
        "canary": [{"address": "10.2.0.2:80", "verdict": "hums", "words": "it hums"}],
        "obstacles": [{"kind": "invented", "severity": "problem", "saw": "it", "matters": "much", "remedy": "none"}],
    }))
    .unwrap();
    assert_eq!((status.state, status.generations[0].state), (Phase::Unknown, LifePhase::Unknown));
    assert_eq!((status.plumbing, status.canary[0].verdict), (None, CanaryVerdict::Unknown));
}

#[test]
fn a_start_a_reload_and_a_crash_are_told_apart() {
    let told = |cause| {
        let attempt = serde_json::json!({"generation": 2, "failure": null, "seconds_ago": 3, "cause": cause, "at": "T"});
        attempted(&serde_json::from_value(attempt).unwrap())
    };
    assert_eq!(told("start"), "the start succeeded, 3 s ago (T)");
    assert_eq!(told("reload"), "the last reload succeeded, 3 s ago (T)");
    let applied = serde_json::json!({
        "generation": 2, "failure": null, "seconds_ago": 3, "at": "T", "cause": "reload", "applied": "1 map"
    });
    let applied = attempted(&serde_json::from_value(applied).unwrap());
    assert_eq!(applied, "the last change was applied at run time, 3 s ago (T): 1 map");
    assert_eq!(told("crash"), "a crash started generation 2, 3 s ago (T)");
    let earlier = serde_json::json!({"generation": 2, "failure": null, "seconds_ago": 3});
    let earlier = attempted(&serde_json::from_value(earlier).unwrap());
    assert_eq!(earlier, "the last start or reload succeeded, 3 s ago");
}

#[test]
fn the_page_about_the_json_names_every_field() {
    let page = include_str!("../../../../../../docs/reference/status-json.md");
    let mut status = full();
    status.obstacles = vec![crate::path::obstacles::Obstacle::new(
        crate::path::obstacles::ObstacleSeverity::Problem,
        "a rule",
        "it matters",
        "remove it",
    )];
    let mut found = Vec::new();
    names(&serde_json::to_value(&status).unwrap(), &mut found);
    let holding = Holding {
        version: String::new(),
        pid: 7,
        instance: "web".to_owned(),
        state: "holding".to_owned(),
        balancer_serves: false,
        failed_starts: 0,
        sockets: Vec::new(),
        seconds_left: None,
    };
    names(&serde_json::to_value(&holding).unwrap(), &mut found);
    assert!(found.len() > 50, "{found:?}");
    for name in found {
        assert!(page.contains(&format!("`{name}`")), "docs/reference/status-json.md lacks `{name}`");
    }
}
