//! What the files say, as far as Clearway acts upon it.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::sync::Arc;

use super::binds::{Bind, StatsSocket};
use super::environment::Changes;
use super::global::{Fighting, Global};
use super::logs::LogTarget;
use super::programs::ProgramSections;
use super::references::found::Reference;
use super::routes::Routes;
use super::servers::{ServerLines, UsesrcLine};
use super::sources::SourceFile;
use super::span::Section;
use super::stated::StatedServers;
use super::tables::StickTables;

/// What the files say, as far as Clearway acts upon it.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The files in the order in which HAProxy reads them, with their bytes as they were read.
    pub files: Vec<SourceFile>,
    /// All sections in order.
    pub sections: Vec<Arc<Section>>,
    /// The lines with `usesrc`.
    pub transparent: Vec<UsesrcLine>,
    /// The servers, and which of them see the addresses of clients.
    pub servers: ServerLines,
    /// What decides whether the state of a server may pass to another generation.
    pub stated: StatedServers,
    /// The stick tables.
    pub tables: StickTables,
    /// Where frontends send their clients.
    pub routes: Routes,
    /// The `bind` lines.
    pub binds: Vec<Bind>,
    /// The user's own stats sockets.
    pub stats_sockets: Vec<StatsSocket>,
    /// The `log` lines that send to a Unix socket.
    pub log_targets: Vec<LogTarget>,
    /// The sections `program`.
    pub programs: ProgramSections,
    /// The settings of `global` that concern Clearway.
    pub global: Global,
    /// The settings that fight with supervision.
    pub fighting: Vec<Fighting>,
    /// The files that the lines name, by path. Those that a `crt-list` names in its turn are found by
    /// [`Configuration::all_references`].
    pub references: Vec<Reference>,
    /// What `setenv`, `presetenv`, `unsetenv` and `resetenv` change for whatever HAProxy runs.
    pub environment: Changes,
    /// The variables of the environment at start that the lines name, with their values.
    pub variables: Changes,
}

impl Configuration {
    /// Whether some line asks for transparency, guarded or not.
    pub fn is_transparent(&self) -> bool {
        !self.transparent.is_empty()
    }

    /// Whether there is a `peers` section, over which stick tables pass from an old process to a new one.
    pub fn has_peers(&self) -> bool {
        self.sections.iter().any(|section| section.keyword == "peers")
    }

    /// The names of the files, as HAProxy lists them in `HAPROXY_CFGFILES`.
    pub fn names(&self) -> OsString {
        let names: Vec<&OsStr> = self.files.iter().map(|file| file.name.as_os_str()).collect();
        names.join(OsStr::new(";"))
    }

    /// The stream addresses that are known without a lookup, port ranges written out, with their lines.
    /// Lazy: a hostile file may name millions.
    pub fn tcp_addresses(&self) -> impl Iterator<Item = (&Bind, SocketAddr)> {
        self.binds.iter().flat_map(|bind| {
            bind.endpoints
                .iter()
                .filter(|endpoint| endpoint.is_stream())
                .flat_map(move |endpoint| endpoint.socket_addresses().map(move |address| (bind, address)))
        })
    }
}
