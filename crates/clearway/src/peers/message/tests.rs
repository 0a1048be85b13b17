use super::*;

#[test]
fn what_a_later_version_says_is_passed_over() {
    let known = serde_json::from_str::<Message>(r#"{"message":"keep","sockets":3,"colour":"blue"}"#);
    assert_eq!(known.unwrap(), Message::Keep { sockets: 3 });
    let unknown = serde_json::from_str::<Message>(r#"{"message":"sing","song":[1,2]}"#);
    assert_eq!(unknown.unwrap(), Message::Unknown);
    let role = serde_json::from_str::<Role>(r#""bystander""#);
    assert_eq!(role.unwrap(), Role::Unknown);
}

#[test]
fn a_message_comes_back_as_it_went() {
    let names = vec![
        Names { namespace: String::new(), interface: "eth0".to_owned() },
        Names { namespace: "blue".to_owned(), interface: String::new() },
    ];
    for message in [
        Message::hello(Role::Successor),
        Message::Sockets { names },
        Message::Release { at_once: true },
        Message::Relieved,
    ] {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message, "{text}");
    }
}

#[test]
fn versions_that_do_not_meet_are_named() {
    assert_eq!(agree(PROTOCOL + 4, PROTOCOL), Ok(PROTOCOL));
    let error = agree(PROTOCOL + 4, PROTOCOL + 1).unwrap_err();
    assert!(error.contains(&format!("versions {} to {}", PROTOCOL + 1, PROTOCOL + 4)), "{error}");
    assert!(agree(0, 0).is_err());
}
