//! One server: a connection from the foreign address, a second one from our own where it helps, a verdict.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::handshake::{Handshake, Hindrance};
use super::ours::is_ours;
use super::outcome::{ProbeAnswer, ProbeOutcome, ServerLocation};

/// The part of the limit after which our own address is tried as well.
const OWN_AFTER: u32 = 3;

/// One of the two connections.
enum ProbeConnection {
    NotBegun,
    Waiting(Handshake),
    Done(ProbeAnswer),
}

/// One server that is being asked.
pub(super) struct Probe {
    server: SocketAddr,
    foreign: ProbeConnection,
    own: ProbeConnection,
    own_at: Instant,
    deadline: Instant,
    /// Known already.
    outcome: Option<ProbeOutcome>,
}

impl Probe {
    /// Sends the first SYN. A server that is an IPv4 address in IPv6 clothes is asked over IPv4.
    pub(super) fn begin(server: SocketAddr, from: IpAddr, limit: Duration) -> Self {
        let server = match server.ip().to_canonical() {
            IpAddr::V4(address) => SocketAddr::new(address.into(), server.port()),
            IpAddr::V6(_) => server,
        };
        let now = Instant::now();
        let (foreign, outcome) = match obstacle(server, from) {
            Some(why) => (ProbeConnection::NotBegun, Some(ProbeOutcome::NotAsked { why })),
            None => match Handshake::begin(server, Some(from)) {
                Ok(handshake) => (ProbeConnection::Waiting(handshake), None),
                Err(Hindrance::NoPrivilege(family)) => {
                    (ProbeConnection::NotBegun, Some(ProbeOutcome::NoPrivilege { family }))
                }
                Err(Hindrance::Other(why)) => {
                    (ProbeConnection::NotBegun, Some(ProbeOutcome::NotAsked { why }))
                }
            },
        };
        // A limit beyond the range of the clock counts as zero.
        let deadline = now.checked_add(limit).unwrap_or(now);
        let own_at = now.checked_add(limit / OWN_AFTER).unwrap_or(now);
        Self { server, foreign, own: ProbeConnection::NotBegun, own_at, deadline, outcome }
    }

    /// Looks at both connections; says what is to say when all is known or the time is over.
    pub(super) fn step(&mut self, now: Instant) -> Option<ProbeOutcome> {
        if let Some(outcome) = self.outcome.take() {
            return Some(outcome);
        }
        if let Some((answer, took)) = self.foreign.look() {
            if answer == ProbeAnswer::Accepts {
                return Some(ProbeOutcome::WayBack { took });
            }
            // Closed by now, so it does not stand in the way of the second one.
            self.foreign = ProbeConnection::Done(answer);
        }
        let turned_down = matches!(self.foreign, ProbeConnection::Done(_));
        if matches!(self.own, ProbeConnection::NotBegun) && (turned_down || now >= self.own_at) {
            self.own = match Handshake::begin(self.server, None) {
                Ok(handshake) => ProbeConnection::Waiting(handshake),
                Err(Hindrance::Other(why)) => ProbeConnection::Done(ProbeAnswer::NotAsked { why }),
                Err(Hindrance::NoPrivilege(_)) => ProbeConnection::Done(ProbeAnswer::Silent),
            };
        }
        if let Some((answer, _)) = self.own.look() {
            self.own = ProbeConnection::Done(answer);
        }
        match (&self.foreign, &self.own) {
            (ProbeConnection::Done(foreign), ProbeConnection::Done(own)) => {
                Some(self.conclude(foreign.clone(), own.clone()))
            }
            _ if now >= self.deadline => Some(self.conclude(self.foreign.said(), self.own.said())),
            _ => None,
        }
    }

    /// When to look again although no socket has news.
    pub(super) fn next_moment(&self) -> Instant {
        match self.own {
            ProbeConnection::NotBegun => self.own_at.min(self.deadline),
            ProbeConnection::Waiting(_) | ProbeConnection::Done(_) => self.deadline,
        }
    }

    /// What to wait for.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.foreign, &self.own].into_iter().filter_map(|side| match side {
            ProbeConnection::Waiting(handshake) => Some(handshake.as_fd()),
            ProbeConnection::NotBegun | ProbeConnection::Done(_) => None,
        })
    }

    fn conclude(&self, foreign: ProbeAnswer, own: ProbeAnswer) -> ProbeOutcome {
        let place = if is_ours(self.server.ip()) { ServerLocation::Here } else { ServerLocation::Elsewhere };
        ProbeOutcome::of(foreign, own, place)
    }
}

impl ProbeConnection {
    fn look(&self) -> Option<(ProbeAnswer, Duration)> {
        match self {
            Self::Waiting(handshake) => handshake.answer(),
            Self::NotBegun | Self::Done(_) => None,
        }
    }

    /// At the end of the time.
    fn said(&self) -> ProbeAnswer {
        match self {
            Self::Done(answer) => answer.clone(),
            Self::Waiting(_) => ProbeAnswer::Silent,
            Self::NotBegun => ProbeAnswer::NotAsked { why: "the time was over before".to_owned() },
        }
    }
}

/// Why a connection would prove nothing.
fn obstacle(server: SocketAddr, from: IpAddr) -> Option<String> {
    if server.port() == 0 || server.ip().is_unspecified() {
        return Some(format!(
            "{server} is no address to connect to: HAProxy takes each client's destination"
        ));
    }
    if server.is_ipv4() != from.is_ipv4() {
        return Some(format!("a client from {from} and the server {server} are not of the same family"));
    }
    if from == server.ip() {
        return Some(format!("{from} is the server itself, which drops what seems to come from itself"));
    }
    is_ours(from).then(|| {
        format!(
            "{from} is an address of this host, and proves nothing: set CLEARWAY_CANARY_ADDRESS to another"
        )
    })
}
