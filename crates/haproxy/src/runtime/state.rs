//! The state of servers, as `show servers state` tells it ([`ServersState`]), and the text in which Clearway keeps it and hands it
//! over ([`Remembered`]).
//!
//! ```text
//! servers 1
//! web s1 0 0 1 1 0 7 0 - 10.0.0.1 80 - 0 0 - - 0 10.0.0.1:80@ 9ae16a3b2f90404f af63bd4c8601b7df 0
//! ```
//!
//! Both stay text, a hundred bytes a server, and are read line by line by those that need it: ten thousand servers as values
//! with their names would be several megabytes, each time HAProxy is asked.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::configuration::{ServerFacts, StatedServers};

/// `srv_op_state`: it gets no requests.
pub const STOPPED: i64 = 0;
/// It gets requests.
pub const RUNNING: i64 = 2;
/// It gets those only that stick to it.
pub const STOPPING: i64 = 3;

/// `srv_admin_state`: put into maintenance by an operator, by an agent, or by `disabled`.
const FORCED_MAINTENANCE: i64 = 0x01;
/// The same for drain.
const FORCED_DRAIN: i64 = 0x08;
/// `SRV_ADMF_MAINT`: maintenance for any reason.
const MAINTENANCE: i64 = 0x23;

/// `srv_check_state`, `srv_agent_state`: the file has that check.
const CONFIGURED: i64 = 0x02;
/// It is made.
const ENABLED: i64 = 0x04;

/// Whether an operator lets a server have clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// As its health says.
    Ready,
    /// Only those that stick to it.
    Drain,
    /// None.
    Maintenance,
}

impl Admin {
    /// As `set server` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maint",
        }
    }
}

/// One server. Numbers that the answer does not have are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerState<'a> {
    /// The name of the `backend` or `listen`.
    pub proxy: &'a str,
    /// Its own.
    pub name: &'a str,
    /// [`STOPPED`] ...
    pub operation: i64,
    admin: i64,
    /// Set at run time.
    pub weight: i64,
    /// As the file has it.
    pub initial_weight: i64,
    /// Good checks in a row, more or less: below `rise` it is down.
    pub check_health: i64,
    check: i64,
    agent: i64,
    /// Its name in the DNS.
    pub fqdn: Option<&'a str>,
    /// None while it is not resolved, and for a Unix socket.
    pub address: Option<IpAddr>,
    /// 0: none of its own.
    pub port: i64,
    /// The record that fills a template.
    pub srv_record: Option<&'a str>,
    /// Whether TLS is used.
    pub tls: i64,
    /// 0: that of the server.
    pub check_port: i64,
    /// None: that of the server.
    pub check_address: Option<IpAddr>,
    /// The same for the agent.
    pub agent_address: Option<IpAddr>,
    /// The same for the agent.
    pub agent_port: i64,
}

impl<'a> ServerState<'a> {
    /// What an operator, an agent or the file has said.
    pub fn admin(&self) -> Admin {
        match self.admin {
            admin if admin & FORCED_MAINTENANCE != 0 => Admin::Maintenance,
            admin if admin & FORCED_DRAIN != 0 => Admin::Drain,
            _ => Admin::Ready,
        }
    }

    /// Whether it is in maintenance for whatever reason: its health says nothing then, and no client comes to it.
    pub fn is_in_maintenance(&self) -> bool {
        self.admin & MAINTENANCE != 0
    }

    /// Whether its checks are made; none without checks.
    pub fn checked(&self) -> Option<bool> {
        (self.check & CONFIGURED != 0).then_some(self.check & ENABLED != 0)
    }

    /// The same for its agent.
    pub fn agent_checked(&self) -> Option<bool> {
        (self.agent & CONFIGURED != 0).then_some(self.agent & ENABLED != 0)
    }

