//! One server: a connection from the foreign address, a second one from our own where it helps, a verdict.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Hindrance};
use super::is_ours;
use super::outcome::{Answer, Outcome, Place};

/// The part of the limit after which our own address is tried as well.
const OWN_AFTER: u32 = 3;

/// One of the two connections.
enum Side {
    NotBegun,
    Waiting(Attempt),
    Done(Answer),
}

/// One server that is being asked.
pub(super) struct Probe {
    server: SocketAddr,
    foreign: Side,
    own: Side,
    own_at: Instant,
    deadline: Instant,
    /// Known already.
    outcome: Option<Outcome>,
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
            Some(why) => (Side::NotBegun, Some(Outcome::NotAsked { why })),
            None => match Attempt::begin(server, Some(from)) {
                Ok(attempt) => (Side::Waiting(attempt), None),
                Err(Hindrance::NoPrivilege(family)) => {
                    (Side::NotBegun, Some(Outcome::NoPrivilege { family }))
                }
                Err(Hindrance::Other(why)) => (Side::NotBegun, Some(Outcome::NotAsked { why })),
            },
        };
        // A limit beyond the clock's end is none that anybody meant.
        let deadline = now.checked_add(limit).unwrap_or(now);
        let own_at = now.checked_add(limit / OWN_AFTER).unwrap_or(now);
        Self { server, foreign, own: Side::NotBegun, own_at, deadline, outcome }
    }

    /// Looks at both connections; says what is to say when all is known or the time is over.
    pub(super) fn step(&mut self, now: Instant) -> Option<Outcome> {
        if let Some(outcome) = self.outcome.take() {
            return Some(outcome);
        }
        if let Some((answer, took)) = self.foreign.look() {
            if answer == Answer::Accepts {
                return Some(Outcome::WayBack { took });
            }
            // Closed by now, so it does not stand in the way of the second one.
            self.foreign = Side::Done(answer);
        }
        let turned_down = matches!(self.foreign, Side::Done(_));
        if matches!(self.own, Side::NotBegun) && (turned_down || now >= self.own_at) {
            self.own = match Attempt::begin(self.server, None) {
                Ok(attempt) => Side::Waiting(attempt),
                Err(Hindrance::Other(why)) => Side::Done(Answer::NotAsked { why }),
                Err(Hindrance::NoPrivilege(_)) => Side::Done(Answer::Silent),
            };
        }
        if let Some((answer, _)) = self.own.look() {
            self.own = Side::Done(answer);
        }
        match (&self.foreign, &self.own) {
            (Side::Done(foreign), Side::Done(own)) => Some(self.conclude(foreign.clone(), own.clone())),
            _ if now >= self.deadline => Some(self.conclude(self.foreign.said(), self.own.said())),
            _ => None,
        }
    }

    /// When to look again although no socket has news.
    pub(super) fn next_moment(&self) -> Instant {
        match self.own {
            Side::NotBegun => self.own_at.min(self.deadline),
            Side::Waiting(_) | Side::Done(_) => self.deadline,
        }
    }

    /// What to wait for.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.foreign, &self.own].into_iter().filter_map(|side| match side {
            Side::Waiting(attempt) => Some(attempt.as_fd()),
            Side::NotBegun | Side::Done(_) => None,
        })
    }

    fn conclude(&self, foreign: Answer, own: Answer) -> Outcome {
        let place = if is_ours(self.server.ip()) { Place::Here } else { Place::Elsewhere };
        Outcome::of(foreign, own, place)
    }
}

impl Side {
    fn look(&self) -> Option<(Answer, Duration)> {
        match self {
            Self::Waiting(attempt) => attempt.answer(),
            Self::NotBegun | Self::Done(_) => None,
        }
    }

    /// At the end of the time.
    fn said(&self) -> Answer {
        match self {
            Self::Done(answer) => answer.clone(),
            Self::Waiting(_) => Answer::Silent,
            Self::NotBegun => Answer::NotAsked { why: "the time was over before".to_owned() },
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
