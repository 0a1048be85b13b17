//! What the room `apply` is lent for a plan, and for its carrying out.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_haproxy::command_line::Invocation;

use crate::fleet::chosen::StartedFrom;
use crate::fleet::executable::Executable;
use crate::fleet::named::NamedFiles;
use crate::ground::aside::Single;

/// The generation that serves, as it is known here, for a thread that asks and changes it.
#[derive(Debug)]
pub struct ServingToChange {
    /// Which.
    pub generation: Generation,
    /// Our end of its private stats socket.
    pub stats: OwnedFd,
    /// What it has.
    pub from: StartedFrom,
    /// HAProxy's program, for questions about files.
    pub executable: Executable,
    /// How it was called.
    pub invocation: Invocation,
}

/// What was read for a plan.
#[derive(Debug)]
pub struct ToPlan {
    /// The number of the attempt.
    pub generation: Generation,
    /// The generation that is to be changed; unset: it cannot be reached.
    pub serving: Option<ServingToChange>,
    /// What is on disk.
    pub new: StartedFrom,
}

/// The question what is on disk, for one that only wants to know what a plan would be.
#[derive(Debug)]
pub struct ReadQuestion {
    pub(super) before: Option<Arc<NamedFiles>>,
    pub(super) invocation: Invocation,
    /// What is shared with others that compare.
    pub comparing: Single,
    /// What is shared with others that only want to know.
    pub planning: Single,
}

impl ReadQuestion {
    /// Reads it. It may take as long as the files take.
    pub fn ask(&self) -> Result<StartedFrom, Failure> {
        let mut read = StartedFrom::read(&self.invocation)?;
        read.named = Some(Arc::new(NamedFiles::of(&read.configuration, self.before.as_deref())));
        Ok(read)
    }
}
