//! A copy with private ports, as HAProxy reads it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;

use clearway_haproxy::configuration::{Configuration, SourceFile};
use clearway_haproxy::derived::{Why, derive};
use clearway_haproxy::inventory::LocalAddress;
use libtest_mimic::Failed;
use socket2::{Domain, Socket, Type};

use crate::binary::Binary;
use crate::process::{Start, identities};
use crate::{Verdict, check, listen};

/// The public ports belong to another process, which does not share them: the original could not even start.
pub(crate) fn a_derived_copy_listens_on_private_ports(binary: &Binary) -> Result<Verdict, Failed> {
    let Ok(six) = TcpListener::bind("[::1]:0") else { return Ok(Verdict::Ignored("no IPv6 here")) };
    let held = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [one, two] = [held[0].local_addr()?.port(), held[1].local_addr()?.port()];
    let six = (six.local_addr()?.port(), six);
    let binds = [
        format!("ipv4@127.0.0.1:{one},127.0.0.1:{two} name several"),
        format!("\"127.0.0.1\":{one} # again"),
        format!("[::1]:{} v6only", six.0),
        format!("abns@clearway-derived-{}", std::process::id()),
        "127.0.0.2:1-3".to_owned(),
    ];
    let (text, name) = (listen(&binds), PathBuf::from("user.cfg"));
    let source = SourceFile { name: name.clone(), path: name, bytes: text.clone().into_bytes() };
    let mut reserved = Vec::new();
    let derived = derive(&Configuration::scan(vec![source], &|_| None), &mut |public| {
        let (port, socket) = reserve(public.ip()).ok()?;
        reserved.push(socket);
        Some(port)
    })?;
    check(derived.left.len() == 1 && derived.left[0].why == Why::NoIp, format!("{:?}", derived.left))?;
    let copy = String::from_utf8(derived.files[0].clone())?;
    let mut running = Start { text: &copy, ..Start::default() }.run(binary)?;
    if let Err(error) = running.info() {
        return Err(format!("{error:?}: {copy}\n{:?}", running.words()?).into());
    }
    let bound: BTreeSet<SocketAddr> = identities(running.fetch()?.iter().map(|socket| &socket.fd))?
        .into_iter()
        .filter_map(|socket| match socket.address {
            LocalAddress::Ip(address) => Some(address),
            _ => None,
        })
        .collect();
    let wanted: BTreeSet<SocketAddr> =
        derived.moved.iter().map(|moved| SocketAddr::new(moved.public.ip(), moved.private)).collect();
    check(bound == wanted && wanted.len() == 6, format!("{bound:?}, not {wanted:?}"))?;
    check(copy.lines().count() == text.lines().count(), "the lines have other numbers")?;
    Ok(Verdict::Passed)
}

fn reserve(address: IpAddr) -> std::io::Result<(u16, Socket)> {
    let address = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
    Ok((port, socket))
}
