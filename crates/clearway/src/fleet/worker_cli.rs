//! The worker of a generation, asked by way of its master's CLI, which answers also while the worker drains.
//!
//! Every question blocks: it is sent to a thread, away from the loop.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use clearway_haproxy::runtime::{Channel, CliCommand, CliResponse, RuntimeError, SessionLine};
use clearway_haproxy::sockpair;
use clearway_haproxy::statistics::{StatReader, StatSample};

use crate::debug;

/// How long a generation may take to say how many sessions it has: for a status, and before it is cut.
pub const QUESTIONS: Duration = Duration::from_millis(300);

/// The same for one of several generations. One that does not answer is cut first, so a busy machine must be no reason.
pub const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error(transparent)]
    Dial(#[from] sockpair::SockpairError),
    #[error(transparent)]
    Said(#[from] RuntimeError),
}

/// What is needed to ask.
#[derive(Debug)]
pub struct WorkerCli {
    master: OwnedFd,
    worker: u32,
}

impl WorkerCli {
    /// Over our end of the master's CLI.
    pub fn of(master: OwnedFd, worker: u32) -> Self {
        Self { master, worker }
    }

    /// Its environment (`show env`), one variable a line. Blocks, for so long at most.
    pub fn environment(&self, limit: Duration) -> Option<String> {
        self.ask(&CliCommand::show_env(), limit).map(|answer| answer.text)
    }

    /// The state of its servers. Blocks likewise.
    pub fn servers_state(&self, limit: Duration) -> Option<CliResponse> {
        self.ask(&CliCommand::show_servers_state(), limit)
    }

    /// Its stick tables. Blocks likewise.
    pub fn tables(&self, limit: Duration) -> Option<CliResponse> {
        self.ask(&CliCommand::show_tables(), limit)
    }

    /// The lines of one of them, until `take` breaks. Blocks likewise.
    pub fn table(
        &self,
        name: &str,
        limit: Duration,
        take: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), Unanswered> {
        let connection = sockpair::dial(&self.master)?;
        let command = CliCommand::show_table(name).at_worker(self.worker);
        Ok(command.ask_by_line(&connection, Channel::Master, limit, take)?)
    }

    /// Its counters, as `stats-file` has them. Blocks likewise.
    pub fn statistics(&self, limit: Duration) -> Result<String, Unanswered> {
        let connection = sockpair::dial(&self.master)?;
        let command = CliCommand::dump_stats_file().at_worker(self.worker);
        Ok(command.ask(&connection, Channel::Master, limit)?.statistics()?)
    }

    /// What it has counted. Blocks likewise.
    pub fn counters(&self, limit: Duration) -> Option<StatSample> {
        let mut reader = StatReader::default();
        let read = sockpair::dial(&self.master).map_err(Unanswered::from).and_then(|connection| {
            let command = CliCommand::show_statistics().at_worker(self.worker);
            let take = |line: &str| {
                reader.line(line);
                ControlFlow::Continue(())
            };
            Ok(command.ask_by_line(&connection, Channel::Master, limit, take)?)
        });
        read.inspect_err(|error| debug!("asking worker {}: {error}", self.worker)).ok()?;
        reader.sample()
    }

    /// Which sessions it has. Blocks, until `deadline` at most.
    pub fn sessions(&self, deadline: Instant) -> Option<Vec<SessionLine>> {
        self.ask(&CliCommand::show_sessions(), left(deadline)?).map(|answer| answer.sessions())
    }

    /// The state of its servers, or why it is not known. Blocks, for so long at most.
    pub fn ask_servers_state(&self, limit: Duration) -> Result<CliResponse, String> {
        self.answer(&CliCommand::show_servers_state(), limit)
    }

    /// Which sessions it has, or why that is not known. Blocks likewise.
    pub fn ask_sessions(&self, limit: Duration) -> Result<Vec<SessionLine>, String> {
        self.answer(&CliCommand::show_sessions(), limit).map(|answer| answer.sessions())
    }

    /// Ends a session. False if it has ended by itself. Blocks likewise.
    pub fn end_session(&self, id: &str, limit: Duration) -> Result<bool, String> {
        let command = CliCommand::shutdown_session(id).map_err(|error| error.to_string())?;
        let answer = self.answer(&command, limit)?;
        if answer.is_no_such_session() {
            return Ok(false);
        }
        answer.done().map(|()| true).map_err(|error| error.to_string())
    }

    /// How many sessions it has. Blocks likewise.
    pub fn count_sessions(&self, deadline: Instant) -> Option<u64> {
        let answer = self.ask(&CliCommand::show_info(), left(deadline)?)?;
        let info = answer.info().inspect_err(|error| debug!("worker {}: {error}", self.worker)).ok()?;
        Some(info.current_connections)
    }

    fn ask(&self, command: &CliCommand, limit: Duration) -> Option<CliResponse> {
        let answer = self.answer(command, limit);
        answer.inspect_err(|error| debug!("asking worker {}: {error}", self.worker)).ok()
    }

    fn answer(&self, command: &CliCommand, limit: Duration) -> Result<CliResponse, String> {
        let connection = sockpair::dial(&self.master).map_err(|error| error.to_string())?;
        let answer = command.at_worker(self.worker).ask(&connection, Channel::Master, limit);
        answer.map_err(|error| error.to_string())
    }
}

fn left(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}
