use std::collections::BTreeMap;

use super::*;

/// Servers on so many hosts, one port after the other.
fn servers(count: usize, hosts: usize) -> Vec<SocketAddr> {
    let address = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n % hosts).unwrap()]);
    (0..count).map(|n| SocketAddr::new(address(n), u16::try_from(1000 + n / hosts).unwrap())).collect()
}

/// What came of a simulated round.
struct Played {
    took: Duration,
    /// When each was begun with.
    begun: Vec<Duration>,
    at_once: usize,
    at_once_of_a_host: usize,
    told: usize,
}

/// Plays a round in which a server takes as long as it is said to; the player looks every `step`.
fn play(servers: &[SocketAddr], window: usize, step: Duration, takes: impl Fn(usize) -> Duration) -> Played {
    let mut pace = RoundPace::new(servers.iter().copied(), window, Duration::ZERO);
    let mut now = Duration::ZERO;
    let mut ends: Vec<(Duration, usize)> = Vec::new();
    let mut played = Played { took: now, begun: Vec::new(), at_once: 0, at_once_of_a_host: 0, told: 0 };
    let mut asked = vec![0; servers.len()];
    loop {
        ends.retain(|(end, number)| {
            let over = *end <= now;
            if over {
                pace.done(*number);
            }
            !over
        });
        loop {
            match pace.next(now) {
                RoundStep::Ask(number) => {
                    asked[number] += 1;
                    played.begun.push(now);
                    ends.push((now + takes(number), number));
                }
                RoundStep::NotBefore(at) => break assert!(at > now),
                RoundStep::Wait => break assert!(!ends.is_empty(), "it waits for nothing"),
                RoundStep::Done => {
                    assert!(asked.iter().all(|times| *times == 1), "each once");
                    assert_eq!(pace.progress(), RoundProgress { done: servers.len(), of: servers.len() });
                    played.took = now;
                    return played;
                }
            }
        }
        let mut hosts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, number) in &ends {
            *hosts.entry(servers[*number].ip()).or_default() += 1;
        }
        played.at_once = played.at_once.max(ends.len());
        played.at_once_of_a_host = played.at_once_of_a_host.max(hosts.into_values().max().unwrap_or(0));
        played.told += usize::from(pace.tell(now).is_some());
        now += step;
    }
}

const QUICKLY: Duration = Duration::from_millis(1);

#[test]
fn five_thousand_that_answer_take_less_than_ten_seconds_and_no_more_than_the_pace_begin() {
    // From a machine nearby, and from one 50 ms away that is asked twice; on one host, and on many.
    for (hosts, takes) in [(1, 1), (1, 100), (50, 1), (250, 100)] {
        let played = play(&servers(5000, hosts), 256, QUICKLY, |_| Duration::from_millis(takes));
        assert!(played.took < Duration::from_secs(10), "{hosts} hosts, {takes} ms: {:?}", played.took);
        assert!(played.took > Duration::from_millis(4900), "{:?}", played.took);
        assert!(played.at_once <= 256 && played.at_once_of_a_host <= OF_A_HOST);
        for begun in played.begun.windows(1001) {
            let second = begun[1000].saturating_sub(begun[0]);
            assert!(second >= Duration::from_millis(960), "1,001 within {second:?}");
        }
    }
}

#[test]
fn one_that_was_kept_from_running_does_not_make_up_for_all_of_it() {
    let played = play(&servers(5000, 250), 256, Duration::from_millis(500), |_| Duration::from_millis(1));
    for begun in played.begun.chunk_by(|one, other| one == other) {
        assert!(begun.len() <= BURST as usize + 1, "{} at once", begun.len());
    }
}

#[test]
fn a_silent_host_does_not_keep_the_others_waiting() {
    let all = servers(2000, 2);
    let silent = |number: usize| all[number].ip() == all[0].ip();
    let takes = |number: usize| if silent(number) { Duration::from_secs(5) } else { QUICKLY };
    let played = play(&all, 256, QUICKLY, takes);
    assert_eq!(played.at_once_of_a_host, OF_A_HOST);
    let begun_with = played.begun.iter().filter(|at| **at < Duration::from_secs(5)).count();
    assert!(begun_with >= 1000 + OF_A_HOST, "{begun_with} within five seconds");
    assert!(played.told >= 6, "it is told how far it is: {}", played.told);
}

#[test]
fn the_window_leaves_descriptors_to_others() {
    for (descriptors, expected) in
        [(0, 8), (64, 8), (1024, 128), (2048, 256), (20_000, 256), (u64::MAX, MOST_AT_ONCE)]
    {
        assert_eq!(window(descriptors), expected);
    }
    let played = play(&servers(500, 100), 8, QUICKLY, |_| Duration::from_millis(50));
    assert_eq!(played.at_once, 8);
}

#[test]
fn nothing_to_ask_is_done_at_once() {
    assert_eq!(play(&[], 8, QUICKLY, |_| QUICKLY).took, Duration::ZERO);
}
