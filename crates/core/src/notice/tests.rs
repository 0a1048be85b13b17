use serde_json::json;

use super::*;

crate::notices! {
    /// About locks.
    pub enum Locks {
        /// A door was locked.
        Info "lock.locked" Locked => "the door is locked";
    }
}

crate::notices! {
    /// About doors.
    pub enum Doors {
        /// A door was opened
        /// (a warning: by more than a metre).
        Info or Warn if *wide > 100, "door.opened" Opened { door: String, wide: u32 } since "0.2.0"
            => "door {door} is open{}", if *wide > 100 { ", wide" } else { "" };
        use Lock(Locks);
    }
}

#[test]
fn a_row_gives_the_sentence_the_level_the_event_and_its_fields() {
    let opened = Doors::Opened { door: "a".into(), wide: 200 };
    assert_eq!(opened.to_string(), "door a is open, wide");
    assert_eq!((opened.event(), opened.level()), ("door.opened", LogLevel::Warn));
    assert_eq!(opened.fields(), [("door", json!("a")), ("wide", json!(200))]);
    assert_eq!(Doors::Opened { door: "a".into(), wide: 1 }.level(), LogLevel::Info);
    let locked = Doors::Lock(Locks::Locked);
    assert_eq!((&*locked.to_string(), locked.event()), ("the door is locked", "lock.locked"));
    assert_eq!((locked.level(), locked.fields()), (LogLevel::Info, Vec::new()));
}

#[test]
fn the_table_has_every_row() {
    let [opened, locked] = Doors::table().try_into().unwrap();
    assert_eq!((opened.event, opened.since), ("door.opened", "0.2.0"));
    assert_eq!(opened.levels, [LogLevel::Info, LogLevel::Warn]);
    assert_eq!(opened.fields, ["`door` (text)", "`wide` (number)"]);
    assert_eq!(opened.when, "A door was opened (a warning: by more than a metre).");
    assert_eq!((locked.event, locked.since), ("lock.locked", "0.1.0"));
}

#[test]
fn a_field_is_the_json_that_a_program_expects() {
    let mut fields = Fields::new();
    Duration::from_millis(1500).put("took", &mut fields);
    None::<Generation>.put("serving", &mut fields);
    vec!["a".to_owned()].put("set", &mut fields);
    assert_eq!(fields, [("took", json!(1.5)), ("serving", json!(null)), ("set", json!(["a"]))]);
    assert_eq!(Vec::<SocketAddr>::document("x"), ["`x` (list of text)"]);
}
