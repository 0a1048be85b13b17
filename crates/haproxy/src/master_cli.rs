//! The master CLI (`-S`), as HAProxy's master speaks it: what a client may write, and what it is answered.
//!
//! ```text
//!   bytes of a client -> Dialogue::hear -> Dialogue::step -> Say, End            what is answered at once
//!                                                         -> Own                 the shell knows: processes, reload, logs
//!                                                         -> Ask, Payload        bytes for a real master, whose answer is passed on
//!                                                         -> Speak               the client and a worker speak, until one ends
//! ```
//!
//! Everything that the shell need not know is left to the master of a generation, which has the words of its version: help,
//! unknown commands, and every command of a worker. Read in `pcli_*` of HAProxy's `cli.c` (2.6, 3.4), and compared with a real
//! `haproxy -W -S` by a test (2.6.12, 3.0.11, 3.2.26, 3.4.7).

pub mod address;
mod command;
mod dialogue;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod processes;

pub use dialogue::{Dialogue, DialogueStep, DialogueTarget, OwnCommand};
pub use processes::{MasterView, ProcessTable, ProgramRow, WorkerRow};

use crate::version::Version;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessLevel {
    /// `level user`
    User,
    /// `level operator`
    Operator,
    /// `level admin`, which is usual for a master CLI.
    Admin,
}

/// What differs between versions.
#[derive(Clone, Copy, Debug)]
pub struct Dialect(Version);

impl Dialect {
    /// Of this version; of one that is not known, what most have.
    pub fn of(version: Option<Version>) -> Self {
        Self(version.unwrap_or(Version::release(3, 0, 0)))
    }

    fn is_from(self, major: u16, minor: u16) -> bool {
        self.0 >= Version::release(major, minor, 0)
    }

    /// Whether an error ends the connection.
    fn ends_at_errors(self) -> bool {
        !self.is_from(2, 8)
    }

    /// How long a word may be that ends a payload: `<<WORD`.
    fn longest_pattern(self) -> usize {
        match () {
            () if self.is_from(3, 4) => 63,
            () if self.is_from(2, 9) => 7,
            () => 0,
        }
    }

    /// Whether `prompt` has arguments.
    fn has_prompt_modes(self) -> bool {
        self.is_from(3, 2)
    }

    /// Whether `set severity-output` is the master's.
    fn has_severity(self) -> bool {
        self.is_from(3, 0)
    }

    /// Whether `@@1` lets a client speak with a worker.
    fn has_conversations(self) -> bool {
        self.is_from(3, 2)
    }

    /// Whether `show proc` looks at its argument, and wants the level `operator`.
    fn has_show_proc_debug(self) -> bool {
        self.is_from(3, 1)
    }

    /// Whether `show proc` has a line for programs where there are none.
    fn announces_programs(self) -> bool {
        !self.is_from(3, 1)
    }
}
