//! What the shell says of a plan and of its applying, and what is remembered of both.

/// What [`super::Action::Plan`] has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// What is on disk says what the generation that serves has already: nothing is to be done.
    Same,
    /// All of it can be applied at run time.
    RunTime {
        /// What is changed, for people: `3 servers added, 1 certificate`.
        tally: String,
        /// With how many commands over HAProxy's runtime API.
        commands: usize,
    },
    /// Not all of it can be applied at run time.
    Reload {
        /// Why not, for people; the first one counts most.
        reasons: Vec<String>,
    },
}

/// What [`super::Action::Apply`] has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The generation that serves has what was planned: HAProxy was asked afterwards.
    Done {
        /// How many commands HAProxy has carried out.
        commands: usize,
    },
    /// A command was refused or not answered in time, or HAProxy has something else than what was planned. What the
    /// generation has may be half of it.
    Broken {
        /// How many steps were done before.
        steps_done: usize,
        /// What went wrong, on which step.
        why: String,
    },
}

/// What came of the plan of an attempt that began with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// What is on disk was what serves already.
    Nothing,
    /// All of it was applied at run time.
    AtRunTime {
        /// What was changed, for people: `3 servers added, 1 certificate`.
        tally: String,
        /// With how many commands.
        commands: usize,
    },
    /// It was a reload, because not all could be applied at run time.
    Not {
        /// Why not, for people.
        reasons: Vec<String>,
    },
    /// It was a reload, because applying broke off.
    Broken {
        /// How many steps were done before.
        steps_done: usize,
        /// What went wrong.
        why: String,
    },
}
