//! Where the transparent servers are, and what the plumbing needs for that.
//!
//! What the files say is known before a generation starts, so that its first connection finds its way. Names,
//! templates, and what is changed at run time (`set server addr`, `add server`) only HAProxy knows: what it tells of its
//! servers ([`crate::fleet::state`]) is looked through on the thread that asks ([`Seen`]).
//!
//! ```text
//!   the files ----------> needs, before the start ---------------\
//!                                                                 +--> plumbing.follow
//!   show servers state -> Seen -> needs, every 10 s at least ----/
//! ```
//!
//! Needs only grow while an old generation drains: its sessions may go to servers that the new one does not have.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use clearway_core::hints::Remark;
use clearway_haproxy::configuration::{Configuration, ServerLine};
use clearway_haproxy::runtime::state::{Remembered, ServerState};
use clearway_kernel::listeners;
use clearway_kernel::plumbing::{Plumbing, PlumbingError, PlumbingNeeds};
use tracing::{debug, info};

use crate::path::Path;
use crate::path::obstacles::{self, Known, Obstacle};
use crate::tell::said::Subject;

/// The transparent servers of the generation that serves.
#[derive(Debug, Default)]
pub struct Servers {
    /// Whether something transparent serves.
    followed: bool,
    known: BTreeSet<SocketAddr>,
    /// Those that were seen to be clients as well.
    seen_as_clients: BTreeSet<Known>,
    /// What the files say that cannot work.
    mismatches: Vec<Obstacle>,
}

/// What HAProxy tells of its transparent servers, and what the kernel tells of them meanwhile.
#[derive(Debug)]
pub struct Seen {
    /// Each with whether it is in maintenance.
    servers: Vec<(Known, bool)>,
    /// Where HAProxy connects to from their own addresses.
    to_themselves: BTreeSet<SocketAddr>,
}

/// How many generations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generations {
    /// The one whose servers are told.
    One,
    /// Others that drain or start: their sessions may go to other servers.
    Several,
}

impl Seen {
    /// Of a generation with these files. Asks the kernel.
    pub fn of(told: &Remembered, configuration: &Configuration) -> Self {
        let line = |row: &ServerState<'_>| match configuration.servers.find(row.proxy, row.name) {
            Some(server) if !server.template => Known::line(server),
            Some(template) => format!("`{}`, {}", row.name, template.span),
            None => format!("`{}/{}`, added at run time", row.proxy, row.name),
        };
        let rows = told.servers().map(|(row, _)| row);
        let transparent = rows.filter(|row| configuration.servers.is_transparent(row.proxy, row.name));
        let servers = transparent
            .filter_map(|row| {
                let known = Known { address: row.endpoint()?, line: line(&row) };
                Some((known, row.is_in_maintenance()))
            })
            .collect();
        let to_themselves = listeners::to_themselves().unwrap_or_else(|error| {
            debug!("looking for servers that are clients: {error}");
            BTreeSet::new()
        });
        Self { servers, to_themselves }
    }
}

impl Servers {
    /// Another generation serves, with this configuration if it is transparent.
    pub(super) fn serve(&mut self, configuration: Option<&Configuration>) {
        self.followed = configuration.is_some();
        self.seen_as_clients.clear();
        self.mismatches = configuration.map(obstacles::mismatches).unwrap_or_default();
        if !self.followed {
            self.known.clear();
        }
    }

    /// Whether something transparent serves.
    fn are_followed(&self) -> bool {
        self.followed
    }

    /// What cannot work, by the files and by what was seen.
    fn obstacles(&self) -> impl Iterator<Item = Obstacle> {
        let clients = self.seen_as_clients.iter().map(obstacles::is_its_own_client);
        self.mismatches.iter().cloned().chain(clients)
    }
}

/// What the plumbing needs for servers at these addresses.
pub fn needs(addresses: impl Iterator<Item = SocketAddr>) -> PlumbingNeeds {
    let mut needs = PlumbingNeeds::default();
    // The kernel is asked once about an address: a thousand servers may share one.
    let mut own: HashMap<IpAddr, bool> = HashMap::new();
    for address in addresses {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        if ip.is_loopback() {
            if PlumbingNeeds::is_for_loopback(&address) {
                needs.loopback.insert(address);
            } else {
                debug!("the server {address} cannot be transparent: the kernel takes no rule for this port");
            }
        } else if !needs.own {
            needs.own = *own.entry(ip).or_insert_with(|| listeners::is_local(ip));
        }
    }
    needs
}

