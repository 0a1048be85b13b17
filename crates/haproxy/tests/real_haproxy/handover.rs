//! Listening sockets from us to HAProxy, back, and to the next one.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use clearway_haproxy::complaint::ComplaintCause;
use clearway_haproxy::getsocks::OfferedSocket;
use clearway_haproxy::inventory::{LocalAddress, adoption};
use libtest_mimic::Failed;

use crate::binary::Binary;
use crate::process::{LIMIT, Start, identities};
use crate::{Verdict, check, listen, listeners};

fn offer(listeners: &[TcpListener]) -> Vec<OfferedSocket<'_>> {
    listeners.iter().map(|l| OfferedSocket { fd: l.as_fd(), namespace: "", interface: "" }).collect()
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<String>, Failed> {
    listeners.iter().map(|l| Ok(l.local_addr()?.to_string())).collect()
}

/// Connects, and waits until HAProxy has accepted and closed.
fn is_served(address: SocketAddr) -> Result<(), Failed> {
    let mut client = TcpStream::connect_timeout(&address, LIMIT)?;
    client.set_read_timeout(Some(LIMIT))?;
    match client.read(&mut [0]) {
        Ok(0) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        other => Err(format!("{address}: {other:?}").into()),
    }
}

/// From us to a first HAProxy, from it back, and to a second one: always the same sockets.
fn around(binary: &Binary, count: usize) -> Result<(), Failed> {
    let made = listeners(count)?;
    let text = listen(&addresses(&made)?);
    let first = Start { text: &text, sockets: Some(&offer(&made)), ..Start::default() }.run(binary)?;
    let fetched = first.fetch()?;
    let ours = identities(&made)?;
    let found = adoption(&ours, &identities(fetched.iter().map(|s| &s.fd))?);
    check(found.adopted.len() == count, format!("first: {found:?}"))?;
    check(found.fresh.is_empty() && found.unclaimed.is_empty(), format!("first: {found:?}"))?;
    let address = made.first().ok_or("none")?.local_addr()?;
    drop(made);

    // No process serves now, but the sockets are ours: a client waits.
    drop(first);
    let waiting = std::thread::spawn(move || is_served(address));
    let offered: Vec<OfferedSocket<'_>> = fetched.iter().map(OfferedSocket::from).collect();
    let second = Start { text: &text, sockets: Some(&offered), ..Start::default() }.run(binary)?;
    let answered = second.fetch()?;
    let found = adoption(&ours, &identities(answered.iter().map(|s| &s.fd))?);
    check(found.adopted.len() == count && found.fresh.is_empty(), format!("second: {found:?}"))?;
    check(found.adopted.iter().all(|socket| socket.listening), "not listening")?;
    waiting.join().map_err(|_| "the client panicked")?
}

pub(crate) fn sockets_go_around(binary: &Binary) -> Result<Verdict, Failed> {
    around(binary, 3)?;
    Ok(Verdict::Passed)
}

pub(crate) fn six_hundred_sockets(binary: &Binary) -> Result<Verdict, Failed> {
    use rustix::process::{Resource, getrlimit};
    if getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < 2500) {
        return Ok(Verdict::Ignored("needs `ulimit -n 2500`"));
    }
    around(binary, 600)?;
    Ok(Verdict::Passed)
}

pub(crate) fn no_sockets_is_an_answer(binary: &Binary) -> Result<Verdict, Failed> {
    let text = listen(&[abstract_name("none")]);
    let mut running = Start { text: &text, sockets: Some(&[]), ..Start::default() }.run(binary)?;
    running.info()?;
    let fetched = running.fetch()?;
    check(fetched.len() == 1, "one socket of its own")?;
    let words = running.words()?;
    check(words.causes.is_empty(), format!("{words:?}"))?;
    Ok(Verdict::Passed)
}

pub(crate) fn silence_makes_haproxy_bind_for_itself(binary: &Binary) -> Result<Verdict, Failed> {
    let text = listen(&[abstract_name("silent")]);
    let mut running = Start { text: &text, silent: true, ..Start::default() }.run(binary)?;
    let words = running.words()?;
    check(words.causes == [ComplaintCause::SocketsNotReceived], format!("{words:?}"))?;
    check(running.fetch()?.len() == 1, "one socket of its own")?;
    Ok(Verdict::Passed)
}

/// `bind [::1]:port` without `v6only` (docs/facts A.6): HAProxy binds a second socket and says nothing.
pub(crate) fn a_socket_that_does_not_match_is_found_out(binary: &Binary) -> Result<Verdict, Failed> {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    if socket.bind(&SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0)).into()).is_err() {
        return Ok(Verdict::Ignored("no IPv6 on loopback"));
    }
    socket.listen(16)?;
    let made = [TcpListener::from(socket)];
    for (option, adopted) in [("", 0), (" v6only", 1)] {
        let text = listen(&[format!("{}{option}", made[0].local_addr()?)]);
        let running = Start { text: &text, sockets: Some(&offer(&made)), ..Start::default() }.run(binary)?;
        let answered = running.fetch()?;
        let found = adoption(&identities(&made)?, &identities(answered.iter().map(|s| &s.fd))?);
        check(
            (found.adopted.len(), found.fresh.len(), found.unclaimed.len())
                == (adopted, 1 - adopted, 1 - adopted),
            format!("`{option}`: {found:?}"),
        )?;
    }
    Ok(Verdict::Passed)
}

/// HAProxy tells the interface and takes it back; an abstract name is recognised.
pub(crate) fn names_and_interfaces_go_around(binary: &Binary) -> Result<Verdict, Failed> {
    let name = abstract_name("name");
    let made = listeners(1)?;
    let address = made[0].local_addr()?;
    let text = listen(&[name.clone(), format!("{address} interface lo")]);
    let offered = [OfferedSocket { fd: made[0].as_fd(), namespace: "", interface: "lo" }];
    let running = Start { text: &text, sockets: Some(&offered), ..Start::default() }.run(binary)?;
    let fetched = running.fetch()?;
    let found = identities(fetched.iter().map(|s| &s.fd))?;
    check(found.iter().any(|socket| socket.to_string() == name), format!("{found:?}"))?;
    let at = found.iter().position(|socket| socket.address == LocalAddress::Ip(address));
    let socket = at.and_then(|at| fetched.get(at)).ok_or("the address is not there")?;
    check(socket.interface == "lo", "the interface is not told")?;
    let adopted = adoption(&identities(&made)?, &found).adopted;
    check(adopted.len() == 1, "not adopted")?;
    Ok(Verdict::Passed)
}

fn abstract_name(what: &str) -> String {
    // Tests of several versions run at once.
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("abns@clearway-test-{}-{count}-{what}", std::process::id())
}
