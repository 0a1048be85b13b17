use std::net::{TcpListener, UdpSocket};

use clearway_haproxy::configuration::{Configuration, SourceFile};

use super::*;

/// As HAProxy answers: of a UDP socket it says nothing.
fn received(socket: impl Into<OwnedFd>) -> Held {
    let (namespace, interface) = (String::new(), String::new());
    Held::received(ReceivedSocket { fd: socket.into(), namespace, interface }).unwrap()
}

fn completed(socket: impl Into<OwnedFd>, text: &str) -> (String, String) {
    let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.as_bytes().to_vec() };
    let configuration = Configuration::scan(vec![file], &|_| None);
    let mut held = received(socket);
    held.complete(&BindLines::of(&configuration));
    (held.socket.namespace, held.socket.interface)
}

#[test]
fn a_udp_socket_gets_the_names_of_its_line() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    for (words, want) in [
        (vec![""], ("", "")),
        (vec!["interface eth0"], ("", "eth0")),
        (vec!["interface eth0 namespace blue"], ("blue", "eth0")),
        (vec!["interface eth0", "interface eth0"], ("", "eth0")),
        // It cannot be told which one made it.
        (vec!["interface eth0", "interface eth1"], ("", "")),
        (vec!["transparent interface eth0"], ("", "")),
        (vec![], ("", "")),
    ] {
        let lines = words.iter().map(|words| format!(" dgram-bind 127.0.0.1:{port} {words}\n"));
        let text = format!("log-forward l\n{}", lines.collect::<String>());
        let found = completed(udp.try_clone().unwrap(), &text);
        assert_eq!(found, (want.0.to_owned(), want.1.to_owned()), "{text}");
    }
}

#[test]
fn of_a_tcp_socket_haproxy_has_said_everything() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("listen a\n bind {} interface eth0\n", tcp.local_addr().unwrap());
    assert_eq!(completed(tcp, &text), (String::new(), String::new()));
}
