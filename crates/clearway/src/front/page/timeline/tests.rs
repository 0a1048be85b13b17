use std::time::Duration;

use serde_json::json;

use super::*;

/// At this second of a day, this has happened to this generation.
fn entries(all: &[(u64, &str, &str, Option<u32>)]) -> Vec<PastEntry> {
    let entry = |(id, (second, event, result, generation)): (usize, &(u64, &str, &str, Option<u32>))| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(*second);
        let at = humantime::format_rfc3339_micros(at).to_string();
        let entry =
            json!({"id": id + 1, "at": at, "event": event, "result": result, "generation": generation});
        serde_json::from_value(entry).unwrap()
    };
    all.iter().enumerate().map(entry).collect()
}

fn status(generations: &[(u32, &str)]) -> Status {
    let one = |(generation, state): &(u32, &str)| json!({"generation": generation, "state": state, "master": 1, "worker": 2, "seconds": 3, "sessions": 4});
    let generations: Vec<_> = generations.iter().map(one).collect();
    let status = json!({
        "version": "", "pid": 7, "instance": null, "state": "serving", "haproxy": null, "crashes_in_a_row": 0,
        "generations": generations, "last_attempt": null, "custody": [], "plumbing": null,
    });
    serde_json::from_value(status).unwrap()
}

/// Generation, where it begins to serve, where it serves no more, where it ends; marks are 100 apart, and now is at 1000.
fn told(
    before: &[(u64, &str, &str, Option<u32>)],
    shown: &[(u64, &str, &str, Option<u32>)],
    now: &[(u32, &str)],
) -> Vec<(u32, u32, Option<u32>, Option<u32>)> {
    let places: Vec<u32> = (1..).take(shown.len()).map(|number| number * 100).collect();
    let bars = bars(&entries(before), &entries(shown), &places, &status(now), 1000);
    bars.into_iter().map(|bar| (bar.generation, bar.from, bar.serves_until, bar.ends)).collect()
}

#[test]
fn a_generation_serves_until_the_next_one_does_and_drains_until_now() {
    let shown = [
        (0, "start", "took", Some(1)),
        (1, "reload", "took", Some(2)),
        (2, "reload", "refused", Some(3)),
        (3, "reload", "took", Some(4)),
    ];
    let now = [(2, "draining"), (4, "serving"), (5, "starting")];
    assert_eq!(
        told(&[], &shown, &now),
        [
            (1, 100, Some(200), None),
            (2, 200, Some(400), Some(1000)),
            (4, 400, None, None),
            (5, 1000, Some(1000), Some(1000))
        ]
    );
}

#[test]
fn a_crash_ends_a_bar_and_a_restart_begins_one() {
    let shown =
        [(0, "start", "took", Some(1)), (1, "crash", "crashed", Some(1)), (2, "restart", "took", Some(2))];
    assert_eq!(told(&[], &shown, &[(2, "serving")]), [(1, 100, Some(200), Some(200)), (2, 300, None, None)]);
}

#[test]
fn a_takeover_ends_a_bar_unless_it_is_undone() {
    let shown =
        [(0, "start", "took", Some(1)), (1, "takeover", "superseded", None), (2, "takeover", "undone", None)];
    assert_eq!(told(&[], &shown, &[(1, "serving")]), [(1, 100, None, None)]);
    assert_eq!(told(&[], &shown[..2], &[(1, "draining")]), [(1, 100, Some(200), Some(1000))]);
}

#[test]
fn what_began_before_the_picture_begins_at_its_edge() {
    let before = [(0, "start", "took", Some(1)), (1, "reload", "took", Some(2))];
    let shown = [(2, "reload", "took", Some(3))];
    let now = [(1, "draining"), (3, "serving")];
    assert_eq!(
        told(&before, &shown, &now),
        [(1, 0, Some(0), Some(1000)), (2, 0, Some(100), None), (3, 100, None, None)]
    );
    assert_eq!(told(&[], &[], &[(7, "serving")]), [(7, 0, None, Some(1000))]);
}

#[test]
fn longer_pauses_are_wider_and_no_pause_is_wide() {
    let all = entries(&[
        (0, "start", "took", Some(1)),
        (1, "reload", "took", Some(2)),
        (600, "reload", "took", Some(3)),
    ]);
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(90 * 24);
    let places = places(&all, now);
    assert_eq!(places, [MARGIN, MARGIN + NARROW, MARGIN + 2 * NARROW + 4 * WIDER]);
    assert_eq!(pause(all.last(), now), NARROW + 10 * WIDER);
    // A clock that was set back.
    assert_eq!(pause(all.last(), SystemTime::UNIX_EPOCH), NARROW);
}

#[test]
fn every_mark_is_a_link_with_a_name_and_the_bars_say_how_many_sessions() {
    let reloads = entries(&[(0, "start", "took", Some(1)), (86_400, "reload", "refused", Some(2))]);
    let past = Reloads { reloads, forgotten: 0 };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_410);
    let drawn = picture(&status(&[(1, "serving")]), &past, now).into_string();
    for words in [
        "href=\"#event-2\"",
        "aria-label=\"reload refused, 00:00:00, cost: not known\"",
        ">1970-01-01<",
        ">1970-01-02<",
        "1 serving, 4 sessions",
    ] {
        assert!(drawn.contains(words), "{words}: {drawn}");
    }
}
