//! What the files say about each server, as far as that decides whether its state may pass from one generation to the
//! next: its address, how it is checked, its weight, and whether it is disabled. And whether its sessions end when it goes down.
//!
//! The options of a server are those of the `default-server` lines above it (of its `defaults`, then of its section)
//! and its own. Options that say nothing about whether it is up (`maxconn`, `cookie`, `inter` ...) do not count.
//! Hashes are FNV-1a with 64 bits: they go over the takeover protocol, so they must stay.

use std::collections::HashMap;
use std::sync::Arc;

use super::guards::Guard;

/// What the file of a generation says about a server. Compared with what the next file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// The address as it is written, and how it is resolved.
    pub address: String,
    /// Everything that decides what a check finds, hashed.
    pub checks: u64,
    /// The words behind `weight`, hashed; of no meaning but to be compared.
    pub weight: u64,
    /// `disabled`
    pub disabled: bool,
}

/// What decides whether a server is up at the beginning, unless an operator does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialHealth {
    /// Nothing but its checks, if it has some.
    #[default]
    Checks,
    /// `track`: it is that of another one.
    Another,
    /// `init-state` (3.1): the file.
    File,
}

/// The same for the generation that is to get the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// What is compared.
    pub facts: ServerFacts,
    /// After so many good checks a server that is down is up: HAProxy's default is 2.
    pub rise: i64,
    /// What decides whether it is up at the beginning.
    pub health: InitialHealth,
    /// `load-server-state-from-file`: the user's own state file says how it begins.
    pub from_file: bool,
    /// `resolvers`: its address follows the DNS at run time.
    pub resolved: bool,
    /// `on-marked-down shutdown-sessions`: its sessions end when it goes down. Not set where a condition leaves that open.
    pub ends_sessions: bool,
}

impl Stated {
    /// Whether a HAProxy may begin with it down although no check has failed.
    pub fn may_begin_down(&self) -> bool {
        self.from_file || self.health != InitialHealth::Checks
    }
}

/// All servers of a configuration, by proxy and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedServers {
    servers: HashMap<(String, String), Stated>,
    /// Those of `server-template`, by the beginning of their names.
    templates: HashMap<(String, String), Stated>,
}

impl StatedServers {
    /// What is said about a server as HAProxy names it; none if no line makes it.
    pub fn find(&self, proxy: &str, name: &str) -> Option<&Stated> {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let template = || self.templates.get(&(proxy.to_owned(), prefix.to_owned()));
        self.servers.get(&(proxy.to_owned(), name.to_owned())).or_else(template)
    }

    /// Those alone whose sessions end when they go down.
    #[must_use]
    pub fn that_end_sessions(&self) -> Self {
        let of = |list: &HashMap<(String, String), Stated>| {
            let ends = list.iter().filter(|(_, stated)| stated.ends_sessions);
            ends.map(|(name, stated)| (name.clone(), stated.clone())).collect()
        };
        Self { servers: of(&self.servers), templates: of(&self.templates) }
    }

    /// Whether there is no server.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.templates.is_empty()
    }
}

/// What a section says for its servers. The lines are shared with the sections that inherit them.
#[derive(Clone, Debug, Default)]
struct ServerDefaults {
    /// The words of each of its `default-server` lines.
    options: Vec<Arc<[String]>>,
    /// Its lines about checks.
    checks: Vec<Arc<str>>,
    from_file: bool,
    /// Whether `default-server` says `on-marked-down shutdown-sessions`, whatever conditions come to.
    ends_sessions: bool,
}

/// A server of the section that goes by.
#[derive(Debug)]
struct OpenServer {
    name: String,
    template: bool,
    address: String,
    /// How many `default-server` lines stand above it.
    defaults: usize,
    /// Its own options.
    options: Vec<String>,
    ends_sessions: bool,
}

/// Collects while the lines go by; a server is known when its section is over, as a check may be described below it.
#[derive(Debug, Default)]
pub(super) struct StatedFinder {
    last: ServerDefaults,
    named: HashMap<String, ServerDefaults>,
    says: ServerDefaults,
    /// Keyword and name of the section.
    section: Option<(String, String)>,
    /// The conditions under which the section is there.
    guards: Arc<[Guard]>,
    open: Vec<OpenServer>,
    found: StatedServers,
}

impl StatedFinder {
    /// A section begins with these words.
    pub(super) fn section(&mut self, section: &[String], guards: Arc<[Guard]>) {
        self.end_section();
        let word = |at: usize| section.get(at).map_or("", String::as_str);
        let from = section.iter().position(|word| word == "from").and_then(|at| section.get(at + 1));
        let base =
            || from.map_or(self.last.clone(), |name| self.named.get(name).cloned().unwrap_or_default());
        self.says = match (word(0), from) {
            ("defaults", None) => ServerDefaults::default(),
            ("defaults" | "backend" | "listen", _) => base(),
            _ => ServerDefaults::default(),
        };
        self.section = Some((word(0).to_owned(), word(1).to_owned()));
        self.guards = guards;
    }

