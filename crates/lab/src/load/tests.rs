//! The parts that need no network: classes, schedule, ports, sums.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::collector::Collector;
use super::connection::{Class, Outcome, is_expected, whole_answer};
use super::engine::Schedule;
use super::source::{PORTS, Sources};
use super::{Ask, Expect, Plan};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn target(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 80)
}

#[test]
fn errors_have_classes_and_strange_ones_a_name() {
    let class = |code| Class::of(&io::Error::from_raw_os_error(code));
    assert_eq!(class(111), Class::Refused);
    assert_eq!(class(104), Class::Reset);
    assert_eq!(class(32), Class::Reset);
    assert_eq!(class(110), Class::Timeout);
    assert_eq!(class(99), Class::Other("AddrNotAvailable (errno 99)".into()));
}

#[test]
fn an_answer_is_whole_or_not_there() {
    assert_eq!(whole_answer(Ask::Line, b"10.1.0.2 s"), None);
    assert_eq!(whole_answer(Ask::Line, b"10.1.0.2 s1\n").as_deref(), Some("10.1.0.2 s1"));
    let http = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nv1\n";
    assert_eq!(whole_answer(Ask::Http, http).as_deref(), Some("v1"));
    assert_eq!(whole_answer(Ask::Http, &http[..http.len() - 1]), None);
    let unavailable = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
    assert_eq!(whole_answer(Ask::Http, unavailable).as_deref(), Some("HTTP/1.1 503 Service Unavailable"));
}

#[test]
fn the_first_word_is_the_address() {
    let own = target(V4);
    assert!(is_expected(&Expect::OwnAddress, "10.1.0.2 s1", own));
    assert!(!is_expected(&Expect::OwnAddress, "10.1.0.20 s1", own));
    assert!(is_expected(&Expect::Peer(V6), "::1 s1", own));
    assert!(!is_expected(&Expect::Prefix("v2".into()), "v1", own));
}

#[test]
fn the_schedule_is_fixed() {
    let schedule = Schedule { rate: 1000.0, duration: Duration::from_secs(2) };
    assert_eq!(schedule.total(), 2000);
    assert_eq!(schedule.due(Duration::ZERO), 1);
    assert_eq!(schedule.due(Duration::from_millis(500)), 501);
    assert_eq!(schedule.due(Duration::from_mins(1)), 2000);
    assert_eq!(schedule.offset(1500), Duration::from_millis(1500));
}

#[test]
fn sources_take_turns_within_a_family_and_walk_through_their_ports() {
    let other = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 3));
    let mut sources = Sources::new(&[V4, V6, other]);
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.extend(sources.next(target(V4)).first().copied());
    }
    assert_eq!(taken.iter().map(SocketAddr::ip).collect::<Vec<_>>(), [other, V4, other, V4]);
    assert_ne!(taken[0].port(), taken[2].port());
    assert!(taken.iter().all(|from| PORTS.contains(&from.port())));
    assert!(Sources::new(&[V6]).next(target(V4)).is_empty());
}

#[test]
fn outcomes_add_up() {
    let millis = Duration::from_millis;
    let start = Instant::now();
    let mut collector = Collector::new(&[target(V4), target(V6)], true, start).expect("a collector");
    let mut add = |target, at, class, took, connecting| {
        collector.add(Outcome {
            target,
            intended: start + millis(at),
            slip: Duration::ZERO,
            class,
            answer: "10.1.0.2 s1".into(),
            latency: millis(took),
            connecting: Some(millis(connecting)),
        });
    };
    add(0, 0, Class::Ok, 2, 1);
    add(0, 150, Class::Ok, 1030, 1029);
    add(1, 160, Class::Reset, 5, 1);
    add(1, 170, Class::Other("HostUnreachable (errno 113)".into()), 5, 1);
    let report = collector.report();
    assert_eq!((report.total.count(), report.total.ok, report.total.failed()), (4, 2, 2));
    assert_eq!(report.total.syn_retransmitted, 1);
    assert_eq!(report.targets["[::1]:80"].reset, 1);
    assert_eq!(report.total.answers["10.1.0.2 s1"], 4);
    assert_eq!(report.series.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(report.failures.len(), 2);
    assert_eq!(report.lost.len(), 2);
    assert!(report.lost.iter().all(|lost| lost.begun >= start && lost.ended >= lost.begun));
    assert!((report.total.latency.max - 1030.0).abs() < 2.0, "{:?}", report.total.latency);
    let each: Vec<_> = report.each.iter().map(|one| (one.intended - start, one.latency)).collect();
    assert_eq!(each, [(0, 2), (150, 1030)].map(|pair| (millis(pair.0), millis(pair.1))));
    let json = serde_json::to_string(&report).expect("JSON");
    let report = super::LoadReport { each: Vec::new(), lost: Vec::new(), ..report };
    assert_eq!(serde_json::from_str::<super::LoadReport>(&json).expect("the same again"), report);
}

#[test]
fn unreasonable_plans_are_refused() {
    let plan = Plan::open(&[target(V4)], 1000.0, Duration::from_secs(1));
    assert!(plan.check().is_ok());
    assert!(Plan::open(&[], 1000.0, Duration::from_secs(1)).check().is_err());
    assert!(Plan::open(&[target(V4)], 1e9, Duration::from_secs(1)).check().is_err());
    assert!(plan.patient_for(Duration::from_hours(1)).check().is_err());
}
