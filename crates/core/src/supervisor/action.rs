//! What the supervisor answers with.

use super::asker::{Asker, RequestId};
use super::carried::Carried;
use super::event::{Declined, How, Peer, Source, Strictness};
use super::outcome::{Attempted, RolledBack};
use super::planned::Applied;
use super::proof::Proof;
use super::report::Report;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::names::Generation;
use crate::programs;
use crate::strategy::Moved;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read what is on disk under this number, and plan how the generation that serves comes to have it. Nothing is changed.
    /// What was read is kept until the attempt is over: it may be wanted as [`Source::Served`] of this very number. Both this
    /// and [`Action::Apply`] are given up by an [`Action::Prepare`] or an [`Action::Abandon`] of this number.
    Plan(Generation),
    /// Carry out what was planned under this number, at the generation that serves.
    Apply(Generation),
    /// The generation that serves has the configuration that was read for this number from now on, whatever it was started
    /// from.
    Adopt {
        /// The number of the attempt.
        generation: Generation,
        /// The generation that serves.
        serving: Generation,
    },
    /// Read the configuration, look at the HAProxy there is, set up the plumbing if it is needed.
    Prepare(Generation, Source),
    /// Read the configuration for a generation that only shows whether it would serve: nothing is changed for it, and it
    /// accepts nothing.
    Try(Generation),
    /// Start HAProxy with what is in custody, and let it prove itself.
    Launch(Generation, Strictness),
    /// Give it what the former generation knew of its servers, and let it accept clients only then.
    Carry(Generation),
    /// Bring new clients to this generation where it does not use the sockets of the serving one, until the
    /// queues of those are empty.
    Switch(Generation),
    /// Forget what was prepared for a generation that will never serve.
    Abandon(Generation),
    /// The generation serves from now on: its sockets are what custody holds.
    Commit(Generation),
    /// No other configuration than these will ever be wanted as [`Source::Served`].
    RememberOnly(Vec<Generation>),
    /// `SIGUSR1`: accept nothing more, finish what is there.
    Drain(Generation),
    /// End it although it has sessions.
    End(Generation, How),
    /// Look how many sessions and how much memory these have.
    Survey(Vec<Generation>),
    /// Close every socket in custody: new connections are refused from now on.
    ReleaseCustody,
    /// Take the plumbing out of the kernel.
    Unplumb,
    /// What is to be done with a program.
    Program(programs::ProgramAction),
    /// Give the sockets in custody to another Clearway.
    HandOver(Peer),
    /// Tell it that it does not get them, or may not use them any more.
    Decline(Peer, Declined),
    /// Tell it that it serves alone from now on; the name is its own.
    Relieve(Peer),
    /// The name is ours again: the successor failed.
    TakeBack,
    /// Tell the predecessor that this one serves.
    Supersede,
    /// Tell the predecessor that this one serves well: it need not wait any longer.
    Settled,
    /// Part from the predecessor, so that it serves again.
    GiveBack,
    /// Answer a request: how it went.
    Answer(RequestId, Answer),
    /// Write a line into the log.
    Report(Report),
    /// Remember how an attempt went; no trial.
    Attempted(Box<Attempted>),
    /// Leave.
    Exit(ExitCode),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reload took.
    Serving {
        /// Which generation serves.
        generation: Generation,
        /// What it proved.
        proof: Proof,
        /// What was done for sockets that it did not take over.
        moved: Vec<Moved>,
        /// What it has of the state of the servers.
        carried: Carried,
        /// Set if it was a rollback.
        rolled_back: Option<RolledBack>,
        /// Why it was not applied at run time, if that was planned.
        applied: Option<Applied>,
    },
    /// What was on disk was applied at run time, or was what serves already.
    Applied {
        /// The number under which it was read.
        generation: Generation,
        /// Which generation serves with it.
        serving: Generation,
        /// What was done.
        applied: Applied,
    },
    /// The reload would take.
    Tried {
        /// What the generation proved.
        proof: Proof,
        /// What would be different beside the sockets, for people: the shell knows.
        changes: Vec<String>,
    },
    /// The reload did not take; the former generation, if there is one, is still serving.
    Refused(Failure),
    /// Clearway is stopping: it reloads no more.
    Stopping,
}

/// Answers the requests among them; a signal does not wait.
pub(super) fn answer(askers: &[Asker], answer: &Answer, todo: &mut Vec<Action>) {
    let requests = askers.iter().filter_map(|asker| asker.request());
    todo.extend(requests.map(|request| Action::Answer(request, answer.clone())));
}
