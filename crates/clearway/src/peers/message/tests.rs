use super::*;

#[test]
fn what_a_later_version_says_is_passed_over() {
    let known = serde_json::from_str::<PeerMessage>(r#"{"message":"keep","sockets":3,"colour":"blue"}"#);
    assert_eq!(known.unwrap(), PeerMessage::Keep { sockets: 3 });
    let unknown = serde_json::from_str::<PeerMessage>(r#"{"message":"sing","song":[1,2]}"#);
    assert_eq!(unknown.unwrap(), PeerMessage::Unknown);
    let role = serde_json::from_str::<Initiator>(r#""bystander""#);
    assert_eq!(role.unwrap(), Initiator::Unknown);
}

#[test]
fn a_message_comes_back_as_it_went() {
    let names = vec![
        Names { namespace: String::new(), interface: "eth0".to_owned() },
        Names { namespace: "blue".to_owned(), interface: String::new() },
    ];
    for message in [
        PeerMessage::hello(Initiator::Successor),
        PeerMessage::Sockets { names },
        PeerMessage::Release { at_once: true },
        PeerMessage::Relieved,
    ] {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<PeerMessage>(&text).unwrap(), message, "{text}");
    }
}

#[test]
fn versions_that_do_not_meet_are_named() {
    assert_eq!(agree(PROTOCOL + 4, PROTOCOL), Ok(PROTOCOL));
    let error = agree(PROTOCOL + 4, PROTOCOL + 1).unwrap_err();
    assert!(error.contains(&format!("versions {} to {}", PROTOCOL + 1, PROTOCOL + 4)), "{error}");
    assert!(agree(0, 0).is_err());
}
