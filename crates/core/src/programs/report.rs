//! The log lines about programs.

use std::fmt;
use std::time::Duration;

use super::ProgramSignal;
use crate::supervisor::Severity;

/// A change of state of a program, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramReport {
    /// It was started.
    Started {
        /// Its section.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// It could not be started.
    NotStarted {
        /// Its section.
        name: String,
        /// What the kernel said of what.
        why: String,
    },
    /// It ended although it was not told to.
    Died {
        /// Its section.
        name: String,
        /// Its process.
        pid: u32,
        /// Exit code or signal, in words.
        how: String,
        /// Whether HAProxy's master would take that for a failure.
        failed: bool,
        /// After which pause it is started again, if it is.
        again: Option<Duration>,
    },
    /// It was told to end, and has ended.
    Left {
        /// Its section.
        name: String,
        /// Its process.
        pid: u32,
        /// Exit code or signal, in words.
        how: String,
    },
    /// It was told to end, has not, and is told again.
    Pressed {
        /// Its section.
        name: String,
        /// By which signal.
        told: ProgramSignal,
    },
}

impl ProgramReport {
    /// How urgent the line is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::NotStarted { .. } | Self::Died { failed: true, .. } => Severity::Error,
            Self::Pressed { .. } | Self::Died { .. } => Severity::Warn,
            _ => Severity::Info,
        }
    }
}

impl fmt::Display for ProgramReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { name, pid } => write!(f, "program `{name}` started, pid {pid}"),
            Self::NotStarted { name, why } => write!(f, "program `{name}` cannot be started: {why}"),
            Self::Died { name, pid, how, again, .. } => {
                write!(f, "program `{name}`, pid {pid}, has ended ({how}); ")?;
                match again {
                    Some(pause) => write!(f, "it is started again in {} ms", pause.as_millis()),
                    None => f.write_str("it is started again at the next reload, if at all"),
                }
            }
            Self::Left { name, pid, how } => {
                write!(f, "program `{name}`, pid {pid}, has ended as it was told ({how})")
            }
            Self::Pressed { name, told } => {
                let signal = if *told == ProgramSignal::Kill { "SIGKILL" } else { "SIGTERM" };
                write!(f, "program `{name}` was told to end and has not: it gets {signal}")
            }
        }
    }
}
