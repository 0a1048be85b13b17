use super::*;

fn of(text: &str) -> Configuration {
    Configuration::of_text(Path::new("a.cfg"), text)
}

#[test]
fn servers_that_come_go_or_move_are_named() {
    let former =
        of("backend b\n server one 10.0.0.1:80\n server two 10.0.0.2:80\n server three 10.0.0.3:80\n");
    let new = of("backend b\n server one 10.0.0.1:80\n server two 10.0.0.9:80\n server four 10.0.0.4:80\n");
    assert_eq!(
        servers(&former, &new),
        [
            "server b/four: new, 10.0.0.4:80",
            "server b/three: gone",
            "server b/two: 10.0.0.9:80 (is 10.0.0.2:80)"
        ]
    );
    assert!(servers(&new, &new).is_empty());
}

#[test]
fn what_would_take_datagrams_is_not_tried() {
    assert!(can_be_tried(&of("frontend f\n bind :80\n bind /run/f.sock\n")).is_ok());
    let refused = can_be_tried(&of("log-forward l\n dgram-bind 127.0.0.1:514\n")).unwrap_err();
    assert!(refused.message.contains("a.cfg:2"), "{}", refused.message);
}

#[test]
fn a_unix_socket_has_another_name_first() {
    assert_eq!(unfinished(Path::new("/run/h.sock"), 123), Path::new("/run/h.sock.123.tmp"));
}
