//! What a conversation asks of the shell.

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogueTarget {
    /// The master.
    Master,
    /// The worker with this process id.
    Worker(u32),
}

/// A command of the master that the shell carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCommand {
    /// `show proc [debug]`
    ShowProcesses {
        /// Whether it says `debug`.
        debug: bool,
    },
    /// `show startup-logs`
    ShowStartupLogs,
    /// `reload`, `hard-reload`: the connection ends with the answer.
    Reload,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogueStep {
    /// Read more.
    More,
    /// Write this; it may be nothing.
    Say(String),
    /// Write this, and close the connection.
    End(String),
    /// Carry this out, write the answer and an empty line, then the prompt.
    Own(OwnCommand),
    /// Connect to the master that has this worker, or to that of the serving generation, and write this; unless a payload
    /// follows, pass on all that it answers, then the prompt.
    Ask {
        /// Which.
        target: DialogueTarget,
        /// What a real master is told.
        bytes: Vec<u8>,
        /// Whether [`DialogueStep::Payload`] follows.
        payload: bool,
    },
    /// Write this to the same connection, then the prompt; after the last one, pass on what it answers.
    Payload {
        /// A line, or a part of a long one.
        bytes: Vec<u8>,
        /// Whether it is the last one.
        is_last: bool,
    },
    /// Connect, write this, and pass on what both sides say until the worker's ends.
    Speak {
        /// The worker.
        worker: u32,
        /// What a real master is told.
        bytes: Vec<u8>,
    },
}
