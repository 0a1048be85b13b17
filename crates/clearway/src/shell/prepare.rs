//! Everything before a process exists: the files are read, the HAProxy on disk is looked at, rights are
//! checked, the plumbing is set up, sockets are made that HAProxy cannot make itself.
//!
//! Nothing here disturbs the generation that serves. Every refusal names what is missing and the flag
//! that adds it; in particular a transparent configuration never starts where its connections would fail.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::{Failure, Plumbing as Needs};
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::{Bind, Configuration, Guard, Holds, Transparent, V6};
use clearway_haproxy::inventory::LocalAddress;
use clearway_haproxy::overlay::{Capability as Kept, Overlay};
use clearway_haproxy::version::Version;
use clearway_kernel::capabilities::{self, Capability};
use clearway_kernel::plumbing::Plumbing;
use tracing::{info, warn};

use super::child::Extra;
use super::custody::{Custody, Held};
use super::{Shell, failure, program::Program};

/// How many different conditions HAProxy is asked about: each costs a process.
const MOST_QUESTIONS: usize = 32;

/// A generation that could be launched.
#[derive(Debug)]
pub struct Prepared {
    /// The overlay's text.
    pub overlay: Overlay,
    /// Sockets made for addresses that this host does not have.
    pub made: Vec<Held>,
    /// Whether it needs the plumbing.
    pub needs: Needs,
    /// The rights that it needs beside the usual ones.
    pub extra: Extra,
}

impl Shell {
    /// Prepares a generation, or says why there will be none.
    pub fn prepare(&mut self) -> Result<Prepared, Failure> {
        let version = self.program.version()?;
        let configuration = read_configuration(&self.invocation)?;
        self.say_once(configuration.fighting.iter().map(ToString::to_string));
        let transparent = transparent_line(&configuration, &self.program, version);
        let held = capabilities::effective().map_err(|error| internal(&error))?;
        let needs = match &transparent {
            Some(line) => {
                check_rights(line, held)?;
                self.plumb()?;
                Needs::Needed
            }
            None => Needs::NotNeeded,
        };
        let made = make_foreign(&configuration, &self.custody);
        let kept = [(Capability::NetRaw, Kept::NetRaw), (Capability::NetBindService, Kept::NetBindService)];
        let kept: Vec<Kept> =
            kept.into_iter().filter(|(have, _)| held.has(*have)).map(|(_, keep)| keep).collect();
        Ok(Prepared {
            overlay: Overlay::new(self.descriptors.stats, &configuration, version, &kept),
            made,
            needs,
            extra: extra(&configuration),
        })
    }

    fn plumb(&mut self) -> Result<(), Failure> {
        if let Some(plumbing) = &mut self.plumbing {
            // Others flush rules and routes that are not theirs (systemd-networkd does when it restarts).
            let repaired = plumbing.repair().map_err(|error| failure::plumbing(&error))?;
            if !repaired.is_empty() {
                warn!(
                    "somebody had removed a part of the transparent plumbing; put back: {}",
                    repaired.join(", ")
                );
            }
            return Ok(());
        }
        let settings = &self.settings;
        let (plumbing, notices) = Plumbing::install(settings.instance.as_ref(), settings.mark)
            .map_err(|error| failure::plumbing(&error))?;
        for notice in notices {
            warn!("{notice}");
        }
        let description = plumbing.describe();
        info!(
            "transparent plumbing is in the kernel: table inet {}, mark {}, route table {}",
            description.table, description.mark, description.route_table
        );
        self.plumbing = Some(plumbing);
        Ok(())
    }
}

/// Reads the files with the environment that HAProxy will have; also what `check` and `doctor` look at.
pub fn read_configuration(invocation: &Invocation) -> Result<Configuration, Failure> {
    let lookup = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    Configuration::read(invocation, &lookup).map_err(|error| failure::unreadable(&error))
}

