//! What the threads and tasks of the fleet tell the loop, and what of that is for other rooms.

use std::path::PathBuf;

use clearway_core::failure::Failure;
use clearway_core::hints::Remark;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Proof, Source};

use crate::custody::sockets::Sockets;
use crate::fleet::chosen::{Chosen, StartedFrom};
use crate::fleet::draft::Draft;
use crate::fleet::marked_down::EndedSessions;
use crate::fleet::sidecars::Declared;
use crate::fleet::state::{ServersHeard, StateAnswer};
use crate::fleet::to_plan::ToPlan;

/// What has happened to generations, their files and their programs.
#[derive(Debug)]
pub enum News {
    /// Something for the core.
    Event(Event),
    /// The files were read for a generation, or not.
    Read {
        /// Which.
        generation: Generation,
        /// From where it is to be started.
        source: Source,
        /// What they say.
        read: Result<StartedFrom, Failure>,
    },
    /// What those name was looked at, as far as it answers.
    Followed(Box<Chosen>),
    /// HAProxy was asked what must be known before it is started.
    Asked {
        /// For which generation.
        generation: Generation,
        /// The same, with what it has answered.
        draft: Result<Box<Draft>, Failure>,
    },
    /// The worker of a generation has said its number.
    Answered {
        /// Which.
        generation: Generation,
        /// The number.
        worker: u32,
    },
    /// A generation has proved itself; its sockets go into custody if the core commits it.
    Proved {
        /// Which.
        generation: Generation,
        /// For the core.
        proof: Proof,
        /// What it uses.
        sockets: Sockets,
        /// For the log, each line once.
        notices: Vec<String>,
    },
    /// A generation's own master has replaced its worker.
    Replaced {
        /// Which generation.
        generation: Generation,
        /// The new worker.
        worker: u32,
    },
    /// A generation that is to be cut has said how many sessions it has, if it has.
    Cut {
        /// Which.
        generation: Generation,
        /// How many.
        sessions: Option<u64>,
    },
    /// The counters of a generation that is to drain were saved, or not.
    Saved {
        /// Which.
        generation: Generation,
        /// What is wrong.
        unsaved: Option<Remark>,
    },
    /// A generation that is to drain has said what it has counted, or not.
    Counted(Generation),
    /// What there is to know of the programs of a generation that serves.
    Programs {
        /// Which generation.
        generation: Generation,
        /// Its sections, and the environment for them.
        declared: Declared,
    },
    /// A child has become the program that it was forked for, or could not.
    Executed(u32),
    /// The state of a generation's servers, if it said so.
    State(StateAnswer),
    /// Old generations were looked at for sessions with servers that have gone down.
    SessionsEnded(EndedSessions),
    /// It is time to ask for that.
    StateDue,
    /// Watched files have changed.
    Changed(Vec<PathBuf>),
}

/// What comes of news.
#[derive(Debug)]
pub enum Consequence {
    /// An event for the core.
    Event(Event),
    /// A generation can be prepared, as soon as other rooms have done their part.
    Asked(Box<Draft>),
    /// What is on disk was read for a plan.
    Plan(Box<ToPlan>),
    /// A generation is cut, which has so many sessions if it has said so.
    Cut {
        /// Which.
        generation: Generation,
        /// How many.
        sessions: Option<u64>,
    },
    /// Something is known of the servers, or they did not answer.
    Servers(ServersHeard),
    /// The state of the servers is to be asked for.
    StateDue,
}
