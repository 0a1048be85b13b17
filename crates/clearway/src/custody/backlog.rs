//! The queues of waiting clients follow `backlog` and `maxconn` of the configuration.
//!
//! HAProxy does not call `listen` on a socket that listens already (docs/facts A.3): on what it takes over, another
//! number has no effect. So Clearway calls it, when the generation is committed; on what HAProxy has made itself it
//! has done so. Where the lines leave open what the number would be, the socket stays as it is.

use std::collections::HashMap;

use clearway_haproxy::configuration::{Backlog, BindLines};
use clearway_haproxy::inventory::{SocketIdentity, SocketKind};
use clearway_kernel::queues;

use crate::custody::held::{Change, Held};
use crate::custody::notices::CustodyNotice;
use crate::custody::sockets::Sockets;
use crate::debug;
use crate::ground::notice::tell;

/// What is known of the sockets that were offered: how many clients may wait, by inode.
pub type Known = HashMap<u64, Option<u32>>;

/// What is known of these.
pub fn known<'a>(sockets: impl Iterator<Item = &'a Held>) -> Known {
    sockets.map(|held| (held.inode(), held.limit)).collect()
}

/// Takes note, beside the loop, of how many clients may wait, and of what the commit has to change for it.
/// `default`: for a line that says nothing.
///
/// The kernel is asked only if a number is another one than before: listing thousands of sockets takes ten
/// milliseconds, and hardly any reload changes one.
pub fn note(sockets: &mut [Held], known: &Known, lines: &BindLines<'_>, default: Option<u32>) {
    let Some(most) = queues::most() else { return };
    let mut others: Vec<(&mut Held, u32)> = Vec::new();
    for held in sockets.iter_mut().filter(|held| listens(&held.identity)) {
        let wanted = number(lines.that_make(&held.identity).map(|bind| bind.backlog), default);
        let wanted = wanted.map(|wanted| wanted.min(most));
        let taken_over = known.get(&held.inode());
        // What it has made itself is as it wants it; what its lines leave open stays as it was.
        held.limit = wanted.or(taken_over.copied().flatten());
        if let (Some(before), Some(wanted)) = (taken_over, wanted)
            && *before != Some(wanted)
        {
            others.push((held, wanted));
        }
    }
    if others.is_empty() {
        return;
    }
    let limits = match queues::limits() {
        Ok(limits) => limits,
        Err(error) => return debug!("the limits of waiting clients stay as they are: {error}"),
    };
    for (held, to) in others {
        // What listens in another network namespace is not in the list.
        let from = limits.get(&held.inode()).copied();
        held.change = from.filter(|from| *from != to).map(|from| Change { from, to });
    }
}

fn listens(socket: &SocketIdentity) -> bool {
    socket.listening && socket.kind != SocketKind::Datagram
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

/// What was taken note of, for people.
pub fn changes(sockets: &Sockets) -> Vec<String> {
    let one = |held: &Held| {
        let Change { from, to } = held.change?;
        Some(format!("listen backlog of {}: {to} (is {from})", held.identity))
    };
    sockets.all().iter().filter_map(one).collect()
}

/// Changes it where the lines that make a socket say another number now. What they leave open stays as it was.
pub fn follow(sockets: &Sockets, lines: &BindLines<'_>) {
    let Some(most) = queues::most() else { return };
    let wanted = |held: &Held| {
        let wanted = number(lines.that_make(&held.identity).map(|bind| bind.backlog), None)?.min(most);
        (held.limit != Some(wanted)).then_some(wanted)
    };
    let listening = sockets.all().iter().filter(|held| listens(&held.identity));
    let others: Vec<(&Held, u32)> = listening.filter_map(|held| Some((held, wanted(held)?))).collect();
    if others.is_empty() {
        return;
    }
    let limits = match queues::limits() {
        Ok(limits) => limits,
        Err(error) => return debug!("the limits of waiting clients stay as they are: {error}"),
    };
    let changes = others.into_iter().filter_map(|(held, to)| {
        let from = limits.get(&held.inode()).copied()?;
        (from != to).then_some((held, Change { from, to }))
    });
    set(changes);
}

/// Changes what was taken note of.
pub fn apply(sockets: &Sockets) {
    set(sockets.all().iter().filter_map(|held| Some((held, held.change?))));
}

fn set<'a>(limits: impl Iterator<Item = (&'a Held, Change)>) {
    let mut changed = Vec::new();
    for (held, Change { from, to }) in limits {
        match queues::set_limit(held.descriptor(), to) {
            Ok(()) => changed.push(format!("of {} from {from} to {to}", held.identity)),
            Err(error) => tell(&CustodyNotice::BacklogUnchanged {
                socket: held.identity.to_string(),
                wanted: to,
                error: error.to_string(),
            }),
        }
    }
    if !changed.is_empty() {
        tell(&CustodyNotice::BacklogChanged { changed });
    }
}

#[cfg(test)]
mod tests;
