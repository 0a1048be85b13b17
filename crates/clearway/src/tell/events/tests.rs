use serde_json::Value;

use super::*;

clearway_core::notices! {
    /// About doors.
    pub enum DoorNotice {
        /// A door was opened.
        Info "door.opened" Opened { door: String, keys: Vec<String> } => "door {door} was opened";
        /// For finding a fault.
        Debug "door.debug" Creaks => "it creaks";
    }
}

const EPOCH: u32 = 0x5f3a_9c1e;

fn opened(door: &impl ToString) -> DoorNotice {
    DoorNotice::Opened { door: door.to_string(), keys: Vec::new() }
}

fn of(number: u64) -> Events {
    let events = Events::new(EPOCH);
    (1..=number).for_each(|door| events.keep(&opened(&door)));
    events
}

/// The id line and the object of a frame.
fn read(frame: &[u8]) -> (String, Value) {
    let text = std::str::from_utf8(frame).unwrap();
    let (id, data) = text.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
    let json = data.strip_suffix("\n\n").unwrap();
    assert!(!json.contains('\n'), "{json}");
    (id.to_owned(), serde_json::from_str(json).unwrap())
}

/// Everything after this one, as a follower is given it.
fn all_after(events: &Events, mut after: u64) -> Vec<Value> {
    let mut all = Vec::new();
    while let NextEvent::Frame(frame, then) = events.after(after) {
        assert!(then > after, "a follower goes on");
        let (id, json) = read(&frame);
        assert_eq!(json["id"], id.as_str());
        assert_eq!(id, EventId { epoch: EPOCH, number: then }.to_string(), "from there it may come back");
        (all, after) = ([all, vec![json]].concat(), then);
    }
    all
}

fn doors(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["door"].as_str()).collect()
}

fn had(number: u64) -> LastHad {
    LastHad { epoch: Some(EPOCH), number }
}

#[test]
fn each_event_is_the_object_that_the_log_has_with_an_id_that_counts() {
    let all = all_after(&of(3), 0);
    let ids: Vec<_> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["5f3a9c1e-1", "5f3a9c1e-2", "5f3a9c1e-3"]);
    assert_eq!(doors(&all), ["1", "2", "3"]);
    let first = &all[0];
    assert_eq!((&first["event"], &first["level"]), (&"door.opened".into(), &"INFO".into()));
    assert_eq!(first["message"], "door 1 was opened");
    assert!(
        first["timestamp"].as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')),
        "{first}"
    );
}

#[test]
fn what_is_for_finding_a_fault_is_not_kept() {
    let events = of(1);
    events.keep(&DoorNotice::Creaks);
    assert_eq!(events.after(1), NextEvent::NotYet);
}

#[test]
fn a_follower_that_comes_back_misses_nothing_and_is_told_nothing_twice() {
    let events = of(5);
    let begin = |last| events.begin(Some(had(last))).unwrap();
    for last in 0..=5 {
        let beginning = begin(last);
        let opening = String::from_utf8(beginning.opening.to_vec()).unwrap();
        assert_eq!(opening, format!("retry: 1000\nid: 5f3a9c1e-{last}\n\n"));
        assert_eq!(all_after(&events, beginning.after).len() as u64, 5 - last);
    }
    assert_eq!(events.begin(None).unwrap(), begin(5), "what happens from now on");
    assert_eq!(events.begin(Some(LastHad { epoch: None, number: 2 })).unwrap(), begin(2));
    events.keep(&opened(&"six"));
    assert_eq!(doors(&all_after(&events, 5)), ["six"]);
}

#[test]
fn the_oldest_make_room_and_a_follower_is_told_how_many_it_has_missed() {
    let most = MOST as u64;
    let events = of(most + 10);
    let all = all_after(&events, 3);
    assert_eq!((&all[0]["event"], &all[0]["number"]), (&"events.missed".into(), &7.into()));
    assert_eq!(all[0]["id"], "5f3a9c1e-10");
    assert_eq!(all.len() as u64, most + 1);
    assert_eq!(all[1]["door"], "11");
    let kept = all_after(&events, 10);
    assert_eq!((kept.len() as u64, &kept[0]["door"]), (most, &"11".into()), "nothing is missed from there");
}

#[test]
fn long_events_are_cut_and_many_of_them_have_a_bound_in_bytes() {
    let events = Events::new(EPOCH);
    let keys: Vec<String> = (0..9999).map(|key| format!("key {key}")).collect();
    for _ in 0..200 {
        events.keep(&DoorNotice::Opened { door: "\u{1b}".repeat(100_000), keys: keys.clone() });
    }
    let kept = events.lock();
    assert!(kept.bytes <= MOST_BYTES && kept.bytes > MOST_BYTES / 2, "{} bytes", kept.bytes);
    assert_eq!(kept.bytes, kept.frames.iter().map(Bytes::len).sum::<usize>());
    let (_, newest) = read(kept.frames.back().unwrap());
    drop(kept);
    assert_eq!(newest["shortened"], serde_json::json!(["door", "keys"]));
    assert_eq!(newest["keys"][0], "key 0");
    let all = all_after(&events, 0);
    assert_eq!(all[0]["number"].as_u64().unwrap() + all.len() as u64 - 1, 200, "missed and kept are all");
}

#[test]
fn a_follower_of_another_clearway_is_told_that_ids_begin_anew_and_gets_all() {
    let events = of(2);
    let beginning = events.begin(Some(LastHad { epoch: Some(1), number: 7000 })).unwrap();
    let opening = String::from_utf8(beginning.opening.to_vec()).unwrap();
    let (first, then) = opening.split_once("\n\n").unwrap();
    assert_eq!(first, "retry: 1000\nid: 5f3a9c1e-0");
    let (id, told) = read(then.as_bytes());
    assert_eq!((id.as_str(), &told["event"]), ("5f3a9c1e-0", &"events.begun-anew".into()));
    assert_eq!(told["asked"], "00000001-7000");
    assert_eq!(doors(&all_after(&events, beginning.after)), ["1", "2"]);
}

#[test]
fn what_has_not_happened_cannot_be_asked_for() {
    for number in [3, u64::MAX] {
        let refused = of(2).begin(Some(had(number))).unwrap_err();
        assert!(refused.contains("the last one is 5f3a9c1e-2"), "{refused}");
    }
}

#[test]
fn the_end_comes_after_the_last_event() {
    let events = of(1);
    assert_eq!(events.after(1), NextEvent::NotYet);
    let mut news = events.news();
    events.end();
    assert!(news.has_changed().unwrap(), "those that wait hear of it");
    news.mark_unchanged();
    assert!(matches!(events.after(0), NextEvent::Frame(_, 1)));
    assert_eq!(events.after(1), NextEvent::Over);
}

#[test]
fn what_threads_add_at_the_same_time_has_numbers_without_a_gap() {
    let events = Events::new(EPOCH);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let events = &events;
            scope.spawn(move || {
                for number in 0..100 {
                    events.keep(&opened(&format!("{thread}.{number}")));
                }
            });
        }
    });
    let all = all_after(&events, 0);
    assert_eq!(all.len(), 400, "the ids were compared with their places");
}
