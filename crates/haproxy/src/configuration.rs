//! What Clearway has to know from the user's configuration before it starts HAProxy.
//!
//! Owns a *scanner*, not a validator: it reads the files of an [`Invocation`](crate::command_line::Invocation)
//! the way HAProxy does (directories, quotes, escapes, comments, environment), keeps what Clearway acts upon,
//! and steps over everything it does not understand. It fails only where a file cannot be read; whether the
//! content is right, HAProxy decides.
//!
//! What stands inside `.if` blocks is kept with the conditions that guard it ([`Guard`]), because only
//! `haproxy -cc` can answer them. Host names are not resolved. `peer` lines (of which the local one listens)
//! and `unix-bind prefix` are not followed: what HAProxy really bound, its `_getsocks` answer tells.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

mod address;
mod backlog;
mod environment;
mod families;
mod global;
mod guards;
mod lines;
mod logs;
mod programs;
pub mod references;
mod scan;
mod servers;
mod sources;
mod stated;
pub(crate) mod words;

pub use address::{Endpoint, Transport};
pub use backlog::Backlog;
pub use environment::Changes;
pub use families::{Mismatch, Routes};
pub use global::{Fighting, FightingKeyword, Global, Setting};
pub use guards::{Guard, Holds};
pub use lines::Lines;
pub use logs::LogTarget;
pub use programs::{Program, Programs, RefusedProgram};
pub use references::{Need, Reference, ReferenceKind};
pub(crate) use scan::is_section;
pub use servers::{Server, Servers};
pub use sources::{ConfigurationError, LIMIT, SourceFile, is_source_name};
pub use stated::{Facts, Health, Stated, StatedServers};

/// Where a line stands. Displays as `file:line`, the way HAProxy names it in its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file as HAProxy names it.
    pub file: Arc<PathBuf>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A section and its name: `frontend web`, `global`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `global`, `defaults`, `frontend`, ...
    pub keyword: String,
    /// The name, empty where there is none.
    pub name: String,
    /// Where it begins.
    pub span: Span,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.keyword, if self.name.is_empty() { "" } else { " " }, self.name)
    }
}

/// A line with `usesrc`: HAProxy connects to servers with somebody else's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transparent {
    /// Where it stands.
    pub span: Span,
    /// The section it stands in. A line in `defaults` counts by itself, whether somebody inherits it or not.
    pub section: Arc<Section>,
    /// The line without the blanks around it.
    pub text: String,
    /// The address behind `source`: `0.0.0.0` for IPv4, `ipv6@` or `::` for IPv6.
    pub source: String,
    /// What stands behind `usesrc`: `clientip`, `client`, `hdr_ip(...)` or an address.
    pub uses: String,
    /// The conditions under which the line counts, none if it always does.
    pub guards: Arc<[Guard]>,
}

/// A `bind` line (or `dgram-bind`, in `log-forward`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it stands.
    pub span: Span,
    /// The section it stands in.
    pub section: Arc<Section>,
    /// The addresses, as many as the line names.
    pub endpoints: Vec<Endpoint>,
    /// `transparent`: the address may be one that the host does not have.
    pub transparent: bool,
    /// `v6only` and `v4v6`; without either the kernel's `bindv6only` decides.
    pub v6: V6,
    /// `interface X`.
    pub interface: Option<String>,
    /// `namespace X`: the socket is made in a named network namespace.
    pub namespace: Option<String>,
    /// How many clients may wait.
    pub backlog: Backlog,
    /// The conditions under which the line counts.
    pub guards: Arc<[Guard]>,
}

/// What a `bind` line says about IPv4 on an IPv6 socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum V6 {
    /// Nothing. A socket on a specific IPv6 address is then never inherited (docs/facts A.6).
    #[default]
    Unsaid,
    /// `v6only`
    Only,
    /// `v4v6`
    Both,
}

/// A `stats socket` in `global`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSocket {
    /// Where it stands.
    pub span: Span,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// `expose-fd listeners`: whoever can connect can also take the listening sockets.
    pub exposes_listeners: bool,
    /// The conditions under which the line counts.
    pub guards: Arc<[Guard]>,
}

/// What the files say, as far as Clearway acts upon it.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The files in the order in which HAProxy reads them, with their bytes as they were read.
    pub files: Vec<SourceFile>,
    /// All sections in order.
    pub sections: Vec<Arc<Section>>,
    /// The lines with `usesrc`.
    pub transparent: Vec<Transparent>,
    /// The servers, and which of them see the addresses of clients.
    pub servers: Servers,
    /// What decides whether the state of a server may pass to another generation.
    pub stated: StatedServers,
    /// Where frontends send their clients.
    pub routes: Routes,
    /// The `bind` lines.
    pub binds: Vec<Bind>,
    /// The user's own stats sockets.
    pub stats_sockets: Vec<StatsSocket>,
    /// The `log` lines that send to a Unix socket.
    pub log_targets: Vec<LogTarget>,
    /// The sections `program`.
    pub programs: Programs,
    /// The settings of `global` that concern Clearway.
    pub global: Global,
    /// The settings that fight with supervision.
    pub fighting: Vec<Fighting>,
    /// The files that the lines name, by path. Those that a `crt-list` names in its turn are found by
    /// [`Configuration::all_references`].
    pub references: Vec<Reference>,
    /// What `setenv`, `presetenv`, `unsetenv` and `resetenv` change for whatever HAProxy runs.
    pub environment: Changes,
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

    /// What one text says, without a file to read.
    pub fn of_text(name: &std::path::Path, text: &str) -> Self {
        let mut scanner = scan::Scanner::new(&|_| None, None);
        scanner.file(name, text.as_bytes());
        scanner.finish()
    }

    /// The stream addresses that are known without asking anybody, port ranges written out, with their lines.
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

#[cfg(test)]
mod tests;
