use std::net::{TcpListener, TcpStream};

use super::*;

const TEXT: &str = "\
Ip: Forwarding DefaultTTL\nIp: 1 64\n\
Tcp: RtoAlgorithm RtoMin MaxConn OutSegs EstabResets OutRsts InCsumErrors\nTcp: 1 200 -1 9 3 4 0\n\
TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeouts TCPReqQFullDrop TCPSomethingNew\n\
TcpExt: 0 5 6 7 8 9\n\
IpExt: InNoRoutes ListenDrops\nIpExt: 0 99\n";

#[test]
fn counters_are_found_by_their_names() {
    let counters = parse(TEXT);
    assert_eq!((counters.resets_sent, counters.connections_reset), (Some(4), Some(3)));
    assert_eq!((counters.listen_overflows, counters.listen_drops), (Some(5), Some(6)));
    assert_eq!((counters.timeouts, counters.requests_dropped), (Some(7), Some(8)));
    assert_eq!((counters.migrated, counters.not_migrated), (None, None), "this kernel does not have them");
}

#[test]
fn what_is_not_as_expected_is_left_out() {
    assert_eq!(parse(""), NetworkCounters::default());
    assert_eq!(parse("Tcp\nTcp:\nTcp: OutRsts"), NetworkCounters::default(), "no values");
    // A line that is too short, a value that is none, and one that is negative.
    assert_eq!(parse("Tcp: A OutRsts\nTcp: 1\n").resets_sent, None);
    assert_eq!(parse("Tcp: OutRsts\nTcp: many\n").resets_sent, None);
    assert_eq!(parse("Tcp: OutRsts\nTcp: -1\n").resets_sent, None);
    assert_eq!(parse("Tcp: OutRsts\nTcp: 99999999999999999999\n").resets_sent, None, "more than any counter");
    // More values than names, another order, and nothing behind a word that only begins so.
    assert_eq!(parse("TcpExtra: OutRsts\nTcpExtra: 1\nTcp: OutRsts\nTcp: 2 3 4\n").resets_sent, Some(2));
    for cut in 0..TEXT.len() {
        parse(&TEXT[..cut]);
    }
}

#[test]
fn a_refused_connection_is_a_reset_that_was_sent() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let before = network();
    assert!(TcpStream::connect(address).is_err());
    let since = network().since(before);
    assert!(since.resets_sent >= Some(1), "{since:?}");
}
