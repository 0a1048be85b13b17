//! Which servers have gone down since an old generation has begun to drain: it makes no checks any more, so that only the
//! generation that serves knows.
//!
//! A server is the same if backend and name are, its file and the new one say the same about its address, its checks and
//! `disabled`, and it is at the same address at run time. Else what the new generation finds out is about another one.
//!
//! Owns no connection: it compares. `on-marked-down shutdown-sessions` of the *old* file decides which servers this is about
//! ([`StatedServers::that_end_sessions`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::configuration::{ServerFacts, Stated, StatedServers};
use crate::runtime::SessionLine;
use crate::runtime::state::{Remembered, STOPPED, ServerState, ServersState};

/// Where a server is at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPlace {
    address: Option<IpAddr>,
    port: i64,
}

impl ServerPlace {
    fn of(row: &ServerState<'_>) -> Self {
        Self { address: row.address, port: row.port }
    }
}

/// What the serving generation says of a server that an old one has as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNow {
    /// `BACKEND/SERVER`
    pub name: String,
    /// Whether it gets no requests, for whatever reason.
    pub is_down: bool,
    /// Whether the new file lets it begin like that.
    pub may_begin_down: bool,
    /// Where it is.
    pub place: ServerPlace,
}

/// What the serving generation, with a file that says `stated`, tells of the servers of old files: those of each.
pub fn compare<'a>(
    old: impl Iterator<Item = &'a StatedServers>,
    told: &Remembered,
    stated: &StatedServers,
) -> Vec<Vec<ServerNow>> {
    let rows: Vec<_> = told.servers().collect();
    old.map(|old| compare_one(old, &rows, stated)).collect()
}

fn compare_one(
    old: &StatedServers,
    rows: &[(ServerState<'_>, Option<ServerFacts>)],
    stated: &StatedServers,
) -> Vec<ServerNow> {
    let now = rows.iter().filter_map(|(row, facts)| {
        let (former, facts) = (&old.find(row.proxy, row.name)?.facts, facts.as_ref()?);
        let is_same = former.address == facts.address && former.checks == facts.checks;
        (is_same && former.disabled == facts.disabled).then(|| ServerNow {
            name: name(row.proxy, row.name),
            is_down: row.operation == STOPPED,
            may_begin_down: stated.find(row.proxy, row.name).is_some_and(Stated::may_begin_down),
            place: ServerPlace::of(row),
        })
    });
    now.collect()
}

/// Which of these the old generation takes for being up, and at this place: as it tells of itself, which is as it was when it
/// began to drain. One that was down then has lost its sessions already.
pub fn were_up(old: ServersState<'_>, servers: &BTreeMap<String, ServerPlace>) -> BTreeSet<String> {
    let up = old.rows().filter(|row| row.operation != STOPPED);
    let names = up.map(|row| (name(row.proxy, row.name), ServerPlace::of(&row)));
    names.filter(|(name, place)| servers.get(name) == Some(place)).map(|(name, _)| name).collect()
}

/// The server of a session, as `BACKEND/SERVER`.
pub fn server_of(session: &SessionLine) -> String {
    name(&session.backend, &session.server)
}

fn name(proxy: &str, server: &str) -> String {
    format!("{proxy}/{server}")
}

#[cfg(test)]
mod tests;
