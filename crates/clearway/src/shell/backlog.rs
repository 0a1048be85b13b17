//! The queues of waiting clients follow `backlog` and `maxconn` of the configuration.
//!
//! HAProxy does not call `listen` on a socket that listens already (knowledge A.3): on what it takes over, another
//! number has no effect. So Clearway calls it, when the generation is committed; on what HAProxy has made itself it
//! has done so. Where the lines leave open what the number would be, the socket stays as it is.

use std::collections::HashSet;

use clearway_haproxy::configuration::{Backlog, Lines};
use clearway_haproxy::inventory::{SocketIdentity, SocketKind};
use clearway_kernel::queues;
use tracing::{debug, info, warn};

use super::custody::{Custody, Held};

/// How many sockets one log line names.
const NAMED: usize = 5;

/// How many clients may wait at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    from: u32,
    to: u32,
}

/// Takes note, beside the loop, of what is to be changed at the commit, among the sockets that were taken over.
/// `default`: for a line that says nothing.
pub fn note(sockets: &mut [Held], taken_over: &[SocketIdentity], lines: &Lines<'_>, default: Option<u32>) {
    let taken_over: HashSet<u64> = taken_over.iter().map(|one| one.inode.0).collect();
    let listening = |held: &&mut Held| {
        let identity = &held.identity;
        identity.listening && identity.kind != SocketKind::Datagram && taken_over.contains(&identity.inode.0)
    };
    let Some(most) = queues::most().filter(|_| !taken_over.is_empty()) else { return };
    let limits = match queues::limits() {
        Ok(limits) => limits,
        Err(error) => return debug!("the limits of waiting clients stay as they are: {error}"),
    };
    for held in sockets.iter_mut().filter(listening) {
        let wanted = number(lines.that_make(&held.identity).map(|bind| bind.backlog), default);
        // What listens in another network namespace is not in the list.
        if let (Some(wanted), Some(&from)) = (wanted, limits.get(&held.identity.inode.0)) {
            let to = wanted.min(most);
            held.limit = (from != to).then_some(Change { from, to });
        }
    }
}

/// What all lines that may have made a socket agree upon.
fn number(mut backlogs: impl Iterator<Item = Backlog>, default: Option<u32>) -> Option<u32> {
    let first = backlogs.next()?;
    match first {
        _ if backlogs.any(|other| other != first) => None,
        Backlog::Number(number) => Some(number),
        Backlog::Default => default,
        Backlog::Unknown => None,
    }
}

/// Changes what was taken note of.
pub fn apply(custody: &Custody) {
    let mut changed = Vec::new();
    for held in custody.sockets() {
        let Some(Change { from, to }) = held.limit else { continue };
        match queues::set_limit(held.descriptor(), to) {
            Ok(()) => changed.push(format!("{} {to} (was {from})", held.identity)),
            Err(error) => warn!("letting {to} clients wait at {}: {error}", held.identity),
        }
    }
    if !changed.is_empty() {
        let more = changed.len().saturating_sub(NAMED);
        changed.truncate(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        info!("as many clients may wait as the configuration says now: {}{more}", changed.join(", "));
    }
}

#[cfg(test)]
mod tests;
