//! HAProxy's runtime API: one command, one answer, over a private connection ([`crate::sockpair::dial`]).
//!
//! Owns the commands, with a limit on time and size, and the reading of the answers that Clearway needs. Two kinds
//! of socket speak it ([`Channel`]); they differ in how an answer ends. The protocol has no status: a command that
//! changes something succeeded if its answer is empty ([`CliResponse::done`]). Many commands at once: [`batch`].
//!
//! After `SIGUSR1` a worker takes no new connection on its stats socket (one that is dialled waits until its limit
//! ends); over the master CLI, `@!PID command` still reaches it (docs/facts H2).
//!
//! An answer of the worker does not mean that the *master* is ready. Up to 3.0 the master executes itself once more
//! after it has started the worker; for 20 to 40 ms a `SIGUSR1` to it is lost and a `SIGTERM` kills it (exit by
//! signal 15, the worker goes too). Ask it `show proc` first, or signal the worker itself: its end ends the master
//! with status 0 (measured with 2.6.12, 3.0.11; 3.2.26 has no such gap).

use std::fmt;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;

use crate::deadline::Deadline;

pub mod batch;
mod exchange;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod info;
mod processes;
mod sessions;
pub mod state;

pub use exchange::{Channel, LONGEST_ANSWER};
use exchange::{converse, exchange};
pub use info::Info;
pub use processes::{ProcessKind, ProcessLine, Processes};
pub use sessions::SessionLine;

/// One command. Its `Display` is the text without the newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliCommand(String);

/// Why a command got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// A text that would be more than one command.
    #[error("asking HAProxy `{0}`: a command is one line without `;`")]
    NotOneCommand(String),
    /// The connection ended without a byte.
    #[error("asking HAProxy `{command}`: it closed the connection without an answer")]
    Ended {
        /// What was asked.
        command: CliCommand,
    },
    /// The connection ended before the answer did.
    #[error("asking HAProxy `{command}`: it closed the connection in the middle of the answer")]
    CutOff {
        /// What was asked.
        command: CliCommand,
    },
    /// The limit ran out.
    #[error("asking HAProxy `{command}`: no answer within {limit:?}")]
    TimedOut {
        /// What was asked.
        command: CliCommand,
        /// The limit.
        limit: Duration,
    },
    /// More than [`LONGEST_ANSWER`].
    #[error("asking HAProxy `{command}`: the answer is longer than {} MiB", LONGEST_ANSWER >> 20)]
    TooLong {
        /// What was asked.
        command: CliCommand,
    },
    /// HAProxy answered with an error, or with something else than was asked for.
    #[error("asking HAProxy `{command}`: it answered `{answer}`")]
    Refused {
        /// What was asked.
        command: CliCommand,
        /// The first line of the answer.
        answer: String,
    },
    /// The kernel refused a read or write.
    #[error("asking HAProxy `{command}`: {source}")]
    Io {
        /// What was asked.
        command: CliCommand,
        /// What it said.
        source: Errno,
    },
}

