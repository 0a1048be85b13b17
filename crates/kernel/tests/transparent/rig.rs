//! Servers on this host, and clients on another one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use clearway_lab::inside::run;
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::Session;
use clearway_lab::sockets::DEADLINE;
use clearway_lab::topology::{Gateway, beside};

use super::{CLIENT, LOOPBACK, OWN, SILENCE};

/// The host of the client beside this one, 10.1.0.1 and `fd01::1`, which is also 192.0.2.1.
pub fn client_host() -> Result<Namespace> {
    run("ip addr add 192.0.2.1/32 dev lo")?;
    beside(&Namespace::host()?, 1, Gateway::Here)
}

pub fn serve(host: &Namespace, addresses: &[&str]) -> Result<Server> {
    let listen = addresses.iter().map(|address| address.parse()).collect::<Result<Vec<_>, _>>()?;
    Server::start(host, "server", &listen, Mode::Line)
}

/// A connection that stays open.
pub fn open(target: &str, source: &str) -> Result<Session> {
    let session =
        Session::open_foreign(&Namespace::host()?, target.parse()?, Some(source.parse()?), DEADLINE)?;
    session.set_patience(SILENCE)?;
    Ok(session)
}

/// Connects, from that address, foreign (as HAProxy with `usesrc clientip` does) or not, and says what the server sees:
/// that address, `refused`, or `silence`.
pub fn ask_from(host: &Namespace, target: &str, source: Option<&str>) -> Result<String> {
    let source = source.map(str::parse).transpose()?;
    match Session::open_foreign(host, target.parse()?, source, SILENCE) {
        Ok(session) => Ok(session.peer_seen().to_owned()),
        Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => Ok("refused".to_owned()),
            Some(
                ErrorKind::TimedOut
                | ErrorKind::WouldBlock
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable,
            ) => Ok("silence".to_owned()),
            _ => Err(error),
        },
    }
}

/// The same from this host.
pub fn ask(target: &str, source: Option<&str>) -> Result<String> {
    ask_from(&Namespace::host()?, target, source)
}

/// The client's address in the family of a server.
pub fn client_of(server: &str) -> Result<&'static str> {
    let [v4, v6] = CLIENT;
    Ok(if server.parse::<SocketAddr>()?.is_ipv4() { v4 } else { v6 })
}

/// Each server sees the client of a transparent connection.
pub fn seen(servers: &[&str]) -> Result<()> {
    for server in servers {
        let client = client_of(server)?;
        let told = ask(server, Some(client))?;
        ensure!(told == client, "{server} from {client}: {told}");
    }
    Ok(())
}

/// None of the servers can be reached transparently.
pub fn astray(servers: &[&str]) -> Result<()> {
    for server in servers {
        let told = ask(server, Some(client_of(server)?))?;
        ensure!(told == "silence", "{server}: {told}");
    }
    Ok(())
}

/// Clients that come by themselves, from this host and, to own addresses, from the other one.
pub fn direct_clients_are_served(host: &Namespace) -> Result<()> {
    for (server, from) in [
        ("127.0.0.1:81", "127.0.0.1"),
        ("127.0.0.1:81", "10.1.0.1"),
        ("127.0.0.9:81", "127.0.0.1"),
        ("[::1]:81", "::1"),
        ("[::1]:81", "fd01::1"),
        ("10.1.0.1:82", "10.1.0.1"),
        ("10.1.0.1:82", "127.0.0.1"),
        ("192.0.2.1:82", "10.1.0.1"),
        ("[fd01::1]:82", "fd01::1"),
    ] {
        let told = ask(server, Some(from))?;
        ensure!(told == from, "{server} directly from {from}: {told}");
    }
    for server in OWN {
        let told = ask_from(host, server, None)?;
        ensure!(told == client_of(server)?, "{server} directly from the other host: {told}");
    }
    Ok(())
}

/// The host of the client, and the servers on this one.
pub struct Stage {
    pub client: Namespace,
    _servers: Server,
}

pub fn stage() -> Result<Stage> {
    let client = client_host()?;
    let here = Namespace::host()?;
    Ok(Stage { client, _servers: serve(&here, &[LOOPBACK, OWN].concat())? })
}

/// Connections that conntrack has in its table; none where it is not switched on.
pub fn tracked() -> Result<usize> {
    match std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        text => Ok(text?.trim().parse()?),
    }
}

/// Of the test's own namespace: Clearway itself writes no sysctl.
pub fn strict() -> Result<()> {
    for name in ["all", "default", "lo", "eth1"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "1")?;
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/src_valid_mark"), "1")?;
    }
    Ok(())
}

pub fn nft(script: &str) -> Result<()> {
    Namespace::host()?.nft(script)
}
