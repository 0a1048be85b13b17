use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::names::Generation;
use crate::strategy::Means;
use crate::supervisor::{
    Action, AttemptResult, Attempted, Carried, Cause, Next, Peer, Report, Source, Steps, Turn,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn sent(resets: u64) -> NetworkCounters {
    NetworkCounters { resets_sent: Some(resets), ..NetworkCounters::default() }
}

/// A socket that listens at this port, with so many clients in its queue and so many packets dropped.
fn socket(inode: u64, port: u16, waiting: u32, drops: u32) -> QueueSeen {
    QueueSeen { inode, address: SocketAddr::from(([10, 0, 0, 1], port)), waiting, drops: Some(drops) }
}

fn client(port: u16) -> ClientEnds {
    (address("10.0.0.1:80"), SocketAddr::from(([10, 0, 0, 9], port)))
}

/// A look of which these inodes are ours.
fn look<const N: usize>(at: u64, sockets: &[QueueSeen], ours: [u64; N], clients: &[ClientEnds]) -> CostLook {
    CostLook {
        at: ms(at),
        sockets: sockets.to_vec(),
        ours: ours.into(),
        clients: Some(clients.iter().copied().collect()),
    }
}

/// A window of these looks, each at its time, and the counter of resets at its beginning and at its end.
fn window(looks: Vec<CostLook>, resets: [u64; 2]) -> CostFigures {
    let end = looks.last().unwrap().at;
    let mut watch = CostWatch::begin(sent(resets[0]), None, ms(0));
    for look in looks {
        watch.look(Some(look));
    }
    watch.end([sent(resets[1]); 2], end).window
}

#[test]
fn what_our_sockets_dropped_in_the_window_is_counted_and_what_others_dropped_is_not() {
    let looks = vec![
        look(0, &[socket(1, 80, 0, 5), socket(2, 81, 0, 7)], [1], &[]),
        look(10, &[socket(1, 80, 0, 8), socket(2, 81, 0, 9)], [1], &[]),
        // A new one of ours: all that it dropped is of this window.
        look(20, &[socket(1, 80, 0, 8), socket(3, 82, 0, 2)], [1, 3], &[]),
    ];
    let figures = window(looks, [0, 4]);
    assert_eq!(figures.dropped, Some(5));
    assert_eq!((figures.refused, figures.reset), (Some(0), Some(0)), "each of ours listened all the time");
    assert_eq!(figures.network.resets_sent, Some(4));
}

#[test]
fn clients_of_a_socket_that_is_closed_are_reset_if_a_reset_was_sent() {
    let looks = |waiting| {
        vec![
            look(0, &[socket(1, 80, 0, 0), socket(2, 81, 0, 0)], [1, 2], &[]),
            look(10, &[socket(1, 80, 0, 0), socket(2, 81, waiting, 0)], [1, 2], &[]),
            look(20, &[socket(1, 80, 0, 0)], [1], &[]),
        ]
    };
    let figures = window(looks(3), [0, 3]);
    assert_eq!((figures.reset, figures.refused), (Some(3), None), "nothing counts what is refused there");
    let figures = window(looks(3), [3, 3]);
    assert_eq!((figures.reset, figures.refused), (Some(0), Some(0)), "no reset was sent at all");
    assert_eq!(window(looks(0), [0, 3]).reset, Some(0), "no client was in the queue");
}

#[test]
fn a_socket_that_is_closed_right_after_the_last_look_is_not_quiet_in_the_time_after() {
    let mut watch = CostWatch::begin(sent(0), None, ms(0));
    let listening = [socket(1, 80, 1, 0)];
    watch.look(Some(look(0, &listening, [1], &[client(1)])));
    watch.look(Some(look(10, &listening, [1], &[client(1)])));
    // The reset is sent after the look, and before the counters are read again.
    let window = watch.end([sent(0), sent(1)], ms(10)).window;
    assert_eq!((window.reset, window.refused, window.network.resets_sent), (Some(0), Some(0), Some(0)));
    watch.look(Some(look(20, &[], [1], &[])));
    let after = watch.conclude(sent(1), ms(1010)).unwrap().after.unwrap();
    assert_eq!((after.reset, after.refused, after.network.resets_sent), (Some(1), None, Some(1)));
}

#[test]
fn an_address_that_has_gone_in_the_window_may_refuse_clients_in_the_time_after() {
    let mut watch = CostWatch::begin(sent(0), None, ms(0));
    watch.look(Some(look(0, &[socket(1, 80, 0, 0), socket(2, 81, 0, 0)], [1, 2], &[])));
    watch.look(Some(look(10, &[socket(1, 80, 0, 0)], [1], &[])));
    assert_eq!(watch.end([sent(0); 2], ms(10)).window.refused, Some(0), "no reset was sent yet");
    watch.look(Some(look(20, &[socket(1, 80, 0, 0)], [1], &[])));
    let after = watch.conclude(sent(1), ms(1010)).unwrap().after.unwrap();
    assert_eq!((after.refused, after.reset), (None, Some(0)));
}

#[test]
fn a_dump_that_misses_a_socket_once_resets_no_client() {
    let looks = vec![
        look(0, &[socket(1, 80, 2, 0)], [1], &[]),
        look(10, &[], [1], &[]),
        look(20, &[socket(1, 80, 2, 0)], [1], &[]),
    ];
    assert_eq!(window(looks, [0, 1]).reset, Some(0));
}

#[test]
fn the_longest_wait_is_that_of_one_client_and_no_shorter_than_the_looks_are_apart() {
    let listening = [socket(1, 80, 1, 0)];
    let looks = vec![
        look(0, &listening, [1], &[]),
        look(10, &listening, [1], &[client(1)]),
        look(20, &listening, [1], &[client(1), client(2)]),
        look(50, &listening, [1], &[client(2)]),
        look(60, &listening, [1], &[]),
    ];
    let figures = window(looks, [0, 0]);
    // The second one: from 20 to 50 at least, from 10 to 60 at most.
    assert_eq!((figures.waited, figures.waited_at_most), (Some(ms(30)), Some(ms(50))));
    let figures = window(vec![look(0, &listening, [1], &[]), look(17, &listening, [1], &[])], [0, 0]);
    assert_eq!((figures.waited, figures.waited_at_most), (Some(ms(0)), Some(ms(17))));
    assert!(figures.to_string().ends_with(", longest wait in queue under 18 ms"), "{figures}");
}

#[test]
fn one_that_waits_through_the_end_of_the_window_is_in_both_parts() {
    let listening = [socket(1, 80, 1, 0)];
    let mut watch = CostWatch::begin(sent(0), None, ms(0));
    watch.look(Some(look(0, &listening, [1], &[])));
    watch.look(Some(look(10, &listening, [1], &[client(1)])));
    watch.look(Some(look(100, &listening, [1], &[client(1)])));
    let cost = watch.end([sent(0); 2], ms(100));
    assert_eq!((cost.window.waited, cost.window.waited_at_most), (Some(ms(90)), Some(ms(100))));
    watch.look(Some(look(300, &listening, [1], &[])));
    let cost = watch.conclude(sent(2), ms(300)).unwrap();
    let after = cost.after.unwrap();
    assert_eq!((after.waited, after.waited_at_most), (Some(ms(90)), Some(ms(300))));
    assert_eq!((after.seconds, after.network.resets_sent), (ms(200), Some(2)), "its own time and counters");
}

#[test]
fn what_cannot_be_looked_at_is_unknown() {
    let mut watch = CostWatch::begin(NetworkCounters::default(), None, ms(0));
    watch.look(Some(look(0, &[socket(1, 80, 0, 0)], [1], &[])));
    watch.look(None);
    let figures = watch.end([NetworkCounters::default(); 2], ms(10)).window;
    assert_eq!(CostFigures { seconds: ms(10), ..CostFigures::default() }, figures);
    assert_eq!(
        figures.to_string(),
        "refused unknown, reset unknown, dropped unknown, longest wait in queue unknown"
    );
    // Sockets of another network namespace are not in the list, and a kernel may not tell what they dropped.
    assert_eq!(window(vec![look(0, &[socket(1, 80, 0, 0)], [2], &[])], [0, 1]).dropped, None);
    let silent = QueueSeen { drops: None, ..socket(1, 80, 0, 0) };
    assert_eq!(window(vec![look(0, &[silent], [1], &[])], [0, 1]).dropped, None);
    let nameless = CostLook { clients: None, ..look(0, &[socket(1, 80, 1, 0)], [1], &[]) };
    let figures = window(vec![nameless], [0, 1]);
    assert_eq!((figures.waited, figures.waited_at_most, figures.dropped), (None, None, Some(0)));
}

#[test]
fn a_watch_looks_often_at_first_and_for_a_second_afterwards() {
    let mut watch = CostWatch::begin(sent(0), None, ms(0));
    assert_eq!(watch.pause(ms(0), ms(0)), Some(PACE));
    assert_eq!(watch.pause(ms(8), ms(0)), Some(ms(80)), "a tenth of the time");
    assert_eq!(watch.pause(ms(0), ms(50_000)), Some(ms(50)));
    assert_eq!(watch.pause(ms(0), ms(36_000_000)), Some(ms(1000)));
    watch.look(Some(look(0, &[], [], &[])));
    watch.end([sent(0); 2], ms(500));
    assert_eq!(watch.pause(ms(0), ms(600)), Some(PACE));
    assert_eq!(watch.pause(ms(0), ms(1495)), Some(ms(5)), "not beyond the end");
    assert_eq!(watch.pause(ms(0), ms(1500)), None);
}

#[test]
fn a_cost_is_one_line_and_survives_the_way_over_json() {
    let figures = CostFigures {
        seconds: ms(500),
        refused: Some(0),
        reset: Some(0),
        dropped: Some(3),
        waited: Some(ms(300)),
        waited_at_most: Some(ms(312)),
        network: sent(2),
    };
    let before = CostBefore { seconds: ms(9800), network: sent(2) };
    let cost = Cost { before: Some(before), window: figures, after: None, gate: None };
    assert_eq!(
        cost.to_string(),
        "0 refused, 0 reset, 3 dropped (resets sent namespace-wide: 2, before 2 in 9.8 s), \
         longest wait in queue 300 to 312 ms"
    );
    let after = CostFigures { refused: None, seconds: ms(1000), ..figures };
    let cost = Cost { after: Some(after), ..cost };
    assert!(cost.to_string().contains(" ms; in the 1.0 s after: refused unknown, 0 reset, "), "{cost}");
    let dropping = |dropped| CostGate { by: Means::SynDrop, seconds: ms(22), held: None, dropped };
    for (gate, words) in [
        (dropping(Some(7)), "; 7 SYNs dropped in 22 ms (syn-drop)"),
        (dropping(None), "; SYNs dropped for 22 ms (syn-drop), not counted"),
    ] {
        let cost = Cost { gate: Some(gate), ..cost.clone() };
        assert!(cost.to_string().ends_with(words), "{cost}");
        let json = serde_json::to_value(&cost).unwrap();
        assert_eq!(serde_json::from_value::<Cost>(json).unwrap(), cost);
    }
    let gate = CostGate { by: Means::Plug, seconds: ms(43), held: Some(1), dropped: None };
    let cost = Cost { gate: Some(gate), ..cost };
    assert!(cost.to_string().ends_with("; 1 SYN held for 43 ms at most (plug)"), "{cost}");
    let json = serde_json::to_value(&cost).unwrap();
    assert_eq!(json["window"]["waited_seconds"], 0.3);
    assert!(json["after"]["refused"].is_null() && json["before"]["seconds"] == 9.8, "{json}");
    assert_eq!(serde_json::from_value::<Cost>(json).unwrap(), cost);
    let later = serde_json::json!({"window": {"seconds": -1, "waited_seconds": 1e300, "more": 7}});
    assert_eq!(serde_json::from_value::<Cost>(later).unwrap(), Cost::default());
}

#[test]
fn counters_are_read_by_their_names_and_compared() {
    let of = |number: u64| {
        NetworkCounters::of(move |line, name| (line == "TcpExt" && name == "ListenDrops").then_some(number))
    };
    assert_eq!(of(7).listen_drops, Some(7));
    assert_eq!(of(7).since(of(5)), NetworkCounters { listen_drops: Some(2), ..NetworkCounters::default() });
    assert_eq!(of(5).since(of(7)).listen_drops, None, "it went backwards");
    assert_eq!(of(5).since(NetworkCounters::default()).listen_drops, None);
}

#[test]
fn the_time_before_is_compared_with_a_glance_that_is_a_second_old() {
    let mut baseline = Baseline::default();
    assert_eq!(baseline.until(sent(3), ms(5000)), None, "nothing was seen before");
    for (resets, at) in [(1, 0), (2, 10_000), (3, 10_500), (5, 19_500)] {
        baseline.note(sent(resets), ms(at));
    }
    let before = baseline.until(sent(6), ms(20_000)).unwrap();
    assert_eq!((before.seconds, before.network), (ms(10_000), sent(4)), "half a second is too little");
    assert_eq!(baseline.until(sent(6), ms(20_600)).unwrap().seconds, ms(1100));
    assert_eq!(baseline.until(sent(6), ms(99_000)), None, "it is too long ago");
}

fn attempted(result: AttemptResult) -> Action {
    let failure = || Failure::new(ExitCode::NotReady, "no".to_owned());
    Action::Attempted(Box::new(Attempted {
        generation: Generation::FIRST,
        cause: Cause::Reload,
        by: Vec::new(),
        takes_over: false,
        result,
        end: None,
        failure: (result != AttemptResult::Took).then(failure),
        moved: Vec::new(),
        applied: None,
        proof: None,
        carried: Carried::default(),
        steps: Steps::default(),
        took: Duration::ZERO,
        at: Duration::ZERO,
    }))
}

fn prepare() -> Action {
    Action::Prepare(Generation::FIRST, Source::Disk)
}

fn crashed() -> Action {
    let next = Next::In { pause: Duration::ZERO, back_to: None };
    Action::Report(Report::Crashed { generation: Generation::FIRST, how: "gone".to_owned(), next })
}

/// What is to be done at each of these.
fn heard(actions: &[Action], holds: bool) -> Vec<Option<CostStep>> {
    let mut windows = CostWindows::default();
    actions.iter().map(|action| windows.hear(action, holds)).collect()
}

const END: Option<CostStep> = Some(CostStep::End(Generation::FIRST));

#[test]
fn a_reload_is_a_window_whether_it_takes_or_not() {
    let (took, refused) = (attempted(AttemptResult::Took), attempted(AttemptResult::Refused));
    // `attempt_again` prepares a second time.
    let steps = heard(&[prepare(), prepare(), took.clone(), prepare(), refused], true);
    assert_eq!(steps, [Some(CostStep::Begin), None, END, Some(CostStep::Begin), END]);
    assert_eq!(heard(&[prepare(), took], false), [None, None], "at the first start nothing is there to lose");
}

#[test]
fn a_crash_is_a_window_until_something_serves() {
    let steps = heard(
        &[crashed(), prepare(), attempted(AttemptResult::Failed), prepare(), attempted(AttemptResult::Took)],
        true,
    );
    assert_eq!(steps, [Some(CostStep::Begin), None, None, None, END]);
    // One during a reload, whose attempt is the restart then.
    let during = [prepare(), crashed(), attempted(AttemptResult::Refused), attempted(AttemptResult::Took)];
    assert_eq!(heard(&during, true), [Some(CostStep::Begin), None, None, END]);
    let gone = Action::Report(Report::Takeover(Turn::SuccessorGone { takeover: Peer(1) }));
    assert_eq!(heard(&[gone], true), [Some(CostStep::Begin)]);
}

#[test]
fn a_stop_and_the_end_of_a_takeover_end_it_without_a_cost() {
    for last in [Action::ReleaseCustody, Action::Relieve(Peer(1)), Action::GiveBack] {
        let steps = heard(&[prepare(), last, attempted(AttemptResult::Took)], true);
        assert_eq!(steps, [Some(CostStep::Begin), Some(CostStep::Leave), None]);
    }
}

#[test]
fn only_clients_that_wait_are_kept() {
    let mut watch = CostWatch::begin(sent(0), None, ms(0));
    for number in 0..1000_u16 {
        let clients: HashSet<_> = [client(number), client(number.wrapping_add(1))].into();
        let clients: Vec<_> = clients.into_iter().collect();
        watch.look(Some(look(u64::from(number) * 10, &[socket(1, 80, 2, 0)], [1], &clients)));
    }
    let figures = watch.end([sent(0); 2], ms(9990)).window;
    assert_eq!((figures.waited, figures.waited_at_most), (Some(ms(10)), Some(ms(30))));
}
