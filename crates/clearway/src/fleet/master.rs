//! HAProxy's own master, which may be signalled instead of Clearway: `kill -USR2 $(cat FILE)` where the configuration has a
//! `pidfile`, `pkill -HUP haproxy` in an old hook.
//!
//! The master then starts another worker from what is on disk, and tells the one that Clearway knows to finish. The sockets that
//! the new one has are not those in custody, they are not proved, and a port that the file does not have any more is
//! held and accepted on by nothing. So that is noticed within a quarter of a second of its words,
//! or ten seconds without ([`Glances`]), the core is told which worker it is now, and makes it a reload of Clearway's.
//!
//! Which children the master has is looked at in `/proc`; only if they have changed the master is asked (`show proc`), on
//! a thread, and its answer counts: a `program` is a child as well, and a worker that could not start has come and gone.
//! Nothing that HAProxy does tells it at once and in all versions: up to 3.0 the master takes its open connections along
//! when it executes itself anew (measured: over 3.1 they end, with 2.6.12 and 3.0.11 they do not), and its words may be
//! silenced (`quiet`).

use std::os::fd::OwnedFd;
use std::time::Duration;

use clearway_core::inquiry::Glances;
use clearway_core::names::Generation;
use clearway_haproxy::runtime::{Channel, CliCommand};
use clearway_haproxy::sockpair::{self, SockpairError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use crate::debug;
use crate::fleet::News;
use crate::ground::{aside, due};

/// How long an answer may take. It is asked again then.
const LIMIT: Duration = Duration::from_secs(2);

/// A master, and which worker it is known to have.
#[derive(Debug)]
pub struct Master {
    /// Of which generation it is.
    pub generation: Generation,
    /// Its number.
    pub pid: u32,
    /// The worker that serves.
    pub worker: u32,
    /// Our end of its CLI.
    pub cli: OwnedFd,
    /// Changes whenever it or its worker says something.
    pub heard: watch::Receiver<()>,
}

/// What came of a question.
enum MasterReply {
    /// This worker serves.
    Serves(u32),
    /// Nothing that could be understood, or not yet.
    Nothing,
    /// It has ended.
    Ended,
}

impl Master {
    /// Looks after it until it has ended, and tells when it has replaced its worker.
    pub async fn watch(mut self, news: UnboundedSender<News>) {
        let mut seen = children(self.pid);
        let mut glances = Glances::begin();
        loop {
            tokio::select! {
                () = due::after(Some(glances.next(due::elapsed()))) => glances.looked(),
                Ok(()) = self.heard.changed(), if glances.listens() => {
                    glances.said();
                    continue;
                }
            }
            let now = children(self.pid);
            if now == seen {
                // Without a list in `/proc` nothing is ever noticed, and the end is not seen either.
                if now.is_none() {
                    return;
                }
                continue;
            }
            match self.ask().await {
                MasterReply::Serves(worker) => {
                    seen = now;
                    if worker != self.worker {
                        self.worker = worker;
                        let _ = news.send(News::Replaced { generation: self.generation, worker });
                    }
                }
                MasterReply::Nothing => {}
                MasterReply::Ended => return,
            }
        }
    }

    async fn ask(&self) -> MasterReply {
        let Ok(cli) = self.cli.try_clone() else { return MasterReply::Nothing };
        let (sender, receiver) = oneshot::channel();
        let known = self.worker;
        aside::spawn("asking HAProxy's master for its worker", move || {
            let _ = sender.send(ask(&cli, known));
        });
        receiver.await.unwrap_or(MasterReply::Nothing)
    }
}

fn ask(cli: &OwnedFd, known: u32) -> MasterReply {
    let connection = match sockpair::dial(cli) {
        Ok(connection) => connection,
        Err(SockpairError::Ended) => return MasterReply::Ended,
        Err(_) => return MasterReply::Nothing,
    };
    let answer = CliCommand::show_proc().ask(&connection, Channel::Master, LIMIT);
    match answer.and_then(|answer| answer.processes()) {
        Ok(processes) => {
            let mut serving = processes.workers();
            let first = serving.next();
            // As long as it is among them, it is the one.
            let worker = if serving.chain(first).any(|worker| worker == known) { Some(known) } else { first };
            worker.map_or(MasterReply::Nothing, MasterReply::Serves)
        }
        Err(error) => {
            debug!("the master CLI did not say which worker serves: {error}");
            MasterReply::Nothing
        }
    }
}

/// Its children, in the order in which they were born; none if it has ended, or the kernel keeps no such list
/// (`CONFIG_PROC_CHILDREN`).
fn children(pid: u32) -> Option<Vec<u32>> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(list.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}
