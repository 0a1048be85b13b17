//! The whole state of servers, as `show servers state` tells it, and the text in which Clearway keeps it and hands it
//! over.
//!
//! ```text
//! servers 1
//! web s1 0 0 1 1 0 7 0 - 10.0.0.1 80 - 0 0 - - 0 10.0.0.1:80@ 9ae16a3b2f90404f af63bd4c8601b7df 0
//! ```

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::configuration::{Facts, StatedServers};

/// `srv_op_state`: it gets no requests.
pub const STOPPED: i64 = 0;
/// It begins to get requests (`slowstart`).
pub const STARTING: i64 = 1;
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The name of the `backend` or `listen`.
    pub proxy: String,
    /// Its own.
    pub name: String,
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
    pub fqdn: Option<String>,
    /// None while it is not resolved, and for a Unix socket.
    pub address: Option<IpAddr>,
    /// 0: none of its own.
    pub port: i64,
    /// The record that fills a template.
    pub srv_record: Option<String>,
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

impl Row {
    /// What an operator, an agent or the file has said.
    pub fn admin(&self) -> Admin {
        match self.admin {
            admin if admin & FORCED_MAINTENANCE != 0 => Admin::Maintenance,
            admin if admin & FORCED_DRAIN != 0 => Admin::Drain,
            _ => Admin::Ready,
        }
    }

    /// Whether it is in maintenance for whatever reason: its health says nothing then.
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

    /// The same server as it is after a start of the same file.
    #[must_use]
    pub fn fresh(&self, disabled: bool) -> Self {
        let admin = (self.admin & !(FORCED_MAINTENANCE | FORCED_DRAIN)) | i64::from(disabled);
        let operation = if admin & MAINTENANCE == 0 { RUNNING } else { STOPPED };
        Self { operation, admin, weight: self.initial_weight, ..self.clone() }
    }

    fn parse(proxy: &str, name: &str, word: &dyn Fn(&str) -> Option<String>) -> Self {
        let text = |column| word(column).filter(|word| word != "-");
        let number = |column| word(column).and_then(|word| word.parse().ok()).unwrap_or(0);
        let ip = |column| word(column).and_then(|word| word.parse().ok());
        Self {
            proxy: proxy.to_owned(),
            name: name.to_owned(),
            operation: number("srv_op_state"),
            admin: number("srv_admin_state"),
            weight: number("srv_uweight"),
            initial_weight: number("srv_iweight"),
            check_health: number("srv_check_health"),
            check: number("srv_check_state") & (CONFIGURED | ENABLED),
            agent: number("srv_agent_state") & (CONFIGURED | ENABLED),
            fqdn: text("srv_fqdn"),
            address: ip("srv_addr"),
            port: number("srv_port"),
            srv_record: text("srvrecord"),
            tls: number("srv_use_ssl"),
            check_port: number("srv_check_port"),
            check_address: ip("srv_check_addr"),
            agent_address: ip("srv_agent_addr"),
            agent_port: number("srv_agent_port"),
        }
    }
}

/// What the file need not have: the columns of our own text, in its order.
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

/// The first line of our own text.
const HEADING: &str = "servers 1";

/// Reads the answer to `show servers state`. None if it has no heading: it is another answer then.
pub fn rows(text: &str) -> Option<Vec<Row>> {
    let mut lines = text.lines();
    let heading = lines.find_map(|line| line.strip_prefix("# "))?;
    let columns: HashMap<&str, usize> =
        heading.split_whitespace().enumerate().map(|(place, name)| (name, place)).collect();
    for needed in ["be_name", "srv_name", "srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight"] {
        columns.get(needed)?;
    }
    let lines = lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Some(lines.filter_map(|line| read(line, &columns)).collect())
}

fn read(line: &str, columns: &HashMap<&str, usize>) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = |column: &str| Some((*words.get(*columns.get(column)?)?).to_owned());
    Some(Row::parse(&word("be_name")?, &word("srv_name")?, &word))
}

