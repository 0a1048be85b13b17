//! Where the transparent servers are, and what the plumbing needs for that.
//!
//! What the files say is known before a generation starts, so that its first connection finds its way. Names,
//! templates, and what is changed at run time (`set server addr`, `add server`) only HAProxy knows: what it tells of its
//! servers ([`crate::fleet::state`]) is looked through on the thread that asks ([`ToldServers`]), and so is what the files
//! say ([`NamedServers`]): the kernel is asked about each address.
//!
//! ```text
//!   the files ----------> needs, before the start ---------------\
//!                                                                 +--> the machine --> plumbing, canary
//!   show servers state -> ToldServers, every 10 s at least -------/
//! ```

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use clearway_core::path::ServerNeeds;
use clearway_haproxy::configuration::{Configuration, ServerLine};
use clearway_haproxy::runtime::state::{Remembered, ServerState};
use clearway_kernel::listeners;
use clearway_kernel::plumbing::PlumbingNeeds;

use crate::debug;
use crate::path::obstacles::{self, Obstacle, TransparentServer};

/// What is known of the transparent servers of the generation that serves, beside where they are.
#[derive(Debug, Default)]
pub(super) struct FollowedServers {
    /// Those that were seen to be clients as well.
    seen_as_clients: BTreeSet<TransparentServer>,
    /// What the files say that cannot work.
    mismatches: Vec<Obstacle>,
}

/// What HAProxy tells of its transparent servers, and what the kernel tells of them meanwhile.
#[derive(Debug)]
pub struct ToldServers {
    /// Each with whether it is in maintenance.
    pub(super) servers: Vec<(TransparentServer, bool)>,
    /// What the plumbing needs for them, if there are any.
    pub(super) needs: Option<ServerNeeds>,
    /// Where HAProxy connects to from their own addresses.
    to_themselves: BTreeSet<SocketAddr>,
}

impl ToldServers {
    /// Of a generation with these files. Asks the kernel.
    pub fn of(told: &Remembered, configuration: &Configuration) -> Self {
        let line = |row: &ServerState<'_>| match configuration.servers.find(row.proxy, row.name) {
            Some(server) if !server.template => TransparentServer::line(server),
            Some(template) => format!("`{}`, {}", row.name, template.span),
            None => format!("`{}/{}`, added at run time", row.proxy, row.name),
        };
        let rows = told.servers().map(|(row, _)| row);
        let transparent = rows.filter(|row| configuration.servers.is_transparent(row.proxy, row.name));
        let servers: Vec<_> = transparent
            .filter_map(|row| {
                let server = TransparentServer { address: row.endpoint()?, line: line(&row) };
                Some((server, row.is_in_maintenance()))
            })
            .collect();
        let to_themselves = listeners::to_themselves().unwrap_or_else(|error| {
            debug!("looking for servers that are clients: {error}");
            BTreeSet::new()
        });
        let addresses = servers.iter().map(|(server, _)| server.address);
        let needs = (!servers.is_empty()).then(|| needs(addresses));
        Self { servers, needs, to_themselves }
    }
}

/// The transparent servers that files name, and what the kernel tells of their addresses.
#[derive(Clone, Debug)]
pub struct NamedServers {
    /// What the plumbing needs for them; host names are not resolved.
    pub(super) needs: ServerNeeds,
    /// Whether one may be on another host: then its answers have to come back here.
    pub(super) may_be_elsewhere: bool,
}

impl NamedServers {
    /// Asks the kernel, which takes a socket for each address.
    pub fn of(configuration: &Configuration) -> Self {
        let addresses = configuration.servers.transparent().filter_map(ServerLine::address);
        Self { needs: needs(addresses), may_be_elsewhere: may_be_elsewhere(configuration) }
    }
}

impl FollowedServers {
    /// Another generation serves, with this configuration if it is transparent.
    pub(super) fn serve(&mut self, configuration: Option<&Configuration>) {
        self.seen_as_clients.clear();
        self.mismatches = configuration.map(obstacles::mismatches).unwrap_or_default();
    }

    /// Takes note of servers that are clients as well; what there is to say of all of them.
    pub(super) fn note_clients(&mut self, told: &ToldServers) -> Vec<String> {
        let servers = told.servers.iter().map(|(server, _)| server);
        let clients = servers.filter(|server| told.to_themselves.contains(&server.address));
        self.seen_as_clients.extend(clients.cloned());
        self.seen_as_clients.iter().map(said_of).collect()
    }

    /// What cannot work, by the files and by what was seen.
    pub(super) fn obstacles(&self) -> impl Iterator<Item = Obstacle> {
        let clients = self.seen_as_clients.iter().map(obstacles::is_its_own_client);
        self.mismatches.iter().cloned().chain(clients)
    }
}

/// What the plumbing needs for servers at these addresses.
fn needs(addresses: impl Iterator<Item = SocketAddr>) -> ServerNeeds {
    let mut needs = ServerNeeds::default();
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

fn may_be_elsewhere(configuration: &Configuration) -> bool {
    let here = |address: SocketAddr| address.ip().is_loopback() || listeners::is_local(address.ip());
    configuration.servers.transparent().any(|server| !server.address().is_some_and(here))
}

/// For the log.
fn said_of(server: &TransparentServer) -> String {
    let Obstacle { saw, remedy, .. } = obstacles::is_its_own_client(server);
    format!("{saw}; {remedy}")
}