    /// Where it is; none while its name is not resolved, and for a Unix socket.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        let port = u16::try_from(self.port).ok().filter(|port| *port > 0)?;
        Some(SocketAddr::new(self.address.filter(|ip| !ip.is_unspecified())?, port))
    }

    /// The same server as it is after a start of the same file.
    #[must_use]
    pub fn fresh(&self, disabled: bool) -> Self {
        let admin = (self.admin & !(FORCED_MAINTENANCE | FORCED_DRAIN)) | i64::from(disabled);
        let operation = if admin & MAINTENANCE == 0 { RUNNING } else { STOPPED };
        Self { operation, admin, weight: self.initial_weight, ..*self }
    }

    /// Reads words in the order of [`COLUMNS`].
    fn of(words: &[&'a str; COLUMNS.len()]) -> Option<Self> {
        let number = |word: &str| word.parse().unwrap_or(0);
        let text = |word: &'a str| Some(word).filter(|word| *word != NONE);
        let ip = |word: &str| word.parse().ok();
        let flags = |word| number(word) & (CONFIGURED | ENABLED);
        let [proxy, name, operation, admin, weight, initial_weight, check_health, check, agent, ..] = *words;
        let [.., fqdn, address, port, srv_record, tls, check_port, check_address, agent_address, agent_port] =
            *words;
        Some(Self {
            proxy: text(proxy)?,
            name: text(name)?,
            operation: number(operation),
            admin: number(admin),
            weight: number(weight),
            initial_weight: number(initial_weight),
            check_health: number(check_health),
            check: flags(check),
            agent: flags(agent),
            fqdn: text(fqdn),
            address: ip(address),
            port: number(port),
            srv_record: text(srv_record),
            tls: number(tls),
            check_port: number(check_port),
            check_address: ip(check_address),
            agent_address: ip(agent_address),
            agent_port: number(agent_port),
        })
    }
}

impl fmt::Display for ServerState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, name, operation, admin, weight, initial_weight, .. } = self;
        let Self { check_health, check, agent, port, tls, check_port, agent_port, .. } = self;
        let (fqdn, record) = (self.fqdn.unwrap_or(NONE), self.srv_record.unwrap_or(NONE));
        let [address, check_address, agent_address] =
            [self.address, self.check_address, self.agent_address].map(Written);
        write!(
            f,
            "{proxy} {name} {operation} {admin} {weight} {initial_weight} {check_health} {check} {agent} "
        )?;
        write!(
            f,
            "{fqdn} {address} {port} {record} {tls} {check_port} {check_address} {agent_address} {agent_port}"
        )
    }
}

/// An address as a word.
struct Written(Option<IpAddr>);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ip) => ip.fmt(f),
            None => f.write_str(NONE),
        }
    }
}

/// A word that stands for nothing.
const NONE: &str = "-";

/// The columns of our own text, in its order, as HAProxy calls them. The first six are in every answer.
const COLUMNS: [&str; 18] = [
    "be_name",
    "srv_name",
    "srv_op_state",
    "srv_admin_state",
    "srv_uweight",
    "srv_iweight",
    "srv_check_health",
    "srv_check_state",
    "srv_agent_state",
    "srv_fqdn",
    "srv_addr",
    "srv_port",
    "srvrecord",
    "srv_use_ssl",
    "srv_check_port",
    "srv_check_addr",
    "srv_agent_addr",
    "srv_agent_port",
];
const NEEDED: usize = 6;

/// An answer to `show servers state`.
#[derive(Clone, Copy, Debug)]
pub struct ServersState<'a> {
    /// What follows the heading.
    text: &'a str,
    /// Where each of our columns is in a line.
    places: [Option<usize>; COLUMNS.len()],
}

impl<'a> ServersState<'a> {
    /// None if it has no heading: it is another answer then.
    pub fn of(text: &'a str) -> Option<Self> {
        let from = if text.starts_with("# ") { 0 } else { text.find("\n# ")? + 1 };
        let rest = text.get(from..)?;
        let (heading, text) = rest.split_once('\n').unwrap_or((rest, ""));
        let place = |name| heading.split_whitespace().skip(1).position(|column| column == name);
        let places = COLUMNS.map(place);
        places.iter().take(NEEDED).all(Option::is_some).then_some(Self { text, places })
    }

