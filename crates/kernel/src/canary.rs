//! The canary: does the return path to clients work?
//!
//! HAProxy's health checks come from the balancer's own address and stay green while every client's
//! connection dies (docs/facts e7). So a connection is made as HAProxy makes it for a
//! client: from a transparent socket, bound to an address that this host does not have. Where no answer comes,
//! a second one from our own address tells whether the server answers at all.
//!
//! ```text
//! foreign address  SYN ------------------------------------------------->  wait until the limit
//! our own address        SYN (after a third of the limit, or at once where the first was turned down)
//! ```
//!
//! **What is not known is not said.** A packet that was dropped on the way there and an answer that went
//! astray look the same from here. [`ProbeOutcome::NoWayBack`] says that the server answers to one address and
//! not to the other, within a limit; [`ProbeOutcome::Silent`] that it answers to neither. What is proved is a
//! handshake with one foreign address: not that large packets pass, nor that the server sees the client's
//! address (MASQUERADE), nor that its routes for other clients (its own subnet above all) lead here.
//!
//! **What a probe leaves behind.** Nothing is sent but the handshake, and that is not completed: as
//! HAProxy's own checks do, the last ACK is held back (`TCP_QUICKACK` off) and a reset goes in its place
//! (`SO_LINGER` of 0). The server's application is not woken, and neither side keeps a TIME-WAIT. If the last ACK
//! was faster (200 ms go by, `TCP_DELACK_MAX`), the application sees a connection that is reset. Where the
//! server's answer goes astray, its kernel keeps one half-open connection until it has repeated the answer
//! often enough (`net.ipv4.tcp_synack_retries`: 5, that is 63 s); our repeated SYNs belong to that same one.
//! Here a socket in SYN-SENT goes with its descriptor. A host that does not answer ARP makes our kernel send
//! an ICMP error to the foreign address, as it does for clients.
//!
//! No privilege but `NET_RAW` (or `NET_ADMIN`) is needed. Nothing panics, nothing is changed in the kernel.

use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

pub use clearway_core::path::CanaryVerdict;
pub use clearway_core::path::probes::RoundProgress;
use clearway_core::path::probes::{RoundPace, RoundStep, window};
pub use clearway_core::settings::ProbeAddresses;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

mod handshake;
mod icmp;
mod ours;
mod outcome;
mod probe;

pub use icmp::{IcmpKind, Unreachable};
pub use ours::is_ours;
pub use outcome::{ProbeAnswer, ProbeOutcome, ServerLocation};

use probe::Probe;

/// Long enough for every answer: Linux gives up asking for a neighbour's address after 3 s, and repeats a SYN after
/// 1 s and after 3 s (every second since 6.5).
pub const LIMIT: Duration = Duration::from_secs(5);

/// The shortest wait for the pace, so that several probes begin at once and not each after a look of its own.
const LEAST_WAIT: Duration = Duration::from_millis(5);

/// The longest wait between two looks at the progress.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How long to sleep where `poll` fails.
const PAUSE: Duration = Duration::from_millis(10);

/// Probes one server, for at most `limit`.
pub fn probe(server: SocketAddr, from: IpAddr, limit: Duration) -> ProbeOutcome {
    let mut outcome = None;
    run(&[(server, from)], limit, |_, told| outcome = Some(told), |_| ControlFlow::Continue(()));
    outcome.unwrap_or_else(|| ProbeOutcome::NotAsked { why: "there was nothing to ask".to_owned() })
}

/// Probes all servers, at the [`RoundPace`] of the core, each for at most `limit`; blocks until all are done.
///
/// `look` is called again and again while it runs: to report the progress, or to end the run early. The results are in
/// the order of the servers; a server that was not probed has none.
pub fn probe_all(
    servers: &[SocketAddr],
    from: ProbeAddresses,
    limit: Duration,
    look: impl FnMut(ProbeRun<'_>) -> ControlFlow<()>,
) -> Vec<(SocketAddr, ProbeOutcome)> {
    let mut outcomes: Vec<Option<ProbeOutcome>> = servers.iter().map(|_| None).collect();
    let asked: Vec<_> = servers.iter().map(|server| (*server, from.towards(server.ip()))).collect();
    let tell = |at: usize, outcome| {
        if let Some(place) = outcomes.get_mut(at) {
            *place = Some(outcome);
        }
    };
    run(&asked, limit, tell, look);
    servers.iter().zip(outcomes).filter_map(|(server, outcome)| Some((*server, outcome?))).collect()
}

/// A run under way, as a look shows it.
#[derive(Debug)]
pub struct ProbeRun<'a> {
    pace: &'a mut RoundPace,
    now: Duration,
}

impl ProbeRun<'_> {
    /// How many servers are done, of how many.
    pub fn progress(&self) -> RoundProgress {
        self.pace.progress()
    }

    /// The same, if it is time to write it into the log.
    pub fn to_tell(&mut self) -> Option<RoundProgress> {
        self.pace.tell(self.now)
    }
}

/// A window of probes that moves over the servers.
fn run(
    servers: &[(SocketAddr, IpAddr)],
    limit: Duration,
    mut tell: impl FnMut(usize, ProbeOutcome),
    mut look: impl FnMut(ProbeRun<'_>) -> ControlFlow<()>,
) {
    let beginning = Instant::now();
    let mut pace =
        RoundPace::new(servers.iter().map(|(server, _)| *server), window(descriptors()), Duration::ZERO);
    let mut running: Vec<(usize, Probe)> = Vec::new();
    loop {
        let next = loop {
            match pace.next(beginning.elapsed()) {
                RoundStep::Ask(at) => {
                    let Some((server, from)) = servers.get(at) else { break RoundStep::Done };
                    running.push((at, Probe::begin(*server, *from, limit)));
                }
                next => break next,
            }
        };
        if next == RoundStep::Done || look(ProbeRun { pace: &mut pace, now: beginning.elapsed() }).is_break()
        {
            return;
        }
        let before = running.len();
        running.retain_mut(|(at, probe)| match probe.step(Instant::now()) {
            Some(outcome) => {
                tell(*at, outcome);
                pace.done(*at);
                false
            }
            None => true,
        });
        if running.len() == before {
            let soon = beginning.elapsed() + LEAST_WAIT;
            let next =
                if let RoundStep::NotBefore(at) = next { beginning.checked_add(at.max(soon)) } else { None };
            wait(&running, next);
        }
    }
}

/// The limit of open files of this process.
fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Waits until a socket has news, or until the next moment that a probe or the pace waits for.
fn wait(running: &[(usize, Probe)], next: Option<Instant>) {
    let moment = running.iter().map(|(_, probe)| probe.next_moment()).chain(next).min();
    let patience = moment.map_or(PAUSE, |moment| moment.saturating_duration_since(Instant::now()));
    let patience = patience.min(LONGEST_WAIT);
    let patience = Timespec::try_from(patience).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    let sockets = running.iter().flat_map(|(_, probe)| probe.sockets());
    let mut polled: Vec<PollFd<'_>> =
        sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::OUT)).collect();
    if let Err(error) = poll(&mut polled, Some(&patience))
        && error != rustix::io::Errno::INTR
    {
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
