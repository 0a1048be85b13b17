//! The log of a Clearway that writes JSON: its events, and the text that people would read instead.

use std::fmt::Display;

use serde_json::Value;

/// All events of this name, with these fields, in a log.
pub fn events(log: &str, name: &str, fields: &[(&str, &dyn Display)]) -> Vec<Value> {
    log.lines().filter_map(event).filter(|event| is(event, name, fields)).collect()
}

/// The event that is looked for, in words.
pub(crate) fn words(name: &str, fields: &[(&str, &dyn Display)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!(", `{name}` {value}"));
    format!("the event `{name}`{}", fields.collect::<String>())
}

/// The event that a line is, if it is one.
fn event(line: &str) -> Option<Value> {
    let event: Value = serde_json::from_str(line).ok()?;
    (event["timestamp"].is_string() && event["message"].is_string()).then_some(event)
}

/// Whether it is this event, with these fields.
fn is(event: &Value, name: &str, fields: &[(&str, &dyn Display)]) -> bool {
    event["event"] == name && fields.iter().all(|(name, value)| text(&event[*name]) == value.to_string())
}

/// A field as text: without the quotes of JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The log as it is with `CLEARWAY_LOG=text`, as far as lines are events; others stay as they are.
pub(crate) fn as_text(log: &str) -> String {
    log.lines()
        .map(|line| event(line).map_or_else(|| line.to_owned(), |event| line_of(&event)) + "\n")
        .collect()
}

fn line_of(event: &Value) -> String {
    let [time, level, message] = ["timestamp", "level", "message"].map(|name| text(&event[name]));
    if event["process"] == "haproxy" && event["pid"].is_u64() {
        let level = match &*level {
            "ERROR" => "ALERT",
            "WARN" => "WARNING",
            _ => "NOTICE",
        };
        return format!("[{level}]  ({}) : {message}", event["pid"]);
    }
    if event["process"].is_string() {
        return message;
    }
    let hints = event["hints"].as_array().into_iter().flatten();
    let hints = hints.map(|hint| format!("\n{time} {level:>5} hint: {}", text(hint)));
    format!("{time} {level:>5} {message}{}", hints.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = r#"{"timestamp":"T","level":"ERROR","message":"it failed","event":"generation.failed","generation":2,"error":"no","hints":["mend it"]}"#;

    #[test]
    fn an_event_is_known_by_its_name_and_fields() {
        let failed = event(FAILED).unwrap();
        assert!(is(&failed, "generation.failed", &[("generation", &2), ("error", &"no")]));
        assert!(!is(&failed, "generation.failed", &[("generation", &3)]));
        assert!(!is(&failed, "generation.serving", &[]));
        assert!(event("{\"a\":1}").is_none() && event("[ALERT] no").is_none());
    }

    #[test]
    fn the_text_is_what_people_would_read() {
        let haproxy = r#"{"timestamp":"T","level":"WARN","message":"odd","process":"haproxy","pid":7}"#;
        let log = format!("{FAILED}\nas it is\n{haproxy}\n");
        let text = "T ERROR it failed\nT ERROR hint: mend it\nas it is\n[WARNING]  (7) : odd\n";
        assert_eq!(as_text(&log), text);
    }
}
