use super::*;

clearway_core::notices! {
    /// About doors.
    pub enum Doors {
        /// A door does not open.
        Warn "door.stuck" Stuck { door: String, times: u32, hints: Vec<String> } => "door {door} does not open";
    }
}

fn stuck(door: &str, hints: &[&str]) -> Doors {
    Doors::Stuck { door: door.to_owned(), times: 3, hints: hints.iter().map(ToString::to_string).collect() }
}

#[test]
fn a_text_is_the_sentence_and_a_line_for_each_hint() {
    let text = as_text(&stuck("a", &["push", "pull"]));
    let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let words: Vec<&str> = lines.iter().map(|(_, words)| *words).collect();
    assert_eq!(words, [" WARN door a does not open", " WARN hint: push", " WARN hint: pull"]);
    assert!(lines.iter().all(|(time, _)| time.ends_with('Z') && time.len() == 27), "{text}");
}

#[test]
fn json_has_the_event_and_its_fields_beside_the_sentence() {
    let line = as_json(&stuck("a\u{1b}[2J", &["push"]));
    assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["event"], "door.stuck");
    assert_eq!((&json["level"], &json["times"]), (&"WARN".into(), &3.into()));
    assert_eq!(json["message"], "door a\u{1b}[2J does not open");
    assert_eq!(json["hints"], serde_json::json!(["push"]));
    assert!(line.starts_with("{\"timestamp\":\"2"), "{line}");
}

#[test]
fn nothing_that_a_file_contains_commands_a_terminal() {
    let text = as_text(&stuck("a\u{1b}[2J\u{9b}\u{7}b\tc\u{e9}", &[]));
    assert!(text.contains("door a\\u{1b}[2J\\u{9b}\\u{7}b\tc\u{e9} does"), "{text}");
}
