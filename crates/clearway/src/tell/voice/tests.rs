use super::*;

fn voice(format: LogFormat, level: LogLevel) -> Voice {
    Voice::of(Speaker::Haproxy(Generation::FIRST), Stream::Stderr, LogSetting { format, level })
}

fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn text_is_passed_on_byte_for_byte_but_for_what_says_nothing() {
    let mut voice = voice(LogFormat::Text, LogLevel::Error);
    let mut out = Vec::new();
    let said = b"[NOTICE]   (7) : Loading success.\n[ALERT]    (7) : \xff broken\r\n\n  and more\n[WARN";
    for piece in said.chunks(5) {
        out.extend(voice.hear(piece));
    }
    assert_eq!(out, b"[ALERT]    (7) : \xff broken\r\n\n  and more\n");
    assert_eq!(voice.end(), b"[WARN");
    assert_eq!(voice.end(), b"");
}

#[test]
fn with_debug_nothing_is_left_out() {
    let said = b"[NOTICE]   (7) : Loading success.\n";
    assert_eq!(voice(LogFormat::Text, LogLevel::Debug).hear(said), said);
    assert_eq!(voice(LogFormat::Text, LogLevel::Info).hear(said), b"");
    assert_eq!(events(&voice(LogFormat::Json, LogLevel::Debug).hear(said)).len(), 1);
    assert_eq!(voice(LogFormat::Json, LogLevel::Info).hear(said), b"");
}

#[test]
fn every_line_is_an_event_of_its_own() {
    let mut voice = voice(LogFormat::Json, LogLevel::Error);
    let said = b"[ALERT]    (7) : it is \"broken\" \xff\n  | here\nsegfault at 0\n\n{\"method\":\"GET\"}\n{half\n[DIAG]     (7) : x";
    let mut out = voice.hear(said);
    out.extend(voice.end());
    let events = events(&out);
    let told: Vec<_> = events.iter().map(|one| (one["level"].as_str(), one["message"].as_str())).collect();
    assert_eq!(
        told,
        [
            (Some("ERROR"), Some("it is \"broken\" \u{fffd}")),
            (Some("ERROR"), Some("  | here")),
            (Some("INFO"), Some("segfault at 0")),
            (None, None),
            (Some("INFO"), Some("{half")),
            (Some("WARN"), Some("x")),
        ]
    );
    assert_eq!((&events[0]["pid"], &events[0]["process"]), (&json!(7), &json!("haproxy")));
    assert_eq!((&events[0]["generation"], &events[2]["pid"]), (&json!(1), &Value::Null));
    assert!(events[0]["timestamp"].as_str().unwrap().ends_with('Z'), "{}", events[0]);
    assert_eq!(events[3], json!({"method": "GET"}), "what is JSON stays as it is");
}

#[test]
fn what_a_program_says_is_not_taken_for_haproxys() {
    let log = LogSetting { format: LogFormat::Json, level: LogLevel::Info };
    let mut voice = Voice::of(Speaker::Program("api".to_owned()), Stream::Stdout, log);
    let events = events(&voice.hear(b"[NOTICE]   (7) : Loading success.\n"));
    assert_eq!(events[0]["message"], "[NOTICE]   (7) : Loading success.");
    assert_eq!((&events[0]["program"], &events[0]["stream"]), (&json!("api"), &json!("stdout")));
}

#[test]
fn memory_is_bounded_although_a_line_never_ends() {
    let mut voice = voice(LogFormat::Json, LogLevel::Info);
    let mut events = 0;
    for _ in 0..100 {
        events += self::events(&voice.hear(&[b'x'; 8192])).len();
        assert!(voice.partial.len() < LONGEST);
    }
    assert_eq!(events, 100 * 8192 / LONGEST);
}