impl CliCommand {
    /// Any command of HAProxy's management guide.
    pub fn new(text: &str) -> Result<Self, RuntimeError> {
        if text.is_empty() || text.contains(['\n', '\r', '\0', ';']) {
            return Err(RuntimeError::NotOneCommand(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// `show info`, read with [`CliResponse::info`].
    pub fn show_info() -> Self {
        Self("show info".to_owned())
    }

    /// `set rate-limit KIND global N`; 0 is no limit, and every listener that has waited for it goes on at once.
    pub fn set_rate_limit(limit: crate::overlay::RateLimit, rate: u32) -> Self {
        Self(format!("set rate-limit {} global {rate}", limit.kind()))
    }

    /// `show proc`, for the master CLI only; read with [`CliResponse::processes`].
    pub fn show_proc() -> Self {
        Self("show proc".to_owned())
    }

    /// `show env`: the worker's environment, one variable a line.
    pub fn show_env() -> Self {
        Self("show env".to_owned())
    }

    /// `show sess`, read with [`CliResponse::sessions`].
    pub fn show_sessions() -> Self {
        Self("show sess".to_owned())
    }

    /// `shutdown session ID`: ends it at once, also while the worker drains. Not one that [`CliResponse::is_no_such_session`].
    pub fn shutdown_session(id: &str) -> Result<Self, RuntimeError> {
        Self::new(&format!("shutdown session {id}"))
    }

    /// `show servers state`, read with [`CliResponse::servers_state`].
    pub fn show_servers_state() -> Self {
        Self("show servers state".to_owned())
    }

    /// `show table`: the tables, each with a line.
    pub fn show_tables() -> Self {
        Self("show table".to_owned())
    }

    /// `show table NAME`, for [`CliCommand::ask_by_line`]: a heading, and a line for each entry.
    pub fn show_table(name: &str) -> Self {
        Self(format!("show table {name}"))
    }

    /// `show stat`, for [`CliCommand::ask_by_line`]: read with [`crate::statistics::StatReader`].
    pub fn show_statistics() -> Self {
        Self("show stat".to_owned())
    }

    /// `dump stats-file`, since 3.0; read with [`CliResponse::statistics`].
    pub fn dump_stats_file() -> Self {
        Self("dump stats-file".to_owned())
    }

    /// The same command for one worker, asked over the master CLI: `@!PID command`. It reaches a worker that
    /// drains, too.
    #[must_use]
    pub fn at_worker(&self, pid: u32) -> Self {
        Self(format!("@!{pid} {}", self.0))
    }

    /// Asks, and reads the whole answer. The connection is of no use afterwards.
    pub fn ask(
        &self,
        connection: &UnixStream,
        channel: Channel,
        limit: Duration,
    ) -> Result<CliResponse, RuntimeError> {
        let deadline = Deadline::after(limit);
        match exchange(connection, format!("{self}\n").as_bytes(), channel, deadline) {
            Ok(answer) if answer.is_empty() => Err(RuntimeError::Ended { command: self.clone() }),
            Ok(answer) if answer.len() > LONGEST_ANSWER => {
                Err(RuntimeError::TooLong { command: self.clone() })
            }
            Ok(answer) => Ok(CliResponse { command: self.clone(), text: text(answer) }),
            Err(errno) => Err(self.unanswered(errno, limit)),
        }
    }

    /// Asks, and gives each line of the answer to `take` until that breaks: an answer of any length, of which nothing is kept. Fails if
    /// it ends before the empty line that ends an answer.
    pub fn ask_by_line(
        &self,
        connection: &UnixStream,
        channel: Channel,
        limit: Duration,
        mut take: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), RuntimeError> {
        let (mut rest, mut flow, mut is_whole) = (Vec::new(), ControlFlow::Continue(()), false);
        let lines = |bytes: &[u8]| {
            for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                rest.extend_from_slice(piece);
                is_whole = rest == b"\n";
                if rest.ends_with(b"\n") {
                    flow = take(String::from_utf8_lossy(&rest).trim_end_matches('\n'));
                    rest.clear();
                }
                if flow.is_break() || rest.len() > LONGEST_ANSWER {
                    return false;
                }
            }
            true
        };
        let line = format!("{self}\n");
        converse(connection, line.as_bytes(), channel, Deadline::after(limit), lines)
            .map_err(|errno| self.unanswered(errno, limit))?;
        if is_whole || flow.is_break() { Ok(()) } else { Err(RuntimeError::CutOff { command: self.clone() }) }
    }

    fn unanswered(&self, errno: Errno, limit: Duration) -> RuntimeError {
        let command = self.clone();
        match errno {
            Errno::PIPE | Errno::CONNRESET => RuntimeError::Ended { command },
            Errno::TIMEDOUT => RuntimeError::TimedOut { command, limit },
            source => RuntimeError::Io { command, source },
        }
    }
}

/// The answer without the newlines at its end: where it is as it should be, without a copy.
fn text(answer: Vec<u8>) -> String {
    let mut text = String::from_utf8(answer)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    text.truncate(text.trim_end_matches('\n').len());
    text
}

impl fmt::Display for CliCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What HAProxy answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliResponse {
    /// What was asked.
    pub command: CliCommand,
    /// The answer without the newlines at its end.
    pub text: String,
}

impl CliResponse {
    /// For commands that change something: fails unless the answer is empty. (HAProxy has no status; whatever it
    /// has to say about such a command is a complaint or, rarely, a note such as `New server registered.`)
    pub fn done(&self) -> Result<(), RuntimeError> {
        if self.text.trim().is_empty() { Ok(()) } else { Err(self.refusal()) }
    }

    /// Reads the answer to `show info`.
    pub fn info(&self) -> Result<Info, RuntimeError> {
        Info::parse(&self.text).ok_or_else(|| self.refusal())
    }

    /// Reads the answer to `show sess`, but for the sessions of the runtime API itself.
    pub fn sessions(&self) -> Vec<SessionLine> {
        sessions::parse(&self.text)
    }

    /// Whether the answer to `shutdown session` is that there is none, as it has ended.
    pub fn is_no_such_session(&self) -> bool {
        self.text.contains("No such session")
    }

    /// Reads the answer to `show proc`.
    pub fn processes(&self) -> Result<Processes, RuntimeError> {
        Processes::parse(&self.text).ok_or_else(|| self.refusal())
    }

    /// Reads the answer to `show servers state`.
    pub fn servers_state(&self) -> Result<state::ServersState<'_>, RuntimeError> {
        state::ServersState::of(&self.text).ok_or_else(|| self.refusal())
    }

    /// The answer to `dump stats-file`, as HAProxy reads it again at its start.
    pub fn statistics(&self) -> Result<String, RuntimeError> {
        // A HAProxy that does not know the command answers with help.
        if self.text.starts_with('#') { Ok(format!("{}\n", self.text)) } else { Err(self.refusal()) }
    }

    /// The answer as an error, with its first line.
    pub fn refusal(&self) -> RuntimeError {
        let first = self.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        RuntimeError::Refused { command: self.command.clone(), answer: first.chars().take(200).collect() }
    }
}

#[cfg(test)]
mod tests;