/// What the files say; host names are not resolved.
pub fn in_the_files(configuration: &Configuration) -> impl Iterator<Item = SocketAddr> {
    configuration.servers.transparent().filter_map(ServerLine::address)
}

/// Whether a server may be on another host: then its answers have to come back here.
pub fn may_be_elsewhere(configuration: &Configuration) -> bool {
    let here = |address: SocketAddr| address.ip().is_loopback() || listeners::is_local(address.ip());
    configuration.servers.transparent().any(|server| !server.address().is_some_and(here))
}

/// Changes the plumbing, without what this kernel cannot do: servers on other addresses of this host need conntrack, and
/// the others work without. Says what was changed, and why something is missing.
pub fn follow(
    plumbing: &mut Plumbing,
    needs: &PlumbingNeeds,
) -> Result<(Vec<String>, Option<PlumbingError>), PlumbingError> {
    match plumbing.follow(needs) {
        Err(error) if error.is_without_conntrack() => {
            let without = PlumbingNeeds { own: false, ..needs.clone() };
            plumbing.follow(&without).map(|changed| (changed, Some(error)))
        }
        followed => followed.map(|changed| (changed, None)),
    }
}

/// For the log.
fn said_of(known: &Known) -> String {
    let Obstacle { saw, remedy, .. } = obstacles::is_its_own_client(known);
    format!("{saw}; {remedy}")
}

/// Both.
pub fn union(mut one: PlumbingNeeds, other: &PlumbingNeeds) -> PlumbingNeeds {
    one.loopback.extend(&other.loopback);
    one.own |= other.own;
    one
}

impl Path {
    /// Whether something transparent serves: then it is of use to hear of its servers.
    pub fn follows_servers(&self) -> bool {
        self.servers.are_followed()
    }

    /// Where the transparent servers are now. `fresh`: the generation has just begun;
    pub fn hear_of_servers(&mut self, seen: Seen, fresh: bool, generations: Generations) {
        let Seen { servers, to_themselves } = seen;
        self.servers.known = servers.iter().map(|(known, _)| known.address).collect();
        let clients = servers.iter().map(|(known, _)| known);
        let clients = clients.filter(|known| to_themselves.contains(&known.address));
        self.servers.seen_as_clients.extend(clients.cloned());
        let said: Vec<String> = self.servers.seen_as_clients.iter().map(said_of).collect();
        self.said.found(Subject::OwnClients, said);
        let changed = self.follow_the_servers(generations);
        // No client is sent to one in maintenance, so its way does not matter.
        let used = servers.into_iter().filter(|(_, maintenance)| !maintenance).map(|(known, _)| known);
        self.canary.watch(used, fresh || changed);
    }

    /// Lets the plumbing be what the servers need now, and says whether it was something else.
    fn follow_the_servers(&mut self, generations: Generations) -> bool {
        let mut wanted = needs(self.servers.known.iter().copied());
        let Some(plumbing) = &mut self.plumbing else { return false };
        wanted.interception = plumbing.needs().interception.clone();
        if generations == Generations::Several || self.servers.known.is_empty() {
            wanted = union(wanted, plumbing.needs());
        }
        if wanted == *plumbing.needs() {
            self.said.found(Subject::Following, None::<Remark>);
            return false;
        }
        match follow(plumbing, &wanted) {
            Ok((changed, _)) => {
                self.said.found(Subject::Following, None::<Remark>);
                // Nothing more than could be had before.
                if changed.is_empty() {
                    return false;
                }
                info!("the plumbing follows the servers: {}", changed.join(", "));
            }
            Err(error) => {
                let line = format!("the plumbing cannot follow the servers: {error}");
                self.said.found(Subject::Following, [line]);
                return false;
            }
        }
        true
    }

    /// For the status: what cannot work and what is in the way, by the files, by what was seen and by the canary.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        self.servers.obstacles().chain(self.canary.obstacles().iter().cloned()).collect()
    }
}