    /// A line for each server.
    pub fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.lines().filter(|line| !line.starts_with('#'))
    }

    /// What a line says; none if it says nothing about a server.
    pub fn row(&self, line: &'a str) -> Option<ServerState<'a>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        ServerState::of(
            &self.places.map(|place| place.and_then(|place| words.get(place).copied()).unwrap_or(NONE)),
        )
    }

    /// The number of each server with its proxy, and its name.
    pub fn numbers(self) -> impl Iterator<Item = ((&'a str, &'a str), &'a str)> {
        self.lines().filter_map(|line| {
            // In this order in every version: `be_id be_name srv_id srv_name`.
            let mut words = line.split_whitespace().skip(1);
            let (proxy, number) = (words.next()?, words.next()?);
            Some(((proxy, number), words.next()?))
        })
    }

    /// All servers.
    pub fn rows(self) -> impl Iterator<Item = ServerState<'a>> {
        self.lines().filter_map(move |line| self.row(line))
    }
}

/// The first line of our own text.
const HEADING: &str = "servers 1\n";

/// What is known of the servers of a generation: their state, and what its file said about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered(String);

impl Remembered {
    /// The state as HAProxy told it, of a generation with such a file.
    pub fn of(told: ServersState<'_>, stated: &StatedServers) -> Self {
        let mut text = HEADING.to_owned();
        for row in told.rows() {
            let _ = write!(text, "{row}");
            if let Some(stated) = stated.find(row.proxy, row.name) {
                let ServerFacts { address, checks, weight, disabled } = &stated.facts;
                let _ = write!(text, " {address} {checks:x} {weight:x} {}", u8::from(*disabled));
            }
            text.push('\n');
        }
        text.shrink_to_fit();
        Self(text)
    }

    /// The same without these, each as `PROXY/SERVER`.
    #[must_use]
    pub fn without(&self, servers: &HashSet<String>) -> Self {
        let is_kept = |line: &&str| {
            let mut words = line.split_whitespace();
            let (proxy, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            !servers.contains(&format!("{proxy}/{name}"))
        };
        let mut text = HEADING.to_owned();
        for line in self.lines().filter(is_kept) {
            text.push_str(line);
            text.push('\n');
        }
        Self(text)
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip(1)
    }

    /// Each server, with what the file said, unset for one that was added at run time.
    pub fn servers(&self) -> impl Iterator<Item = (ServerState<'_>, Option<ServerFacts>)> {
        let server = |line| {
            let mut words = str::split_whitespace(line);
            let mut own = [NONE; COLUMNS.len()];
            own.iter_mut().zip(&mut words).for_each(|(slot, word)| *slot = word);
            Some((ServerState::of(&own)?, facts(words)))
        };
        self.lines().filter_map(server)
    }

    /// How many servers these are.
    pub fn count(&self) -> usize {
        self.lines().count()
    }

    /// How many get no requests.
    pub fn down(&self) -> usize {
        self.servers().filter(|(row, _)| row.operation == STOPPED).count()
    }

    /// The text in pieces of whole lines, none longer than that unless a line is.
    pub fn parts(&self, longest: usize) -> impl Iterator<Item = &str> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let bytes = rest.as_bytes();
            let fitting = bytes.get(..longest).unwrap_or(bytes);
            let line_end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
            let end = line_end(fitting).or_else(|| bytes.iter().position(|byte| *byte == b'\n'));
            let (part, left) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = left;
            Some(part).filter(|part| !part.is_empty())
        })
    }
}

/// What the file said: the rest of a line of ours.
fn facts<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<ServerFacts> {
    let hash = |word: &str| u64::from_str_radix(word, 16).ok();
    Some(ServerFacts {
        address: words.next()?.to_owned(),
        checks: hash(words.next()?)?,
        weight: hash(words.next()?)?,
        disabled: words.next()? == "1",
    })
}

/// A text that is not ours, or of a version that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of servers begins with another line than `{}`", HEADING.trim_end())]
pub struct NotRemembered;

impl FromStr for Remembered {
    type Err = NotRemembered;

    fn from_str(text: &str) -> Result<Self, NotRemembered> {
        if text.starts_with(HEADING) { Ok(Self(text.to_owned())) } else { Err(NotRemembered) }
    }
}

#[cfg(test)]
mod tests;
