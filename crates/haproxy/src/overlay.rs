//! The overlay: a few lines of `global` that Clearway gives HAProxy as one more `-f`, so that the user's own file
//! is never rewritten.
//!
//! It adds a private stats socket (a socket pair with no name, [`crate::sockpair`]), room for it in
//! `stats maxconn`, and, where they are needed and known, the rights that a worker keeps when it changes its user.
//! Measured with 2.6.12, 3.0.11 and 3.2.26: it causes no warning (so `zero-warning` and `-dW` are content), it
//! leaves all four kinds of `default-path` alone as far as files are read with the configuration, and a second
//! `setcap` is added to the user's. Does not write any file: the shell puts the text into a memfd.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::command_line::ChildFd;
use crate::configuration::Configuration;
use crate::derived::{USERS_FILES, USERS_MASTER_CLI, asked};
use crate::quoted::quoted;
use crate::version::Version;

/// HAProxy's own value of `stats maxconn`.
const STATS_MAXCONN: u32 = 10;

/// Connections that Clearway may have open beside the user's: status, `_getsocks`, and some to spare.
const OURS: u32 = 16;

/// The master CLI with the ten connections that it always counts (`mworker_proxy->maxconn`, `cli.c`, 2.4 to 3.5).
const MASTER_CLI: u32 = 11;

/// How many descriptors HAProxy's worker reserves for what Clearway adds: its connections, the private socket, and the
/// master CLI: not at all from 3.1 on, twice in 3.0 (measured: 28 with 2.6.12, 39 with 3.0.11, 17 with 3.2.26 and 3.4.7).
/// Of those between 2.6 and 3.0, which were not measured, the larger number.
pub fn descriptors(version: Option<Version>) -> u32 {
    let of_the_master = match version {
        Some(version) if version >= Version::release(3, 1, 0) => 0,
        Some(version) if version >= Version::release(2, 7, 0) => 2 * MASTER_CLI,
        _ => MASTER_CLI,
    };
    OURS + 1 + of_the_master
}

/// A right that a HAProxy worker may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkerCapability {
    /// `CAP_NET_RAW`: enough for `usesrc`.
    NetRaw,
    /// `CAP_NET_BIND_SERVICE`: for listeners below port 1024 that are opened later.
    NetBindService,
}

impl WorkerCapability {
    /// HAProxy's word for it.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::NetRaw => "cap_net_raw",
            Self::NetBindService => "cap_net_bind_service",
        }
    }
}

/// What keeps a new HAProxy from accepting clients until it has the state of the former one: a limit of one new
/// connection a second, of a kind that the user's file does not set. HAProxy looks at it before it accepts, but not for
/// `stats socket`; what it does not accept waits in the queue, which the former generation empties meanwhile. It is
/// lifted over the private socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// `maxconnrate`
    Connections,
    /// `maxsessrate`
    Sessions,
}

impl RateLimit {
    /// One that does not touch what the files set; none if they set both.
    pub fn beside(configuration: &Configuration) -> Option<Self> {
        let global = &configuration.global;
        match (&global.max_conn_rate, &global.max_sess_rate) {
            (None, _) => Some(Self::Connections),
            (_, None) => Some(Self::Sessions),
            _ => None,
        }
    }

    /// As the configuration calls it.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Connections => "maxconnrate",
            Self::Sessions => "maxsessrate",
        }
    }

    /// As `set rate-limit` calls it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Sessions => "sessions",
        }
    }
}

/// Lets the Lua code of the user's files see their own names in `HAPROXY_CFGFILES`, and the user's `-S` in
/// `HAPROXY_MASTER_CLI`: HAProxy itself sets these after it has read the last file, to what is on its command line, the
/// overlay's path and Clearway's socket pair among it. What asks `os.getenv` from then on gets the user's; a script that has
/// kept the function in a variable of its own while it was loaded does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lua {
    /// Where [`Self::text`] is read from.
    pub script: ChildFd,
    /// The keywords that load it: those that the user's files use, as each has Lua states of its own.
    pub keywords: Vec<&'static str>,
    /// The names of the user's files, as HAProxy lists them.
    pub names: OsString,
    /// The addresses of `-S`, likewise; nothing: there are none.
    pub master_cli: Option<String>,
}

impl Lua {
    /// What these files need; nothing if they load no Lua.
    pub fn of(configuration: &Configuration, script: ChildFd, master_cli: Option<&str>) -> Option<Self> {
        let global = &configuration.global;
        let loads = [("lua-load", &global.lua_load), ("lua-load-per-thread", &global.lua_load_per_thread)];
        let keywords: Vec<_> =
            loads.into_iter().filter(|(_, setting)| setting.is_some()).map(|(keyword, _)| keyword).collect();
        let master_cli = master_cli.map(str::to_owned);
        (!keywords.is_empty()).then(|| Self { script, keywords, names: configuration.names(), master_cli })
    }

    /// The script. The values stand in it, since up to 2.6 a script gets no arguments (measured with 2.6.12).
    pub fn text(&self) -> Vec<u8> {
        let master_cli = self.master_cli.as_ref().map_or(b"nil".to_vec(), |listed| in_lua(listed.as_bytes()));
        [
            b"local getenv, names, master_cli = os.getenv, ",
            &*in_lua(self.names.as_bytes()),
            b", ",
            &*master_cli,
            b"\nos.getenv = function(name)\n  if name == \"HAPROXY_CFGFILES\" then return names end\n  if name == \
              \"HAPROXY_MASTER_CLI\" then return master_cli end\n  return getenv(name)\nend\n",
        ]
        .concat()
    }
}

