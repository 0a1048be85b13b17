//! What the supervisor is told, and what that carries.

use std::fmt;

use crate::failure::Failure;
use crate::names::Generation;
use crate::notice::data;
use crate::programs;
use crate::strategy::Moved;

use super::asker::{Asker, RequestId};
use super::carried::Carried;
use super::end::End;
use super::planned::{ApplyOutcome, Planned};
use super::proof::Proof;

/// Another Clearway of the same name that wants to serve instead of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub u64);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

data! {
    Peer: "number" as |peer| peer.0,
}

/// Why another Clearway does not get the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// A third one has them already, and starts from them.
    Busy,
    /// A third one serves by now.
    Superseded,
    /// This one has not served yet.
    NotServing,
    /// It has had them for too long without serving.
    TooLate,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Clearway begins.
    Begin,
    /// A reload is asked for.
    ReloadAsked(Asker),
    /// It is asked that what is on disk is applied at run time, or that a reload follows if it cannot be.
    ApplyAsked(RequestId),
    /// It is asked that what served before serves again.
    RollbackAsked(RequestId),
    /// It is asked whether a reload would succeed, and what it would change.
    TrialAsked(RequestId),
    /// A stop is asked for: Clearway drains. A second `SIGTERM` or `SIGINT` ends it at once.
    StopAsked(Asker),
    /// It is asked that a generation that drains ends now.
    EndAsked(Generation),
    /// What was read from the disk for a generation is what was read for a former one, whose configuration is remembered.
    SameFiles {
        /// Which generation is prepared.
        generation: Generation,
        /// The former one.
        former: Generation,
    },
    /// [`super::Action::Plan`] is done.
    Planned {
        /// Which attempt.
        generation: Generation,
        /// What is to be done.
        planned: Planned,
    },
    /// [`super::Action::Apply`] is done, or has broken off.
    Applied {
        /// Which attempt.
        generation: Generation,
        /// How it went.
        outcome: ApplyOutcome,
    },
    /// [`super::Action::Prepare`] is done.
    Prepared {
        /// Which generation.
        generation: Generation,
        /// Whether its configuration is transparent.
        plumbing: PlumbingDemand,
        /// How many reloads an old generation may outlive while this one serves (`mworker-max-reloads` in its
        /// configuration); unset: as many as there are.
        most_reloads: Option<u32>,
    },
    /// [`super::Action::Launch`] has made a process.
    Started {
        /// Which generation.
        generation: Generation,
        /// HAProxy's master.
        pid: u32,
    },
    /// The new process itself has answered, and it was seen which sockets it uses.
    Proved {
        /// Which generation.
        generation: Generation,
        /// What it proved.
        proof: Proof,
    },
    /// [`super::Action::Carry`] is done, or it is known what could not be had.
    Carried {
        /// To which.
        generation: Generation,
        /// What it has of the state of the servers.
        carried: Carried,
    },
    /// [`super::Action::Switch`] is done: no client waits in a socket that will be closed, as far as that can be had.
    Switched {
        /// To which.
        generation: Generation,
        /// What was done for which socket.
        moved: Vec<Moved>,
    },
    /// The master of a generation has replaced its worker by one that it has started from what is on disk.
    Replaced {
        /// Which generation.
        generation: Generation,
        /// The new worker.
        worker: u32,
    },
    /// What came of [`super::Action::Survey`].
    Surveyed(Vec<Survey>),
    /// Reading for a plan, preparing, launching or proving failed.
    Failed {
        /// Which generation.
        generation: Generation,
        /// Why.
        failure: Failure,
    },
    /// A generation that is being started listens where no client waits, because the one that serves has ended, which is told
    /// next: it is not to take its place.
    Misplaced {
        /// Which generation is being started.
        generation: Generation,
        /// Why it is given up.
        failure: Failure,
    },
    /// The master of a generation is gone (and with it its worker). [`Event::LastWords`] follow.
    Exited {
        /// Which generation.
        generation: Generation,
        /// How it ended.
        end: End,
    },
    /// A generation that is gone has been heard to the end, or as long as is worth waiting for: another process
    /// may hold its standard error open.
    LastWords {
        /// Which generation.
        generation: Generation,
        /// What they tell about why it ended; used if it had not been committed.
        failure: Failure,
    },
    /// A generation serves, and its configuration has or had `program` sections.
    Programs {
        /// Which generation.
        generation: Generation,
        /// The sections that count, in the order of the files.
        sections: Vec<programs::ProgramSpec>,
        /// What follows the death of one.
        on_death: programs::OnDeath,
    },
    /// Something happened to the process of a program.
    Program(programs::ProgramEvent),
    /// Another Clearway of this name asks for the sockets.
    TakeoverAsked(Peer),
    /// It serves from them.
    Superseded(Peer),
    /// It has served long enough not to need this one any more.
    SuccessorSettled(Peer),
    /// It is gone without a word, or has given up.
    PeerGone(Peer),
    /// The Clearway that gave this one its sockets is gone.
    PredecessorGone,
    /// It does not wait any longer, and is still serving.
    Withdrawn(Failure),
    /// Nothing but time has passed.
    TimePassed,
}

/// What was seen of a draining generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Which one.
    pub generation: Generation,
    /// How many sessions it has; unset if it did not say.
    pub sessions: Option<u64>,
    /// How many bytes its processes have resident; unset if that could not be read.
    pub memory: Option<u64>,
}

/// Where a generation's configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the files say now.
    Disk,
    /// What they said when this generation read them; it has served.
    Served(Generation),
}

impl Source {
    /// The generation for which the configuration of this one is read: itself, or a former one.
    pub(super) fn read_for(self, generation: Generation) -> Generation {
        match self {
            Self::Disk => generation,
            Self::Served(former) => former,
        }
    }
}

/// Whether a generation needs the transparent plumbing in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlumbingDemand {
    /// Its configuration has `usesrc`.
    Needed,
    /// Nothing in its configuration is transparent.
    NotNeeded,
}

/// What becomes of a HAProxy that cannot have as many descriptors as it would reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It refuses to start, as HAProxy does.
    Strict,
    /// It starts with fewer (`no strict-limits`): it lacks only those that it would reserve for Clearway.
    Lenient,
}

/// How a generation is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `SIGTERM`: HAProxy closes what is left.
    Terminate,
    /// `SIGKILL`: HAProxy did not even do that.
    Kill,
}
