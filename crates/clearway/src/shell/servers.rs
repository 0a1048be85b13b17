//! Where the transparent servers are, and what the plumbing needs for that.
//!
//! What the files say is known before a generation starts, so that its first connection finds its way. Names,
//! templates, and what is changed at run time (`set server addr`, `add server`) only HAProxy knows: the serving
//! generation is asked after each commit and every [`PACE`], over its master CLI, on a thread of its own.
//!
//! ```text
//!   the files ----------> needs, before the start --\
//!                                                    +--> plumbing.follow
//!   show servers state -> needs, every 10 s --------/
//! ```
//!
//! Needs only grow while an old generation drains: its sessions may go to servers that the new one does not have.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_haproxy::configuration::{Configuration, Server};
use clearway_haproxy::runtime::ServerState;
use clearway_kernel::listeners;
use clearway_kernel::plumbing::{Error, Needs, Plumbing};
use tracing::{debug, info};

use super::said::Subject;
use super::{Inner, Shell, thread};
use crate::due;
use crate::obstacles::{self, Known, Obstacle};

/// How often HAProxy is asked. A server that is added at run time on this host waits for so long.
pub const PACE: Duration = Duration::from_secs(10);

/// How long an answer may take. Nothing waits for it.
const LIMIT: Duration = Duration::from_secs(5);

/// The transparent servers of the generation that serves.
#[derive(Debug, Default)]
pub struct Servers {
    /// Whose they are; unset while nothing transparent serves.
    of: Option<(Generation, Arc<Configuration>)>,
    known: BTreeSet<SocketAddr>,
    /// Those that were seen to be clients as well.
    seen_as_clients: BTreeSet<Known>,
    /// What the files say that cannot work.
    mismatches: Vec<Obstacle>,
    /// When to ask; unset while an answer is awaited.
    ask_at: Option<Instant>,
    /// Whether this generation has not answered yet.
    fresh: bool,
}

impl Servers {
    /// Another generation serves, with this configuration if it is transparent.
    pub fn serve(&mut self, of: Option<(Generation, Arc<Configuration>)>) {
        self.of = of;
        self.ask_at = self.of.as_ref().map(|_| Instant::now());
        self.fresh = true;
        self.seen_as_clients.clear();
        let configuration = self.of.as_ref().map(|(_, configuration)| configuration);
        self.mismatches = configuration.map(|one| obstacles::mismatches(one)).unwrap_or_default();
        if self.of.is_none() {
            self.known.clear();
        }
    }

    /// For the status: what cannot work, by the files and by what was seen.
    pub fn obstacles(&self) -> impl Iterator<Item = Obstacle> {
        let clients = self.seen_as_clients.iter().map(obstacles::is_its_own_client);
        self.mismatches.iter().cloned().chain(clients)
    }

    /// Waits until HAProxy is to be asked.
    pub async fn due(&self) {
        due::at(self.ask_at).await;
    }
}