/// The first line that makes the configuration transparent, conditions considered. A condition that
/// HAProxy does not understand (or before 2.5 cannot be asked about) counts as true.
fn transparent_line<'a>(
    configuration: &'a Configuration,
    program: &Program,
    version: Version,
) -> Option<&'a Transparent> {
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let can_ask = version >= Version::release(2, 5, 0);
    let mut holds = |guard: &Guard| {
        let question = guard.argument();
        if !can_ask || (known.len() >= MOST_QUESTIONS && !known.contains_key(&question)) {
            return true;
        }
        let answer = *known
            .entry(question)
            .or_insert_with_key(|question| program.holds(question).unwrap_or(guard.holds == Holds::True));
        answer == (guard.holds == Holds::True)
    };
    configuration.transparent.iter().find(|line| line.guards.iter().all(&mut holds))
}

/// Transparent without the rights would mean: starts, and every connection fails (knowledge C).
fn check_rights(line: &Transparent, held: capabilities::Set) -> Result<(), Failure> {
    let missing = held.missing(&[Capability::NetAdmin, Capability::NetRaw]);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|capability| capability.name()).collect();
    let flags: Vec<String> = names.iter().map(|name| format!("--cap-add={name}")).collect();
    Err(Failure::new(
        ExitCode::Rights,
        format!(
            "`{}` ({}) makes HAProxy use the addresses of its clients, and for that Clearway lacks {}",
            line.text,
            line.span,
            names.join(" and ")
        ),
    )
    .hint(format!(
        "add {} to `docker run` (under systemd: AmbientCapabilities=, as a person: be root)",
        flags.join(" ")
    )))
}

/// `namespace` anywhere in the files, even where it may mean something else: it is better to keep a right
/// too many than to break a configuration.
fn extra(configuration: &Configuration) -> Extra {
    let mentions = |bytes: &[u8]| bytes.windows(9).any(|window| window == b"namespace");
    let needed = configuration.files.iter().any(|file| mentions(&file.bytes));
    if needed { Extra::Namespaces } else { Extra::Nothing }
}

/// Listening sockets for addresses that this host does not have and that no socket in custody is bound
/// to. HAProxy could not make them without the sysctl `ip_nonlocal_bind` (knowledge H12).
fn make_foreign(configuration: &Configuration, custody: &Custody) -> Vec<Held> {
    let mut made: Vec<Held> = Vec::new();
    for (bind, address) in configuration.tcp_addresses().take(MOST_ADDRESSES) {
        let known = |held: &Held| held.identity.address == LocalAddress::Ip(address);
        if !wants_foreign(bind, address) || custody.sockets().iter().any(known) || made.iter().any(known) {
            continue;
        }
        match make(bind, address) {
            Ok(held) => {
                info!(
                    "{address} ({}) is not an address of this host: Clearway listens there for HAProxy",
                    bind.span
                );
                made.push(held);
            }
            Err(error) => warn!("{address} ({}) is not an address of this host: {error}", bind.span),
        }
    }
    made
}

/// More addresses than anybody binds; a hostile file may name millions.
const MOST_ADDRESSES: usize = 10_000;

fn wants_foreign(bind: &Bind, address: SocketAddr) -> bool {
    let adoptable = address.is_ipv4() || bind.v6 == V6::Only;
    let plain = !bind.transparent && bind.namespace.is_none() && bind.guards.is_empty();
    let specific = !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0;
    adoptable && plain && specific && !clearway_kernel::listeners::is_local(address.ip())
}

fn make(bind: &Bind, address: SocketAddr) -> Result<Held, Box<dyn std::error::Error>> {
    let interface = bind.interface.as_deref();
    let socket = clearway_kernel::listeners::bind_foreign(address, bind.v6 == V6::Only, interface)?;
    Ok(Held::made(socket, interface.unwrap_or_default())?)
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitCode::Internal, error.to_string())
}

/// The words of a command line, for a log line.
pub fn shown(arguments: &[OsString]) -> String {
    arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