/// What is known of the servers of a generation: their state, and what its file said about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Each with what the file said, unset for one that was added at run time.
    pub servers: Vec<(Row, Option<Facts>)>,
}

impl Remembered {
    /// The state as HAProxy told it, of a generation with such a file.
    pub fn of(rows: Vec<Row>, stated: &StatedServers) -> Self {
        let with_facts = |row: Row| {
            let facts = stated.find(&row.proxy, &row.name).map(|stated| stated.facts.clone());
            (row, facts)
        };
        Self { servers: rows.into_iter().map(with_facts).collect() }
    }

    /// How many get no requests.
    pub fn down(&self) -> usize {
        self.servers.iter().filter(|(row, _)| row.operation == STOPPED).count()
    }
}

impl fmt::Display for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADING}")?;
        let ip = |ip: Option<IpAddr>| ip.map_or("-".to_owned(), |ip| ip.to_string());
        for (row, facts) in &self.servers {
            let (fqdn, record) =
                (row.fqdn.as_deref().unwrap_or("-"), row.srv_record.as_deref().unwrap_or("-"));
            write!(f, "{} {} {} {}", row.proxy, row.name, row.operation, row.admin)?;
            write!(f, " {} {} {}", row.weight, row.initial_weight, row.check_health)?;
            write!(f, " {} {} {fqdn} {} {}", row.check, row.agent, ip(row.address), row.port)?;
            write!(f, " {record} {} {} {}", row.tls, row.check_port, ip(row.check_address))?;
            write!(f, " {} {}", ip(row.agent_address), row.agent_port)?;
            match facts {
                Some(Facts { address, checks, weight, disabled }) => {
                    writeln!(f, " {address} {checks:x} {weight:x} {}", u8::from(*disabled))?;
                }
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// A text that is not ours, or of a version that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of servers begins with another line than `{HEADING}`")]
pub struct NotOurs;

impl FromStr for Remembered {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADING) {
            return Err(NotOurs);
        }
        let columns: HashMap<&str, usize> =
            COLUMNS.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let facts = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().skip(COLUMNS.len()).collect();
            let number = |at: usize| u64::from_str_radix(words.get(at)?, 16).ok();
            Some(Facts {
                address: (*words.first()?).to_owned(),
                checks: number(1)?,
                weight: number(2)?,
                disabled: *words.get(3)? == "1",
            })
        };
        let servers = lines.filter_map(|line| Some((read(line, &columns)?, facts(line))));
        Ok(Self { servers: servers.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
        srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
        srv_check_addr srv_agent_addr srv_agent_port\n\
        3 b:4 1 s.1-_ 10.2.0.2 0 1 5 1 4 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\
        3 b:4 2 t1 - 0 32 1 1 4 1 0 0 14 0 0 0 web 80 - 0 81 ::1 - 0\n";

    #[test]
    fn what_is_kept_is_what_was_told() {
        let rows = rows(ANSWER).unwrap();
        assert_eq!(rows[0].admin(), Admin::Maintenance);
        assert_eq!((rows[0].weight, rows[0].check_health, rows[0].checked()), (5, 4, Some(true)));
        assert_eq!((rows[1].fqdn.as_deref(), rows[1].address, rows[1].check_port), (Some("web"), None, 81));
        let facts = Facts { address: "x:80@".into(), checks: 1, weight: u64::MAX, disabled: true };
        let known = Remembered { servers: vec![(rows[0].clone(), Some(facts)), (rows[1].clone(), None)] };
        assert_eq!(known.to_string().parse(), Ok(known));
        assert_eq!("servers 2\n".parse::<Remembered>(), Err(NotOurs));
        assert_eq!("servers 1\nnonsense\n".parse(), Ok(Remembered::default()));
    }

    #[test]
    fn another_answer_is_none() {
        assert_eq!(super::rows("Unknown command: 'show servers state'"), None);
        assert_eq!(super::rows(""), None);
    }
}