/// What the plumbing needs for servers at these addresses.
pub fn needs(addresses: impl Iterator<Item = SocketAddr>) -> Needs {
    let mut needs = Needs::default();
    // The kernel is asked once about an address: a thousand servers may share one.
    let mut own: HashMap<IpAddr, bool> = HashMap::new();
    for address in addresses {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        if ip.is_loopback() {
            if Needs::is_for_loopback(&address) {
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
    configuration.servers.transparent().filter_map(Server::address)
}

/// Whether a server may be on another host: then its answers have to come back here.
pub fn may_be_elsewhere(configuration: &Configuration) -> bool {
    let here = |address: SocketAddr| address.ip().is_loopback() || listeners::is_local(address.ip());
    configuration.servers.transparent().any(|server| !server.address().is_some_and(here))
}

/// Changes the plumbing, without what this kernel cannot do: servers on other addresses of this host need conntrack, and
/// the others work without. Says what was changed, and why something is missing.
pub fn follow(plumbing: &mut Plumbing, needs: &Needs) -> Result<(Vec<String>, Option<Error>), Error> {
    match plumbing.follow(needs) {
        Err(error) if error.is_without_conntrack() => {
            let without = Needs { own: false, ..needs.clone() };
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
pub fn union(mut one: Needs, other: &Needs) -> Needs {
    one.loopback.extend(&other.loopback);
    one.own |= other.own;
    one
}

impl Shell {
    /// Asks the serving generation where its servers are.
    pub fn ask_for_servers(&mut self) {
        self.servers.ask_at = None;
        let Some((generation, _)) = &self.servers.of else { return };
        let (generation, inner, failed) = (*generation, self.inner.clone(), self.inner.clone());
        let question = self.running.get(&generation).and_then(super::launch::Running::sessions);
        let begun = question.is_some_and(|question| {
            thread::spawn("asking where the servers are", move || {
                let servers = question.servers(LIMIT);
                let to_themselves = listeners::to_themselves().unwrap_or_else(|error| {
                    debug!("looking for servers that are clients: {error}");
                    BTreeSet::new()
                });
                let _ = inner.send(Inner::Servers { generation, servers, to_themselves });
            })
        });
        if !begun {
            let to_themselves = BTreeSet::new();
            let _ = failed.send(Inner::Servers { generation, servers: None, to_themselves });
        }
    }

    /// The answer, or none.
    pub fn hear_of_servers(
        &mut self,
        generation: Generation,
        servers: Option<&[ServerState]>,
        to_themselves: &BTreeSet<SocketAddr>,
    ) {
        if self.servers.of.as_ref().is_none_or(|(of, _)| *of != generation) {
            return;
        }
        self.servers.ask_at = Some(Instant::now() + PACE);
        // What nobody hears of: a route of ours that was replaced, a plain table that was flushed (before Linux 5.12), what
        // only a predecessor had needed that has gone. A generation that has just begun was prepared with a look.
        if !self.servers.fresh {
            self.look_after_the_plumbing();
        }
        let Some(states) = servers else { return };
        let Some((_, configuration)) = &self.servers.of else { return };
        let transparent =
            states.iter().filter(|one| configuration.servers.is_transparent(&one.proxy, &one.name));
        let line = |one: &ServerState| match configuration.servers.find(&one.proxy, &one.name) {
            Some(server) if !server.template => Known::line(server),
            Some(template) => format!("`{}`, {}", one.name, template.span),
            None => format!("`{}/{}`, added at run time", one.proxy, one.name),
        };
        let transparent: Vec<(Known, bool)> = transparent
            .filter_map(|one| Some((Known { address: one.address?, line: line(one) }, one.maintenance)))
            .collect();
        self.servers.known = transparent.iter().map(|(known, _)| known.address).collect();
        let clients = transparent.iter().map(|(known, _)| known);
        let clients = clients.filter(|known| to_themselves.contains(&known.address));
        self.servers.seen_as_clients.extend(clients.cloned());
        let said: Vec<String> = self.servers.seen_as_clients.iter().map(said_of).collect();
        self.said.found(Subject::OwnClients, said);
        let fresh = std::mem::take(&mut self.servers.fresh);
        let changed = self.follow_the_servers();
        // Nobody is sent to one in maintenance, so its way is nobody's matter.
        let used = transparent.into_iter().filter(|(_, maintenance)| !maintenance).map(|(known, _)| known);
        self.canary.watch(used, fresh || changed);
    }

    /// Lets the plumbing be what the servers need now, and says whether it was something else.
    fn follow_the_servers(&mut self) -> bool {
        let mut wanted = needs(self.servers.known.iter().copied());
        let Some(plumbing) = &mut self.plumbing else { return false };
        wanted.interception = plumbing.needs().interception.clone();
        if self.running.len() > 1 || self.servers.known.is_empty() {
            wanted = union(wanted, plumbing.needs());
        }
        if wanted == *plumbing.needs() {
            self.said.found(Subject::Following, []);
            return false;
        }
        match follow(plumbing, &wanted) {
            Ok((changed, _)) => {
                self.said.found(Subject::Following, []);
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
}
