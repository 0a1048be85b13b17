//! One connection that is being made, and its outcome.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::icmp;
use super::outcome::ProbeAnswer;
use crate::transparency::Family;

/// A socket in SYN-SENT, or an instant later.
///
/// Dropped, it leaves nothing behind, see the parent module.
pub(super) struct Handshake {
    socket: Socket,
    begun: Instant,
}

/// Why none could begin.
pub(super) enum Hindrance {
    /// `IP_TRANSPARENT` or `IPV6_TRANSPARENT`: `EPERM`.
    NoPrivilege(Family),
    /// Everything else, in words.
    Other(String),
}

impl Handshake {
    /// Sends the first SYN, `from` a foreign address or from our own.
    pub(super) fn begin(server: SocketAddr, from: Option<IpAddr>) -> Result<Self, Hindrance> {
        let socket = prepared(server, from)?;
        let begun = Instant::now();
        match socket.connect(&server.into()) {
            Ok(()) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            Err(error) => return Err(Hindrance::Other(format!("connecting to {server}: {error}"))),
        }
        Ok(Self { socket, begun })
    }

    /// What is known by now, and how long it took.
    pub(super) fn answer(&self) -> Option<(ProbeAnswer, Duration)> {
        let answer = self.look()?;
        Some((answer, self.begun.elapsed()))
    }

    fn look(&self) -> Option<ProbeAnswer> {
        if let Some(told) = icmp::next(&self.socket) {
            return Some(ProbeAnswer::Unreachable(told));
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut polled = [PollFd::new(&self.socket, PollFlags::OUT)];
        poll(&mut polled, Some(&now)).ok()?;
        let [polled] = polled;
        let seen = polled.revents();
        if seen.is_empty() {
            return None;
        }
        Some(match self.socket.take_error() {
            Ok(Some(error)) => failed(Errno::from_io_error(&error), &error),
            Ok(None) if seen.contains(PollFlags::HUP) => ProbeAnswer::Silent,
            // Our own port connected to itself (simultaneous open): no process listens there.
            Ok(None) if self.is_itself() => ProbeAnswer::Refuses,
            Ok(None) if seen.contains(PollFlags::OUT) => ProbeAnswer::Accepts,
            Ok(None) => return None,
            Err(error) => {
                ProbeAnswer::NotAsked { why: format!("reading what became of the connection: {error}") }
            }
        })
    }

    fn is_itself(&self) -> bool {
        let both = self.socket.local_addr().ok().zip(self.socket.peer_addr().ok());
        both.is_some_and(|(local, peer)| local.as_socket() == peer.as_socket())
    }
}

impl AsFd for Handshake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn failed(errno: Option<Errno>, error: &std::io::Error) -> ProbeAnswer {
    match errno {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => ProbeAnswer::Refuses,
        // `tcp_syn_retries` can be set so low that the kernel gives up before us.
        Some(Errno::TIMEDOUT) => ProbeAnswer::Silent,
        errno => errno
            .and_then(icmp::from_errno)
            .map_or_else(|| ProbeAnswer::NotAsked { why: error.to_string() }, ProbeAnswer::Unreachable),
    }
}

fn prepared(server: SocketAddr, from: Option<IpAddr>) -> Result<Socket, Hindrance> {
    let family = Family::of(server.ip());
    let hindrance =
        |doing: String| move |error: std::io::Error| Hindrance::Other(format!("{doing}: {error}"));
    let doing = || hindrance(format!("making an {family} socket"));
    let socket =
        Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP)).map_err(doing())?;
    socket.set_nonblocking(true).map_err(doing())?;
    socket.set_linger(Some(Duration::ZERO)).map_err(doing())?;
    // Without it the last ACK goes out at once, and the server's application sees a connection come and go.
    let _ = socket.set_tcp_quickack(false);
    icmp::subscribe(&socket, server.ip());
    let Some(from) = from else { return Ok(socket) };
    let transparent = match family {
        Family::V4 => socket.set_ip_transparent_v4(true),
        Family::V6 => socket.set_ip_transparent_v6(true),
    };
    transparent.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::PERM) => Hindrance::NoPrivilege(family),
        _ => Hindrance::Other(format!("making an {family} socket transparent: {error}")),
    })?;
    let source = SocketAddr::new(from, 0);
    socket.bind(&source.into()).map_err(hindrance(format!("binding a transparent socket to {from}")))?;
    Ok(socket)
}