    /// A line of the section.
    pub(super) fn line(&mut self, line: &[String], guards: &Arc<[Guard]>) {
        let word = |at: usize| line.get(at).map_or("", String::as_str);
        let rest = |at: usize| line.get(at..).unwrap_or_default().to_vec();
        match (word(0), word(1)) {
            ("default-server", _) => {
                // No option takes it back, so a condition before it can only leave it out.
                self.says.ends_sessions |= *guards == self.guards && ends_sessions(line);
                self.says.options.push(rest(1).into());
            }
            ("server", name) => self.server(name, false, word(2), rest(3)),
            ("server-template", name) => self.server(name, true, word(3), rest(4)),
            ("load-server-state-from-file", what) => self.says.from_file = what != "none",
            ("http-check" | "tcp-check" | "external-check", _) => {
                self.says.checks.push(line.join(" ").into());
            }
            ("option", what) if what.contains("chk") || what.contains("check") => {
                self.says.checks.push(line.join(" ").into());
            }
            _ => {}
        }
    }

    fn server(&mut self, name: &str, template: bool, address: &str, options: Vec<String>) {
        let (name, address) = (name.to_owned(), address.to_owned());
        let ends_sessions = self.says.ends_sessions || ends_sessions(&options);
        let defaults = self.says.options.len();
        self.open.push(OpenServer { name, template, address, defaults, options, ends_sessions });
    }

    pub(super) fn into_servers(mut self) -> StatedServers {
        self.end_section();
        self.found
    }

    fn end_section(&mut self) {
        let Some((keyword, name)) = self.section.take() else { return };
        match keyword.as_str() {
            "defaults" => {
                // One behind a condition may not be the one that counts.
                self.says.ends_sessions &= self.guards.is_empty();
                self.last = self.says.clone();
                self.named.insert(name, self.says.clone());
            }
            "backend" | "listen" => {
                for server in self.open.drain(..) {
                    let mut stated = stated(&self.says, &server);
                    let list =
                        if server.template { &mut self.found.templates } else { &mut self.found.servers };
                    let key = (name.clone(), server.name);
                    // Of several lines for one server, as in `.if` and `.else`, it is open which one counts.
                    let others = list.get(&key).is_none_or(|former| former.ends_sessions);
                    stated.ends_sessions = server.ends_sessions && others;
                    list.insert(key, stated);
                }
            }
            _ => {}
        }
        self.open.clear();
    }
}

/// Options with a value that say nothing about whether a server is up.
const BESIDE: [&str; 19] = [
    "maxconn",
    "minconn",
    "maxqueue",
    "slowstart",
    "cookie",
    "id",
    "inter",
    "fastinter",
    "downinter",
    "fall",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "error-limit",
    "observe",
    "redir",
    "pool-max-conn",
    "pool-low-conn",
    "pool-purge-delay",
];

/// The same without a value.
const FLAGS: [&str; 3] = ["backup", "non-stick", "enabled"];

/// Whether options say that sessions end when the server goes down.
fn ends_sessions(options: &[String]) -> bool {
    options.windows(2).any(|pair| pair == ["on-marked-down", "shutdown-sessions"])
}

fn stated(says: &ServerDefaults, server: &OpenServer) -> Stated {
    let mut stated = Stated { rise: 2, from_file: says.from_file, ..Stated::default() };
    let mut checks: Vec<&str> = says.checks.iter().map(AsRef::as_ref).collect();
    let mut weight = "";
    let mut by = "";
    let defaults = says.options.iter().take(server.defaults).flat_map(|line| line.iter());
    let mut words = defaults.chain(&server.options).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "weight" => weight = words.next().unwrap_or_default(),
            "disabled" => stated.facts.disabled = true,
            "rise" => stated.rise = words.next().and_then(|rise| rise.parse().ok()).unwrap_or(2),
            "track" => {
                stated.health = InitialHealth::Another;
                checks.extend(["track", words.next().unwrap_or_default()]);
            }
            "init-state" => {
                stated.health = InitialHealth::File;
                words.next();
            }
            "resolvers" => {
                stated.resolved = true;
                by = words.next().unwrap_or_default();
            }
            word if BESIDE.contains(&word) => {
                words.next();
            }
            word if FLAGS.contains(&word) => {
                if word == "enabled" {
                    stated.facts.disabled = false;
                }
            }
            word => checks.push(word),
        }
    }
    stated.facts.address = format!("{}@{by}", server.address).split_whitespace().collect();
    stated.facts.checks = hash(checks.iter().copied());
    stated.facts.weight = hash([weight]);
    stated
}

/// FNV-1a, with an end after each word.
fn hash<'a>(words: impl IntoIterator<Item = &'a str>) -> u64 {
    let bytes = words.into_iter().flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
