use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::*;

fn told() -> Unreachable {
    Unreachable { what: IcmpKind::Prohibited, by: Some(Ipv4Addr::new(10, 2, 0, 1).into()), here: false }
}

fn answers() -> [ProbeAnswer; 5] {
    let why = "no route".to_owned();
    [
        ProbeAnswer::Accepts,
        ProbeAnswer::Refuses,
        ProbeAnswer::Unreachable(told()),
        ProbeAnswer::Silent,
        ProbeAnswer::NotAsked { why },
    ]
}

#[test]
fn no_way_back_is_said_only_where_the_server_answers_us() {
    for own in answers() {
        let answers = matches!(own, ProbeAnswer::Accepts | ProbeAnswer::Refuses);
        let outcome = ProbeOutcome::of(ProbeAnswer::Silent, own, ServerLocation::Elsewhere);
        assert_eq!(matches!(outcome, ProbeOutcome::NoWayBack { .. }), answers, "{outcome}");
        assert_eq!(outcome.to_string().contains("no return path"), answers, "{outcome}");
        assert_eq!(outcome.verdict() == CanaryVerdict::Broken, answers, "{outcome}");
    }
}

#[test]
fn every_outcome_has_words_of_its_own_and_one_line() {
    let mut seen = Vec::new();
    for foreign in answers() {
        for own in answers() {
            let outcome = ProbeOutcome::of(foreign.clone(), own, ServerLocation::Elsewhere);
            let words = outcome.to_string();
            assert!(!words.contains('\n') && !words.ends_with('.'), "{words}");
            assert_eq!(outcome.to_string().lines().count(), 1);
            assert!(outcome.is_same_as(&outcome));
            seen.push((outcome, words));
        }
    }
    for (one, words) in &seen {
        assert!(seen.iter().all(|(other, others)| (one == other) == (words == others)), "{words}");
    }
}

#[test]
fn how_long_it_took_is_no_news() {
    let [fast, slow] = [1, 2].map(|ms| ProbeOutcome::WayBack { took: Duration::from_millis(ms) });
    assert!(fast.is_same_as(&slow));
    assert!(!fast.is_same_as(&ProbeOutcome::Silent { own: ProbeAnswer::Silent }));
}

#[test]
fn the_status_names_outcomes_and_answers() {
    let json = |outcome: &ProbeOutcome| serde_json::to_value(outcome).unwrap();
    assert_eq!(
        json(&ProbeOutcome::WayBack { took: Duration::from_micros(1250) }),
        serde_json::json!({"outcome": "way_back", "took_ms": 1.25})
    );
    assert_eq!(
        json(&ProbeOutcome::of(ProbeAnswer::Silent, ProbeAnswer::Accepts, ServerLocation::Here)),
        serde_json::json!({"outcome": "no_way_back", "server": "here", "own": {"answer": "accepts"}})
    );
    assert_eq!(
        json(&ProbeOutcome::of(
            ProbeAnswer::Unreachable(told()),
            ProbeAnswer::Unreachable(told()),
            ServerLocation::Here
        )),
        serde_json::json!({
            "outcome": "unreachable", "what": "prohibited", "by": "10.2.0.1",
            "own": {"answer": "unreachable", "what": "prohibited", "by": "10.2.0.1"},
        })
    );
}

#[test]
fn our_own_addresses_are_known() {
    assert!(is_ours(Ipv4Addr::LOCALHOST.into()) && is_ours(Ipv4Addr::new(127, 9, 9, 9).into()));
    assert!(is_ours(Ipv6Addr::LOCALHOST.into()) || !std::path::Path::new("/proc/net/if_inet6").exists());
    let addresses = ProbeAddresses::default();
    assert!(!is_ours(addresses.v4.into()) && !is_ours(addresses.v6.into()));
}

#[test]
fn what_proves_nothing_is_not_asked() {
    let begun = Instant::now();
    let foreign: IpAddr = Ipv4Addr::new(198, 18, 179, 1).into();
    for (server, from) in [
        ("0.0.0.0:80", foreign),
        ("10.2.0.2:0", foreign),
        ("[fd02::2]:80", foreign),
        ("198.18.179.1:80", foreign),
        ("10.2.0.2:80", Ipv4Addr::LOCALHOST.into()),
    ] {
        let outcome = probe(server.parse().unwrap(), from, LIMIT);
        assert_eq!(outcome.verdict(), CanaryVerdict::Unknown, "{server}: {outcome}");
    }
    assert!(begun.elapsed() < LIMIT);
}

#[test]
fn no_server_is_no_work() {
    assert_eq!(probe_all(&[], ProbeAddresses::default(), LIMIT, |_| ControlFlow::Continue(())), []);
}

#[test]
fn no_limit_is_too_short_or_too_long() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server: SocketAddr = listener.local_addr().unwrap();
    for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let begun = Instant::now();
        let outcomes =
            probe_all(&[server; 3], ProbeAddresses::default(), limit, |_| ControlFlow::Continue(()));
        assert_eq!(outcomes.len(), 3);
        assert!(begun.elapsed() < LIMIT, "{outcomes:?}");
    }
}
