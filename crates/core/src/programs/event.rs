//! What the machine is told, and what a program is to it.

/// One process of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(pub u64);

/// What a reload does with a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// It gives way to a new one.
    Anew,
    /// It stays.
    Keep,
}

/// What follows the death of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeath {
    /// It is started again.
    Restart,
    /// Nothing, until the next reload (`master-worker no-exit-on-failure`).
    Nothing,
}

/// A `program` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Its name.
    pub name: String,
    /// What is executed, and its arguments.
    pub command: Vec<String>,
    /// The number of `user`.
    pub user: Option<u32>,
    /// The number of `group`.
    pub group: Option<u32>,
    /// `option start-on-reload`
    pub on_reload: OnReload,
}

/// Why a generation serves that has these sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyServing {
    /// The first start, or a reload.
    Reload,
    /// Its predecessor died, and nothing was asked for.
    Crash,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEvent {
    /// A generation serves that has these sections, in the order of the files.
    Serves {
        /// All that count.
        sections: Vec<ProgramSpec>,
        /// Why it serves.
        cause: WhyServing,
        /// What follows a death.
        on_death: OnDeath,
    },
    /// [`super::ProgramAction::Start`] has made a process.
    Started(ProgramId, u32),
    /// [`super::ProgramAction::Start`] has made none, for this reason.
    NotStarted(ProgramId, String),
    /// A process has ended.
    Ended(ProgramId, ProgramEnd),
    /// Another Clearway serves.
    Relieved,
    /// It failed: this one serves again.
    TakenBack,
    /// Clearway stops.
    Stop,
    /// Nothing else is left that the stop would wait for.
    OnlyProgramsLeft,
    /// The stop is cut.
    Cut,
    /// Nothing but time has passed.
    TimePassed,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// With status 0, or by `SIGTERM` or `SIGINT`: HAProxy's master takes this for an end that is wanted.
    Wanted(String),
    /// Otherwise.
    Failed(String),
}

/// A signal to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgramSignal {
    /// `SIGUSR1`, if it catches that: HAProxy has been reloaded, and it goes on.
    Reloaded,
    /// `SIGUSR1`: it is to end when it can.
    Finish,
    /// `SIGTERM`
    Terminate,
    /// `SIGKILL`
    Kill,
}