/// As a string of Lua.
fn in_lua(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"\"".to_vec();
    for byte in bytes {
        // Those that would end a string, or mean something else in it.
        match byte {
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
    text
}

/// The overlay of one generation. Its `Display` is the text of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// HAProxy's end of the pair for the private stats socket.
    pub stats_socket: ChildFd,
    /// `stats maxconn`, which counts all stats sockets together (docs/facts H11).
    pub stats_maxconn: u32,
    /// What `setcap` lists; nothing: no such line.
    pub keeps: Vec<WorkerCapability>,
    /// What `default-path origin` says. 3.0 and later read some files (the certificates of servers) when all of the
    /// configuration is read, and with `default-path config` or `parent` look for them beside the *last* file:
    /// that would be the overlay (measured with 3.0.11), so it says where the user's last file is.
    pub default_path: Option<PathBuf>,
    /// What a copy of the user's files asks for instead of `HAPROXY_CFGFILES` and `HAPROXY_MASTER_CLI`, and what it is by the
    /// user's command line, as HAProxy lists it.
    pub variables: Vec<(&'static str, PathBuf)>,
    /// The same for Lua code.
    pub lua: Option<Lua>,
    /// Set for a generation that is to have the state of the one before.
    pub rate_limit: Option<RateLimit>,
    /// Whether HAProxy may have fewer descriptors than it reserves: set where it has enough but for [`descriptors`]. Only
    /// then: a HAProxy that has too few by itself is to be refused.
    pub lenient: bool,
}

impl Overlay {
    /// The overlay for a configuration.
    ///
    /// `held` are the rights that Clearway itself can pass on. `setcap` with a right that is not there ends the
    /// worker (`Failed to preset the capabilities to preserve using capset(): Operation not permitted`), so only
    /// these are listed. The line is written only where it matters: a transparent configuration with a worker
    /// that changes its user, from 2.9 on.
    ///
    /// `master_cli`: the addresses of the user's `-S`, as HAProxy lists them.
    pub fn new(
        stats_socket: ChildFd,
        configuration: &Configuration,
        version: Version,
        held: &[WorkerCapability],
        master_cli: Option<&str>,
    ) -> Self {
        let matters =
            version.has_setcap() && configuration.is_transparent() && configuration.global.changes_user();
        let stats_maxconn =
            configuration.global.stats_maxconn().unwrap_or(STATS_MAXCONN).saturating_add(OURS);
        let keeps = if matters { held.to_vec() } else { Vec::new() };
        Self {
            stats_socket,
            stats_maxconn,
            keeps,
            default_path: last_directory(configuration),
            variables: variables(configuration, master_cli),
            lua: None,
            rate_limit: None,
            lenient: false,
        }
    }
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Clearway's overlay: private, beside the user's own configuration.")?;
        writeln!(f, "global")?;
        writeln!(f, "    stats socket {} level admin expose-fd listeners", self.stats_socket.sockpair())?;
        writeln!(f, "    stats maxconn {}", self.stats_maxconn)?;
        if let Some(limit) = self.rate_limit {
            writeln!(f, "    {} 1", limit.keyword())?;
        }
        if !self.keeps.is_empty() {
            let list: Vec<&str> = self.keeps.iter().map(|right| right.keyword()).collect();
            writeln!(f, "    setcap {}", list.join(","))?;
        }
        if self.lenient {
            writeln!(f, "    no strict-limits")?;
        }
        if let Some(path) = &self.default_path {
            writeln!(f, "    default-path origin {}", text(path))?;
        }
        for (name, value) in &self.variables {
            writeln!(f, "    setenv {name} {}", text(value))?;
        }
        if let Some(Lua { script, keywords, .. }) = &self.lua {
            // The user's lines may stand under a condition that this HAProxy does not meet.
            writeln!(f, "    .if feature(LUA)")?;
            for keyword in keywords {
                writeln!(f, "    {keyword} {}", script.path().display())?;
            }
            writeln!(f, "    .endif")?;
        }
        Ok(())
    }
}

/// What is asked for of the user's command line.
fn variables(configuration: &Configuration, master_cli: Option<&str>) -> Vec<(&'static str, PathBuf)> {
    let asked = asked(configuration).into_iter();
    let known = asked.filter_map(|name| match name {
        USERS_FILES => Some((name, configuration.names().into())),
        USERS_MASTER_CLI => Some((name, master_cli?.into())),
        _ => None,
    });
    known.collect()
}

/// Where `default-path config` or `parent` has led with the user's last file.
fn last_directory(configuration: &Configuration) -> Option<PathBuf> {
    // Under a condition it may not count: then it stays as HAProxy has it.
    let setting = configuration.global.default_path.as_ref().filter(|setting| setting.guards.is_empty())?;
    let kind = setting.value.as_str();
    let last = std::path::absolute(&configuration.files.last()?.path).ok()?;
    match kind {
        "config" => last.parent().map(Path::to_path_buf),
        "parent" => Some(last.parent()?.join("..")),
        _ => None,
    }
}

/// A path as one word of a configuration.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&quoted(path)).into_owned()
}

#[cfg(test)]
mod tests;
