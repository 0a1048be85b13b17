//! What a program finds in its environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clearway_haproxy::command_line::ChildFd;
use clearway_haproxy::configuration::{Changes, Configuration};

use crate::fleet::child;

/// What only HAProxy knows of a program's environment.
const FROM_THE_WORKER: [&str; 4] =
    ["HAPROXY_CLI", "HAPROXY_LOCALPEER", "HAPROXY_BRANCH", "HAPROXY_STARTUP_VERSION"];

/// What a program finds in its environment, beside what Clearway was given.
#[derive(Clone, Debug, Default)]
pub struct ProgramEnvironment {
    /// What the configuration sets and unsets.
    changes: Changes,
    /// `HAPROXY_CFGFILES`
    files: OsString,
    /// What HAProxy has said.
    said: Vec<(String, String)>,
}

impl ProgramEnvironment {
    /// Of the programs of this configuration, without what only HAProxy knows.
    pub fn of(configuration: &Configuration) -> Self {
        Self { changes: configuration.environment.clone(), files: configuration.names(), said: Vec::new() }
    }

    /// What HAProxy has said counts, as far as it is believed: a worker may be in the wrong hands, and programs may be
    /// root. `private`: Clearway's own stats socket, which is none of theirs.
    pub fn hear(&mut self, answer: &str, private: ChildFd) {
        self.said = believed(answer, private);
    }

    /// All variables.
    pub fn variables(
        &self,
        local_peer: Option<&OsStr>,
        master_cli: Option<&str>,
    ) -> BTreeMap<OsString, OsString> {
        let mut all: BTreeMap<OsString, OsString> = child::inherited_variables().collect();
        for (name, value) in &self.changes {
            match value {
                Some(value) => all.insert(name.into(), value.into()),
                None => all.remove(OsStr::new(name)),
            };
        }
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned().into();
        let peer = local_peer.map_or_else(host, OsStr::to_owned);
        all.insert("HAPROXY_LOCALPEER".into(), peer);
        all.insert("HAPROXY_MWORKER".into(), "1".into());
        all.extend(master_cli.map(|listed| ("HAPROXY_MASTER_CLI".into(), listed.into())));
        all.insert("HAPROXY_CFGFILES".into(), self.files.clone());
        all.extend(self.said.iter().map(|(name, value)| (name.into(), value.into())));
        all
    }
}

fn believed(answer: &str, private: ChildFd) -> Vec<(String, String)> {
    let variables = answer.lines().filter_map(|line| line.split_once('='));
    let believed = variables.filter(|(name, _)| FROM_THE_WORKER.contains(name));
    let private = private.sockpair();
    let without_ours = |(name, value): (&str, &str)| {
        let sockets = value.split(';').filter(|socket| name != "HAPROXY_CLI" || *socket != private);
        (name.to_owned(), sockets.collect::<Vec<_>>().join(";"))
    };
    believed.map(without_ours).collect()
}

#[cfg(test)]
mod tests;
