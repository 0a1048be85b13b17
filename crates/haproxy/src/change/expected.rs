//! What HAProxy must say of the servers of a change, before its first command and after its last one.
//!
//! Before: the servers are those of the file that runs, and the ones that will be touched are as that file made them; else
//! another program was at the runtime API, and a reload is what makes HAProxy equal to the file. After: they are as the new
//! file says. Only backends that are touched are asked about.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::plan::ReloadReason;
use crate::runtime::state::{Admin, ServerState, ServersState};

/// What `show servers state` must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub(super) backends: Vec<ExpectedBackend>,
}

/// The servers of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExpectedBackend {
    pub(super) name: String,
    pub(super) names_before: Vec<String>,
    pub(super) names_after: Vec<String>,
    /// Those that are touched, as they are now.
    pub(super) before: Vec<ExpectedServer>,
    /// The same, and those that are added, as they are to be.
    pub(super) after: Vec<ExpectedServer>,
}

/// What a file says of a server; what it leaves open is unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpectedServer {
    pub(super) name: String,
    pub(super) address: Option<SocketAddr>,
    pub(super) weight: Option<u32>,
    pub(super) disabled: Option<bool>,
}

impl Expected {
    /// The commands to ask with, one for each backend that is touched: `show servers state BACKEND`. The same before and after;
    /// none if no server is touched.
    pub fn questions(&self) -> Vec<String> {
        self.backends.iter().map(|backend| format!("show servers state {}", backend.name)).collect()
    }

    /// What is not as the file that runs says; nothing: go on. `answers`: those to [`Expected::questions`], in any order, or one to
    /// `show servers state`.
    pub fn before<'a>(&self, answers: impl IntoIterator<Item = ServersState<'a>>) -> Vec<ReloadReason> {
        let told = ToldRows::of(answers);
        let judged = |one: &ExpectedBackend| told.judge(one, &one.names_before, &one.before);
        self.backends.iter().filter_map(judged).collect()
    }

    /// What is not as the new file says; nothing: it is done.
    pub fn after<'a>(&self, answers: impl IntoIterator<Item = ServersState<'a>>) -> Vec<ReloadReason> {
        let told = ToldRows::of(answers);
        let judged = |one: &ExpectedBackend| told.judge(one, &one.names_after, &one.after);
        self.backends.iter().filter_map(judged).collect()
    }
}

/// The rows of all answers, by backend and name.
struct ToldRows<'a>(HashMap<&'a str, HashMap<&'a str, ServerState<'a>>>);

impl<'a> ToldRows<'a> {
    fn of(answers: impl IntoIterator<Item = ServersState<'a>>) -> Self {
        let mut told: HashMap<&str, HashMap<&str, ServerState<'_>>> = HashMap::new();
        for row in answers.into_iter().flat_map(ServersState::rows) {
            told.entry(row.proxy).or_default().insert(row.name, row);
        }
        Self(told)
    }

    /// The first thing of a backend that is otherwise.
    fn judge(
        &self,
        backend: &ExpectedBackend,
        names: &[String],
        servers: &[ExpectedServer],
    ) -> Option<ReloadReason> {
        let empty = HashMap::new();
        let rows = self.0.get(backend.name.as_str()).unwrap_or(&empty);
        let reason = |server: &str, what: &str| {
            Some(ReloadReason::at(format_args!("{}/{server}", backend.name), what))
        };
        if let Some(missing) = names.iter().find(|name| !rows.contains_key(name.as_str())) {
            return reason(
                missing,
                "HAProxy does not have this server: another program has changed something",
            );
        }
        if rows.len() != names.len() {
            let known: HashSet<&str> = names.iter().map(String::as_str).collect();
            let mut more: Vec<&str> = rows.keys().filter(|name| !known.contains(**name)).copied().collect();
            more.sort_unstable();
            let what =
                "HAProxy has this server, and the file does not: another program has changed something";
            return reason(more.first().copied().unwrap_or_default(), what);
        }
        servers.iter().find_map(|server| {
            let wrong = server.differs(rows.get(server.name.as_str())?)?;
            reason(&server.name, &format!("{wrong}: another program has changed something"))
        })
    }
}

impl ExpectedServer {
    /// What is otherwise, in words.
    fn differs(&self, row: &ServerState<'_>) -> Option<String> {
        if let Some(address) = self.address.filter(|address| row.endpoint() != Some(*address)) {
            let is = row.endpoint().map_or_else(|| "another".to_owned(), |is| is.to_string());
            return Some(format!("its address is {is}, not {address}"));
        }
        if let Some(weight) = self.weight.filter(|weight| i64::from(*weight) != row.weight) {
            return Some(format!("its weight is {}, not {weight}", row.weight));
        }
        let admin = if self.disabled? { Admin::Maintenance } else { Admin::Ready };
        (row.admin() != admin).then(|| format!("its state is {}, not {}", row.admin().word(), admin.word()))
    }
}
