//! What shares an address with us: sockets that could not be handed over, and sockets of strangers.

use std::collections::HashSet;

use clearway_haproxy::configuration::{Bind, BindLines, V6};
use clearway_haproxy::inventory::{Adoption, LocalAddress, SocketIdentity, SocketKind};
use clearway_kernel::listeners::{self, Managed, Stranger};
use tokio::sync::mpsc::UnboundedSender;

use crate::custody::sockets::Sockets;
use crate::cutover::beside::Others;
use crate::ground::aside;
use crate::shell::Inner;

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
    others: Others,
}

impl Ours {
    /// The sockets in custody, and the processes of all generations; and those whose new clients are ours.
    pub fn of(sockets: &Sockets, processes: impl IntoIterator<Item = u32>, others: Others) -> Self {
        let managed =
            sockets.all().iter().filter(|held| held.identity.kind != SocketKind::Datagram).filter_map(
                |held| match held.identity.address {
                    LocalAddress::Ip(address) => Some(Managed { address, v6only: held.identity.v6only }),
                    _ => None,
                },
            );
        Self {
            managed: managed.collect(),
            inodes: sockets.inodes(),
            processes: processes.into_iter().collect(),
            others,
        }
    }

    /// Also these: the former generation closes them in a moment, or a new one is about to be committed.
    pub fn and(mut self, former: &Sockets) -> Self {
        self.inodes.extend(former.inodes());
        self
    }

    /// Who else listens on an address of ours, a line for each.
    pub fn strangers(&self) -> Vec<String> {
        match listeners::strangers(&self.managed, &self.inodes) {
            Ok(found) => {
                let is_ours = |one: &Stranger| {
                    one.holder.process.as_ref().is_some_and(|process| self.processes.contains(&process.pid))
                };
                let without = self.others.without_clients();
                let strangers = found.iter().filter(|one| !is_ours(one));
                strangers.map(|one| words_for(one, without.contains(&one.holder.inode.into()))).collect()
            }
            Err(error) => {
                tracing::debug!("looking for strangers: {error}");
                Vec::new()
            }
        }
    }

    /// Looks on a thread of its own; what is found is logged.
    pub fn look(self, inner: UnboundedSender<Inner>) {
        aside::spawn("looking for strangers", move || {
            let lines = self
                .strangers()
                .into_iter()
                .map(|line| format!("another process is listening on our address: {line}"));
            let _ = inner.send(Inner::Strangers(lines.collect()));
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
