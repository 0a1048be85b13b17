//! How a process ended.

use std::fmt;

use crate::signal::Signal;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With exit code 0: it had been asked to, and everything was finished.
    Clean,
    /// Otherwise.
    Unclean(Unclean),
}

/// An end that was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclean {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
    /// Killed by the kernel because memory had run out: its limit in bytes, if it is known. It ended as said.
    OutOfMemory(Killed, Option<u64>),
}

/// How a HAProxy ends that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// Its master was, which is our child.
    Master,
    /// Its worker was, which the master passes on as exit code 137.
    Worker,
}

impl Killed {
    /// The exit code of a master after its worker was killed: 128 and the number of `SIGKILL`.
    const CODE: i32 = 128 + Signal::KILL.0;

    /// Which of them was, if an end is one by `SIGKILL`.
    pub fn of(end: &End) -> Option<Self> {
        match end {
            End::Unclean(Unclean::Signal(Signal::KILL)) => Some(Self::Master),
            End::Unclean(Unclean::Code(Self::CODE)) => Some(Self::Worker),
            End::Unclean(Unclean::OutOfMemory(killed, _)) => Some(*killed),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("exit code 0"),
            Self::Unclean(how) => write!(f, "{how}"),
        }
    }
}

/// `exit code 1`, `killed by SIGSEGV`.
impl fmt::Display for Unclean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by {signal}"),
            Self::OutOfMemory(killed, limit) => {
                write!(f, "{killed}, out of memory")?;
                limit.map_or(Ok(()), |limit| write!(f, ": the limit is {} MiB", limit >> 20))
            }
        }
    }
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => write!(f, "{}", Unclean::Signal(Signal::KILL)),
            Self::Worker => write!(f, "{}", Unclean::Code(Self::CODE)),
        }
    }
}
