use super::super::SourceFile;
use super::*;
use crate::inventory::Inode;

fn scan(text: &str) -> Configuration {
    let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.as_bytes().to_vec() };
    Configuration::scan(vec![file], &|_| None)
}

fn socket(kind: SocketKind, address: &str) -> SocketIdentity {
    SocketIdentity {
        inode: Inode(1),
        kind,
        address: match address.split_once('@') {
            Some(("unix", path)) => LocalAddress::Path(path.into()),
            Some((_, name)) => LocalAddress::Abstract(name.into()),
            None => LocalAddress::Ip(address.parse().unwrap()),
        },
        device: None,
        v6only: false,
        foreign: false,
        listening: true,
    }
}

const TEXT: &str = "\
listen a
    bind 10.0.0.1:80,10.0.0.1:82-84
    bind 10.0.0.1:80 interface eth0
    bind 10.0.0.1:80 transparent
    bind quic4@10.0.0.1:80 interface eth1
    bind mptcp4@10.0.0.1:81
    bind /run/a.sock
    bind abns@b
    bind fe80::1%eth0:80
log-forward l
    dgram-bind :514
    dgram-bind :514 interface eth0
";

fn lines(socket: &SocketIdentity) -> Vec<usize> {
    let configuration = scan(TEXT);
    BindLines::of(&configuration).that_make(socket).map(|bind| bind.span.line).collect()
}

#[test]
fn a_line_is_found_by_address_kind_interface_and_transparency() {
    use SocketKind::{Datagram, Mptcp, Stream};
    let plain = socket(Stream, "10.0.0.1:80");
    let on = |device: &str, other: &SocketIdentity| SocketIdentity {
        device: Some(device.into()),
        ..other.clone()
    };
    for (socket, want) in [
        (plain.clone(), vec![2, 3]),
        (on("eth0", &plain), vec![3]),
        (on("eth9", &plain), vec![]),
        (SocketIdentity { foreign: true, ..plain.clone() }, vec![4]),
        (SocketIdentity { kind: Datagram, ..plain.clone() }, vec![5]),
        (socket(Mptcp, "10.0.0.1:81"), vec![6]),
        (socket(Stream, "10.0.0.1:81"), vec![6]),
        (socket(Stream, "10.0.0.1:83"), vec![2]),
        (socket(Stream, "10.0.0.1:85"), vec![]),
        (socket(Stream, "unix@/run/a.sock"), vec![7]),
        (socket(Stream, "abns@b"), vec![8]),
        (on("eth0", &socket(Stream, "[fe80::1%7]:80")), vec![9]),
        (on("eth0", &socket(Datagram, "0.0.0.0:514")), vec![12]),
        (socket(Stream, "0.0.0.0:514"), vec![]),
    ] {
        assert_eq!(lines(&socket), want, "{socket}, {socket:?}");
    }
}

#[test]
fn a_hostile_file_is_not_written_out() {
    let configuration = scan(&"listen a\n bind :1-65535\n".repeat(1000));
    let found = BindLines::of(&configuration).by_address.values().map(Vec::len).sum::<usize>();
    assert_eq!(found, MOST);
}
