//! A generation that shows whether it would serve, and does not: `clearway reload --dry-run`.
//!
//! It is read, prepared, started and proved as any other, with three differences: nothing is put into the kernel for it, it
//! accepts nothing ([`crate::fleet::deaf`]), and every socket in custody is offered to it, whatever the strategy. What a reload
//! would change is gathered on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_haproxy::configuration::{Configuration, Endpoint};
use clearway_haproxy::inventory::LocalAddress;

use crate::custody::sockets::Sockets;

/// Which generation is tried, and what it would change.
#[derive(Debug)]
pub struct Trial {
    generation: Generation,
    changes: Vec<String>,
}

impl Trial {
    /// Nothing is known of it yet.
    pub fn of(generation: Generation) -> Self {
        Self { generation, changes: Vec::new() }
    }

    /// Something that a reload would do.
    pub fn would(&mut self, what: impl IntoIterator<Item = String>) {
        self.changes.extend(what);
    }

    /// What it would change, as far as it is known and was not taken yet.
    pub fn take_changes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changes)
    }

    /// Whether it is of this generation.
    pub fn is_of(&self, generation: Generation) -> bool {
        self.generation == generation
    }
}

/// Such a file would take datagrams from the generation that serves: no call keeps it from that.
pub fn can_be_tried(configuration: &Configuration) -> Result<(), Failure> {
    let takes_datagrams = |endpoint: &Endpoint| {
        matches!(endpoint, Endpoint::Ip { .. } | Endpoint::Host { .. }) && !endpoint.is_stream()
    };
    let Some(bind) = configuration.binds.iter().find(|bind| bind.endpoints.iter().any(takes_datagrams))
    else {
        return Ok(());
    };
    let message = format!(
        "the files listen for datagrams ({}): a generation that is only tried would take some of them from the one that serves",
        bind.span
    );
    Err(Failure::new(ExitCode::Usage, message)
        .hint("`clearway check` looks at the files without starting anything"))
}

/// HAProxy binds a Unix socket under another name first, which is left lying where it believes to have renamed it. `pids`:
/// of those that may have bound it. Not in the loop.
pub fn remove_unfinished(sockets: &Sockets, pids: [u32; 2]) {
    for held in sockets.all() {
        let LocalAddress::Path(path) = &held.identity.address else { continue };
        for name in pids.map(|pid| unfinished(path, pid)) {
            // Of those that it has taken over there is none.
            let _ = std::fs::remove_file(name);
        }
    }
}

fn unfinished(path: &Path, pid: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{pid}.tmp"));
    name.into()
}

/// Servers that come, go or move.
pub fn servers(former: &Configuration, new: &Configuration) -> Vec<String> {
    let named = |configuration: &Configuration| -> BTreeMap<String, String> {
        let one = |server: &clearway_haproxy::configuration::ServerLine| {
            let address =
                server.address().map_or_else(|| "by name".to_owned(), |address| address.to_string());
            let transparent = if server.transparent { ", transparent" } else { "" };
            (format!("{}/{}", server.section.name, server.name), format!("{address}{transparent}"))
        };
        configuration.servers.iter().map(one).collect()
    };
    let (former, new) = (named(former), named(new));
    let come = new.iter().filter(|(name, _)| !former.contains_key(*name));
    let gone = former.keys().filter(|name| !new.contains_key(*name));
    let moved = new.iter().filter_map(|(name, now)| {
        let before = former.get(name).filter(|before| *before != now)?;
        Some(format!("server {name}: {now} (is {before})"))
    });
    come.map(|(name, at)| format!("server {name}: new, {at}"))
        .chain(gone.map(|name| format!("server {name}: gone")))
        .chain(moved)
        .collect()
}

#[cfg(test)]
mod tests;
