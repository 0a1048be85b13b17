//! What an attempt, a crash or a takeover cost new clients.

use clearway_core::cost::{Cost, CostFigures};

use super::html::Html;
use super::parts;
use crate::tell::history::{PastEntry, PastEvent, PastResult};

/// In a few words with their colour, for the time line and the tables.
pub fn short(entry: &PastEntry) -> (&'static str, String) {
    let Some(cost) = &entry.cost else { return ("faint", absent(entry).0.to_owned()) };
    let all = totals(cost);
    let hurt: Vec<String> = all
        .iter()
        .filter_map(|(what, number)| Some(format!("{} {what}", number.filter(|number| *number > 0)?)))
        .collect();
    if !hurt.is_empty() {
        return ("bad", hurt.join(", "));
    }
    if all.iter().all(|(_, number)| number.is_some()) {
        ("good", "0 lost".to_owned())
    } else {
        ("faint", "not known".to_owned())
    }
}

/// In one sentence, and all that was measured.
pub fn in_words(entry: &PastEntry) -> Html {
    let Some(cost) = &entry.cost else { return absent(entry).1.into() };
    let (class, words) = short(entry);
    let sentence = match class {
        "good" => "No new client was refused or reset, and none had to try again.".to_owned(),
        "bad" => format!("New clients: {words}."),
        _ => "It is not wholly known.".to_owned(),
    };
    let wait = format!(" The longest wait in a queue: {}.", cost.window.wait());
    let sentence = Html::of("b", sentence + &wait);
    let measured = format!("In {}: {cost}", parts::took(cost.window.seconds.as_secs_f64()));
    sentence.then(Html::tag("span", &[("class", "faint small block")], measured))
}

/// In the window and in the second after it.
fn totals(cost: &Cost) -> [(&'static str, Option<u64>); 3] {
    let of = |figures: fn(&CostFigures) -> Option<u64>| {
        let after = cost.after.as_ref().map_or(Some(0), figures);
        figures(&cost.window)?.checked_add(after?)
    };
    [("refused", of(|one| one.refused)), ("reset", of(|one| one.reset)), ("dropped", of(|one| one.dropped))]
}

/// Why there is none, in a few words and in a sentence.
fn absent(entry: &PastEntry) -> (&'static str, &'static str) {
    match (entry.event, entry.result) {
        (PastEvent::Crash, _) => ("see restart", "What a crash costs is told with the restart that ends it."),
        (PastEvent::Start, _) => ("no clients", "There were no clients before the first start."),
        (PastEvent::Takeover, result) if result != PastResult::Took => {
            ("see takeover", "What a takeover costs is told by the Clearway that takes over.")
        }
        _ => (
            "not known",
            "It is not known: the kernel did not tell, or the attempt was decided this very moment.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(event: &str, cost: &serde_json::Value) -> PastEntry {
        let entry = json!({"id": 1, "at": "T", "event": event, "result": "took", "cost": cost});
        serde_json::from_value(entry).unwrap()
    }

    fn of(window: &serde_json::Value, after: &serde_json::Value) -> (&'static str, String) {
        short(&entry("reload", &json!({"window": window, "after": after})))
    }

    #[test]
    fn what_was_lost_is_counted_also_in_the_second_after_and_what_is_not_known_is_never_zero() {
        let none = json!({"seconds": 0.3, "refused": 0, "reset": 0, "dropped": 0, "waited_seconds": 0.003});
        assert_eq!(of(&none, &none), ("good", "0 lost".to_owned()));
        assert_eq!(of(&none, &json!(null)), ("good", "0 lost".to_owned()));
        let some = json!({"refused": 0, "reset": 2, "dropped": 1});
        assert_eq!(of(&none, &some), ("bad", "2 reset, 1 dropped".to_owned()));
        assert_eq!(of(&some, &some), ("bad", "4 reset, 2 dropped".to_owned()));
        assert_eq!(of(&none, &json!({"refused": null, "reset": 0, "dropped": 0})).1, "not known");
        let words = in_words(&entry("reload", &json!({"window": none}))).into_string();
        assert!(
            words.contains("none had to try again. The longest wait in a queue: 3 ms or more."),
            "{words}"
        );
        assert!(words.contains("In 300 ms: 0 refused, 0 reset, 0 dropped"), "{words}");
    }

    #[test]
    fn where_there_is_none_it_is_said_why() {
        for (event, words) in [("start", "no clients"), ("crash", "see restart"), ("reload", "not known")] {
            assert_eq!(short(&entry(event, &json!(null))), ("faint", words.to_owned()));
        }
        assert!(in_words(&entry("reload", &json!(null))).into_string().starts_with("It is not known"));
    }
}
