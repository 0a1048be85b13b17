//! Which server is asked when, within one round.
//!
//! | limit | |
//! |---|---|
//! | each server | asked once in a round, with two connections at most; rounds are 5 s apart or more |
//! | each host | [`OF_A_HOST`] servers at the same time |
//! | all of them | [`A_SECOND`] begin each second, after a pause at most [`BURST`] at once; no more at the same time than the window |
//!
//! So 5,000 servers that answer or refuse take five seconds. Silent ones take the time that is waited for each: with a
//! window of 256 and 5 s, 5,000 take 100 s. Hosts take turns, so that a silent one with many servers does not keep the
//! others waiting.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How many servers of one host are asked at the same time.
pub const OF_A_HOST: usize = 64;

/// How many servers are begun with in a second.
pub const A_SECOND: u32 = 1000;

/// How many of those are made up for at once after a pause: this process may have been kept from running.
pub const BURST: u32 = 32;

/// The most that are asked at the same time.
pub const MOST_AT_ONCE: usize = 256;

/// How often it is told how far a round is.
pub const TELL_EVERY: Duration = Duration::from_secs(10);

/// How many servers may be asked at the same time with this many descriptors: each takes two, and all together at most a
/// quarter.
pub fn window(descriptors: u64) -> usize {
    usize::try_from(descriptors / 8).unwrap_or(MOST_AT_ONCE).clamp(8, MOST_AT_ONCE)
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundStep {
    /// Ask the server with this number now.
    Ask(usize),
    /// Nothing before this moment.
    NotBefore(Duration),
    /// Nothing before one that is being asked is done.
    Wait,
    /// All have been asked, and all are done.
    Done,
}

/// How far a round is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundProgress {
    /// How many are done.
    pub done: usize,
    /// Of how many.
    pub of: usize,
}

#[derive(Debug, Default)]
struct Host {
    /// Those that were not asked yet.
    left: VecDeque<usize>,
    running: usize,
}

/// One round.
#[derive(Debug)]
pub struct RoundPace {
    servers: Vec<IpAddr>,
    hosts: HashMap<IpAddr, Host>,
    /// Hosts with a server left to ask and room for it, in turn.
    turn: VecDeque<IpAddr>,
    window: usize,
    running: usize,
    done: usize,
    /// When the next one may begin.
    next_at: Duration,
    tell_at: Duration,
}

impl RoundPace {
    /// All servers, by their number; `window`: how many at the same time.
    pub fn new(servers: impl Iterator<Item = SocketAddr>, window: usize, now: Duration) -> Self {
        let servers: Vec<IpAddr> = servers.map(|server| server.ip().to_canonical()).collect();
        let mut hosts: HashMap<IpAddr, Host> = HashMap::new();
        let mut turn = VecDeque::new();
        for (number, address) in servers.iter().enumerate() {
            let host = hosts.entry(*address).or_default();
            if host.left.is_empty() {
                turn.push_back(*address);
            }
            host.left.push_back(number);
        }
        let (window, tell_at) = (window.max(1), now + TELL_EVERY);
        Self { servers, hosts, turn, window, running: 0, done: 0, next_at: now, tell_at }
    }

    /// What is to be done at this moment. What it says to ask counts as being asked from then on.
    pub fn next(&mut self, now: Duration) -> RoundStep {
        if self.done == self.servers.len() {
            return RoundStep::Done;
        }
        if self.running == self.window {
            return RoundStep::Wait;
        }
        let Some(address) = self.turn.front().copied() else { return RoundStep::Wait };
        if now < self.next_at {
            return RoundStep::NotBefore(self.next_at);
        }
        self.turn.pop_front();
        let Some(host) = self.hosts.get_mut(&address) else { return RoundStep::Wait };
        let Some(number) = host.left.pop_front() else { return RoundStep::Wait };
        host.running += 1;
        if !host.left.is_empty() && host.running < OF_A_HOST {
            self.turn.push_back(address);
        }
        self.running += 1;
        let apart = Duration::from_secs(1) / A_SECOND;
        self.next_at = self.next_at.max(now.saturating_sub(apart * BURST)) + apart;
        RoundStep::Ask(number)
    }

    /// The server with this number is done.
    pub fn done(&mut self, number: usize) {
        let Some(address) = self.servers.get(number).copied() else { return };
        let Some(host) = self.hosts.get_mut(&address).filter(|host| host.running > 0) else { return };
        // One that was full had lost its turn.
        if host.running == OF_A_HOST && !host.left.is_empty() {
            self.turn.push_back(address);
        }
        host.running -= 1;
        self.running -= 1;
        self.done += 1;
    }

    /// How far it is.
    pub fn progress(&self) -> RoundProgress {
        RoundProgress { done: self.done, of: self.servers.len() }
    }

    /// How far it is, if it is time to tell.
    pub fn tell(&mut self, now: Duration) -> Option<RoundProgress> {
        if now < self.tell_at || self.done == self.servers.len() {
            return None;
        }
        self.tell_at = now + TELL_EVERY;
        Some(self.progress())
    }
}

#[cfg(test)]
mod tests;
