//! The exit codes, in one table: what `clearway` says to Docker, systemd and scripts.
//!
//! The numbers follow `sysexits.h` where it has a fitting one. They stay clear of 1 (HAProxy's own; only `clearway diff` has it, as
//! diff(1) does), of 125 to 127 (Docker's and the shell's) and of 128 and above (death by signal), but for the one after `SIGINT`,
//! which is that of HAProxy's master.

/// How Clearway, or one of its subcommands, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum ExitCode {
    /// Done; for `run`: stopped as asked, drained or ended, nothing left behind.
    Done = 0,
    /// `diff`: the files on disk are not those that run.
    Different = 1,
    /// A finding of `check`, `doctor` or `status --check` needs attention, although everything was examined.
    Findings = 2,
    /// `health` and `status --check`: no generation serves. `plan`: all that is different can be changed at run time
    /// ([`ExitCode::AT_RUN_TIME`]).
    NotServing = 3,
    /// `plan`: what is different needs a reload.
    NeedsReload = 4,
    /// A flag, a setting or an argument is wrong.
    Usage = 64,
    /// HAProxy refused the configuration, in its own words.
    ConfigurationRefused = 65,
    /// The configuration is missing or cannot be read.
    ConfigurationUnreadable = 66,
    /// No running Clearway was found to talk to, or it could not be told which one is meant, or it ended meanwhile.
    NoInstance = 68,
    /// HAProxy was not found, could not be executed, or is older than 2.4.
    NoHaproxy = 69,
    /// Something that should not happen; the message says what.
    Internal = 70,
    /// The kernel cannot do what transparency, or the strategy, needs.
    Kernel = 71,
    /// HAProxy could not get an address or port.
    AddressInUse = 72,
    /// Containers of this instance name have taken over from each other too often.
    TakeoversTooMany = 73,
    /// HAProxy was started but did not prove itself in time.
    NotReady = 74,
    /// Another Clearway of the same instance name is running.
    InstanceTaken = 75,
    /// Something was left behind in the kernel although everything was tried.
    Residue = 76,
    /// A capability is missing; the message names the flag that adds it.
    Rights = 77,
    /// `rollback`: nothing is known that served before.
    NothingBefore = 78,
    /// The program that was to be executed in place exists but cannot be executed.
    CannotExecute = 126,
    /// The program that was to be executed in place was not found.
    NotFound = 127,
    /// Stopped by `SIGINT`, and done, where HAProxy was asked for a master: as that ends (with 0 after other signals).
    Interrupted = 130,
}

impl ExitCode {
    /// Every code, in the order of their numbers: the documentation and the tests walk through it.
    pub const ALL: [Self; 22] = [
        Self::Done,
        Self::Different,
        Self::Findings,
        Self::NotServing,
        Self::NeedsReload,
        Self::Usage,
        Self::ConfigurationRefused,
        Self::ConfigurationUnreadable,
        Self::NoInstance,
        Self::NoHaproxy,
        Self::Internal,
        Self::Kernel,
        Self::AddressInUse,
        Self::TakeoversTooMany,
        Self::NotReady,
        Self::InstanceTaken,
        Self::Residue,
        Self::Rights,
        Self::NothingBefore,
        Self::CannotExecute,
        Self::NotFound,
        Self::Interrupted,
    ];

    /// `plan`: all that is different can be changed at run time.
    pub const AT_RUN_TIME: Self = Self::NotServing;

    /// The number that the process exits with.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code of this number, if there is one.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Whether all went as it was asked for, and nothing is left behind.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Interrupted)
    }

    /// What the code means, in one line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "success; for `run`: stopped as requested, nothing left behind",
            Self::Different => "`diff`: the files on disk are not those that run",
            Self::Findings => "`check`, `doctor` or `status --check` found a problem",
            Self::NotServing => {
                "`health`, `status --check`: HAProxy does not serve; `plan`: what is different can be applied at run time"
            }
            Self::NeedsReload => "`plan`: what is different needs a reload",
            Self::Usage => "a flag, a setting or an argument is wrong",
            Self::ConfigurationRefused => "HAProxy refused the configuration",
            Self::ConfigurationUnreadable => "the configuration is missing or cannot be read",
            Self::NoInstance => "no running Clearway was found, or several were, or it has ended meanwhile",
            Self::NoHaproxy => "HAProxy was not found, cannot be executed, or is older than 2.4",
            Self::Internal => "internal error; the message says what",
            Self::Kernel => "the kernel cannot do what transparent proxying, or the strategy, needs",
            Self::AddressInUse => "HAProxy could not get an address or a port",
            Self::TakeoversTooMany => {
                "containers of this instance keep taking over from each other; the serving one continues"
            }
            Self::NotReady => "HAProxy was started but was not ready in time",
            Self::InstanceTaken => "another Clearway of the same instance is running and does not hand over",
            Self::Residue => "something could not be removed from the kernel; `clearway cleanup` tries again",
            Self::Rights => "a capability is missing; the message names the flag that adds it",
            Self::NothingBefore => "`rollback`: nothing is known that served before",
            Self::CannotExecute => "the program to execute in place cannot be executed",
            Self::NotFound => "the program to execute in place was not found",
            Self::Interrupted => {
                "`run` with `-W`: stopped by SIGINT as requested, nothing left behind (HAProxy's own code then); `events`: \
                 ended by ctrl-C"
            }
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests;
