//! What shares an address with us: sockets that could not be handed over, and sockets of strangers.

use std::collections::HashSet;

use clearway_haproxy::configuration::{Bind, BindLines, V6};
use clearway_haproxy::inventory::{Adoption, LocalAddress, SocketIdentity, SocketKind};
use clearway_kernel::listeners::{self, Managed, Stranger};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::ground::aside;

/// A line for each address that HAProxy has bound a second time, with the `bind` line and what mends it; but for what it
/// was not given on purpose.
pub fn bound_twice(lines: &BindLines<'_>, adoption: &Adoption, withheld: &HashSet<u64>) -> Vec<String> {
    let unclaimed = adoption.unclaimed.iter().filter(|one| !withheld.contains(&one.inode.0));
    let unclaimed: HashSet<String> = unclaimed.map(ToString::to_string).collect();
    let twice = adoption.fresh.iter().filter(|fresh| unclaimed.contains(&fresh.to_string()));
    let mut said: Vec<String> = twice.map(|fresh| words(fresh, lines.that_make(fresh).next())).collect();
    // Shards have one address.
    said.dedup();
    said
}

fn words(fresh: &SocketIdentity, bind: Option<&Bind>) -> String {
    let place = bind.map_or(String::new(), |bind| format!(" ({})", bind.span));
    let remedy = match bind {
        Some(bind) if lacks_v6only(bind, &fresh.address) => {
            "the line lacks `v6only`, without which HAProxy does not recognise the socket of a specific IPv6 \
             address: add it, it changes nothing else"
        }
        _ => "the line has changed (`transparent`, `interface`, `v6only`), or was bound twice before",
    };
    let consequence = if fresh.kind == SocketKind::Datagram {
        "The former one is closed when generations change, at a reload and after a crash; datagrams that wait in it \
         are lost"
    } else {
        "New clients are steered to it, so a reload loses no client; a crash of HAProxy may"
    };
    format!(
        "HAProxy could not take the socket of {fresh}{place} over and has bound a second one: {remedy}. {consequence}"
    )
}

fn lacks_v6only(bind: &Bind, address: &LocalAddress) -> bool {
    let specific = matches!(address, LocalAddress::Ip(ip) if ip.is_ipv6() && !ip.ip().is_unspecified());
    specific && bind.v6 == V6::Unsaid
}

/// What is ours: plain data, so that looking for others keeps no socket open.
#[derive(Debug)]
pub struct Ours {
    managed: Vec<Managed>,
    inodes: HashSet<u64>,
    processes: HashSet<u32>,
    /// Sockets of others that get no new clients.
    without_clients: HashSet<u64>,
}

impl Ours {
    /// The sockets in custody, and the processes of all generations; and the sockets of others whose new clients are ours.
    pub fn of(sockets: &Sockets, processes: HashSet<u32>, without_clients: HashSet<u64>) -> Self {
        let is_managed = |held: &&Held| held.identity.kind != SocketKind::Datagram;
        let managed = |held: &Held| Some(Managed { address: held.address()?, v6only: held.identity.v6only });
        Self {
            managed: sockets.all().iter().filter(is_managed).filter_map(managed).collect(),
            inodes: sockets.inodes(),
            processes,
            without_clients,
        }
    }

    /// Also these: the former generation closes them in a moment, or a new one is about to be committed.
    pub fn and(mut self, former: &Sockets) -> Self {
        self.inodes.extend(former.inodes());
        self
    }

    /// Other processes that listen on an address of ours, a line for each.
    pub fn strangers(&self) -> Vec<String> {
        match listeners::strangers(&self.managed, &self.inodes) {
            Ok(found) => {
                let is_ours = |one: &Stranger| {
                    one.holder.process.as_ref().is_some_and(|process| self.processes.contains(&process.pid))
                };
                let is_without = |one: &Stranger| self.without_clients.contains(&one.holder.inode.into());
                let strangers = found.iter().filter(|one| !is_ours(one));
                strangers.map(|one| words_for(one, is_without(one))).collect()
            }
            Err(error) => {
                crate::debug!("looking for strangers: {error}");
                Vec::new()
            }
        }
    }

    /// Looks on a thread of its own; `found` hears a line for each.
    pub fn look(self, found: impl FnOnce(Vec<String>) + Send + 'static) {
        aside::spawn("looking for strangers", move || {
            let lines = self
                .strangers()
                .into_iter()
                .map(|line| format!("another process is listening on our address: {line}"));
            found(lines.collect());
        });
    }
}

fn words_for(stranger: &Stranger, is_without_clients: bool) -> String {
    if is_without_clients {
        format!("{} gets no new clients of {}", stranger.holder, stranger.shares)
    } else {
        stranger.to_string()
    }
}
