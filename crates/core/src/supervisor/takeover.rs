//! The takeover: another Clearway of the same name, often another container, comes to serve instead of this one.
//!
//! ```text
//!   predecessor                                     successor
//!
//!   serving                                         Begin, with the sockets that it was handed
//!      | TakeoverAsked: HandOver                       |
//!      v                                               v
//!   handing: reloads wait                           proof, settling: as in a reload
//!      |                                               |
//!      | Superseded: Drain, Relieve      <--------- Commit: Supersede
//!      v                                               |
//!   superseded, for PROBATION: it keeps                | its generation dies: it leaves,
//!   the sockets and would come back                    | and the predecessor comes back
//!      |                                               v
//!      | SuccessorSettled: an ordinary   <--------- PROBATION is over: Settled
//!      v stop begins, custody is released
//!   gone when its last session is
//! ```
//!
//! The contract:
//!
//! - Sockets are handed over between attempts only: what the successor gets is what serves.
//! - Until the successor has committed, nothing has changed for the predecessor; if the successor goes, it is still serving.
//! - For [`PROBATION`] after it the predecessor keeps its sockets: if the successor goes without a word, or gives up,
//!   it starts again what served. So a new image that dies young gives way to the old one.
//! - One that stops gives what it has left, which may be nothing but its name.
//! - While there is a predecessor, a commit waits for its switch without a limit: another one serves meanwhile.
//! - A predecessor that goes before the commit leaves its sockets to the successor, which commits as soon as it can,
//!   and tries again if it cannot: there is no other.

use std::time::Duration;

use crate::exit::ExitCode;

use super::action::Action;
use super::event::{Declined, Peer, Source};
use super::life::Restart;
use super::limits::PROBATION;
use super::machine::Supervisor;
use super::report::Report;
use super::role::TakeoverRole;
use super::turn::Turn;
use crate::failure::Failure;

impl Supervisor {
    /// The same, beginning with the sockets of a predecessor that serves.
    #[must_use]
    pub fn succeeding(self) -> Self {
        Self { role: TakeoverRole::Succeeding, ..self }
    }

    /// Whether a successor serves, and this one only waits whether it does well.
    pub(super) fn is_superseded(&self) -> bool {
        matches!(self.role, TakeoverRole::Superseded { .. })
    }

    /// Another Clearway accepts connections from the sockets that this one has.
    pub(super) fn another_one_serves(&self) -> bool {
        self.role == TakeoverRole::Succeeding
    }

    /// Another Clearway would come back, and keeps duplicates of what this one has.
    pub(super) fn has_predecessor(&self) -> bool {
        matches!(self.role, TakeoverRole::Succeeding | TakeoverRole::OnProbation { .. })
    }

    pub(super) fn takeover_asked(&mut self, peer: Peer, now: Duration, todo: &mut Vec<Action>) {
        let declined = match self.role {
            // It may have asked before, and be heard only now.
            TakeoverRole::Superseded { .. } | TakeoverRole::Nameless => Declined::Superseded,
            TakeoverRole::Alone | TakeoverRole::OnProbation { asked: None, .. }
                if self.attempt.is_none() || self.stop.is_some() =>
            {
                return self.hand_over(peer, now, todo);
            }
            TakeoverRole::Alone => return self.role = TakeoverRole::Asked(peer),
            TakeoverRole::OnProbation { until, asked: None } => {
                return self.role = TakeoverRole::OnProbation { until, asked: Some(peer) };
            }
            TakeoverRole::Asked(_) | TakeoverRole::Handing { .. } | TakeoverRole::OnProbation { .. } => {
                Declined::Busy
            }
            TakeoverRole::Succeeding => Declined::NotServing,
        };
        todo.push(Action::Decline(peer, declined));
    }

    fn hand_over(&mut self, peer: Peer, now: Duration, todo: &mut Vec<Action>) {
        if let TakeoverRole::OnProbation { .. } = self.role {
            // From now on the next one would come back to this one.
            todo.push(Action::Settled);
        }
        let until = now + self.limits.ready + self.limits.settle + PROBATION;
        self.role = TakeoverRole::Handing { to: peer, until };
        todo.push(Action::HandOver(peer));
        todo.push(Action::Report(Report::Takeover(Turn::HandingOver { takeover: peer })));
    }

    /// An attempt is over: a successor that asked for the sockets meanwhile gets them.
    pub(super) fn look_at_the_asking(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if let TakeoverRole::Asked(peer) | TakeoverRole::OnProbation { asked: Some(peer), .. } = self.role
            && self.attempt.is_none()
        {
            self.hand_over(peer, now, todo);
        }
    }

    /// The successor serves.
    pub(super) fn superseded(&mut self, peer: Peer, now: Duration, todo: &mut Vec<Action>) {
        let TakeoverRole::Handing { to, .. } = self.role else { return };
        if to != peer {
            return;
        }
        todo.push(Action::Relieve(peer));
        if self.stop.is_some() {
            // It drains already, and has let go of the sockets.
            self.role = TakeoverRole::Nameless;
            return;
        }
        // Twice as long as the successor takes to say that it has settled.
        self.role = TakeoverRole::Superseded { by: peer, since: now, until: now + PROBATION * 2 };
        todo.push(Action::Report(Report::Takeover(Turn::Superseded { takeover: peer })));
        self.cancel_attempt(todo);
        self.drain_all(now, todo);
    }

    /// The other Clearway is gone without a word, or has given up.
    pub(super) fn peer_gone(&mut self, peer: Peer, now: Duration, todo: &mut Vec<Action>) {
        match self.role {
            TakeoverRole::Asked(other) if other == peer => self.role = TakeoverRole::Alone,
            TakeoverRole::OnProbation { until, asked } if asked == Some(peer) => {
                self.role = TakeoverRole::OnProbation { until, asked: None };
            }
            TakeoverRole::Handing { to, .. } if to == peer => {
                self.role = TakeoverRole::Alone;
                if self.stop.is_none() {
                    todo.push(Action::Report(Report::Takeover(Turn::NotTakenOver { takeover: peer })));
                    self.after_an_attempt(now, todo);
                }
            }
            TakeoverRole::Superseded { by, .. } if by == peer => {
                self.role = if self.stop.is_some() { TakeoverRole::Nameless } else { TakeoverRole::Alone };
                if self.stop.is_none() {
                    todo.push(Action::Report(Report::Takeover(Turn::SuccessorGone { takeover: peer })));
                    let source = self.served.map_or(Source::Disk, Source::Served);
                    self.restart = Some(Restart { at: now, source });
                    todo.push(Action::TakeBack);
                }
            }
            _ => {}
        }
    }

    /// The successor has served long enough: this one is not needed any more.
    pub(super) fn successor_settled(&mut self, peer: Peer, now: Duration, todo: &mut Vec<Action>) {
        let TakeoverRole::Superseded { by, since, .. } = self.role else { return };
        if by != peer {
            return;
        }
        self.role = TakeoverRole::Nameless;
        if self.stop.is_none() {
            let limit = self.limits.takeover_drain.saturating_sub(now.saturating_sub(since));
            todo.push(Action::Report(Report::Takeover(Turn::TakenOver {
                generations: self.lives.len(),
                limit,
            })));
            self.finish_superseded(limit, now, todo);
        }
    }

    /// The predecessor has died, or stops: only this one can serve the clients that wait in its sockets.
    pub(super) fn predecessor_gone(&mut self, now: Duration, todo: &mut Vec<Action>) {
        match self.role {
            TakeoverRole::Succeeding => {
                self.role = TakeoverRole::Alone;
                self.inherited = true;
                if self.stop.is_none() {
                    todo.push(Action::Report(Report::Takeover(Turn::PredecessorGone)));
                    self.commit_ready(now, todo);
                }
            }
            TakeoverRole::OnProbation { asked, .. } => self.role = TakeoverRole::without_a_predecessor(asked),
            _ => {}
        }
    }

    /// The predecessor does not give way after all: it has waited for too long.
    pub(super) fn withdrawn(&mut self, failure: Failure, now: Duration, todo: &mut Vec<Action>) {
        match (self.role, &self.attempt) {
            (TakeoverRole::Succeeding, Some(attempt)) => {
                self.attempt_over(attempt.generation, failure, now, todo);
            }
            // Its word and our commit have crossed: it is still serving, so this one must not.
            (TakeoverRole::OnProbation { .. }, _) if self.stop.is_none() => {
                todo.push(Action::Report(Report::Takeover(Turn::Withdrawn { error: failure.message })));
                self.begin_stop(failure.code, self.limits.drain, false, now, todo);
            }
            _ => {}
        }
    }

    /// The commit of a successor: the predecessor hears of it.
    pub(super) fn supersede(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if self.role == TakeoverRole::Succeeding {
            self.role = TakeoverRole::OnProbation { until: now + PROBATION, asked: None };
            todo.push(Action::Supersede);
        }
    }

    /// Its generation has died young, and a successor leaves then: the predecessor comes back. Says whether it did.
    pub(super) fn give_back(&mut self, now: Duration, todo: &mut Vec<Action>) -> bool {
        let TakeoverRole::OnProbation { .. } = self.role else { return false };
        if self.stop.is_some() {
            return false;
        }
        todo.push(Action::Report(Report::Takeover(Turn::GivingBack)));
        self.stop_with(ExitCode::NotReady, now, todo);
        true
    }

    /// A stop begins: a Clearway that waits for this one need not wait any longer. What it holds is the other's before it
    /// is let go.
    pub(super) fn part(&mut self, now: Duration, todo: &mut Vec<Action>) {
        match self.role {
            TakeoverRole::Asked(peer) => {
                self.role = TakeoverRole::Alone;
                self.hand_over(peer, now, todo);
            }
            TakeoverRole::OnProbation { .. } | TakeoverRole::Succeeding => {
                if let TakeoverRole::OnProbation { asked: Some(peer), .. } = self.role {
                    // It asks again, and finds the predecessor.
                    todo.push(Action::Decline(peer, Declined::Superseded));
                }
                self.role = TakeoverRole::Nameless;
                todo.push(Action::GiveBack);
            }
            // It drains: the successor is told so when it asks for that.
            TakeoverRole::Handing { .. }
            | TakeoverRole::Superseded { .. }
            | TakeoverRole::Alone
            | TakeoverRole::Nameless => {}
        }
    }

    pub(super) fn look_at_the_other(&mut self, now: Duration, todo: &mut Vec<Action>) {
        match self.role {
            TakeoverRole::Handing { to, until } if until <= now => {
                todo.push(Action::Decline(to, Declined::TooLate));
                self.peer_gone(to, now, todo);
            }
            TakeoverRole::Superseded { by, until, .. } if until <= now => {
                self.successor_settled(by, now, todo);
            }
            TakeoverRole::OnProbation { until, asked } if until <= now => {
                self.role = TakeoverRole::without_a_predecessor(asked);
                todo.push(Action::Settled);
            }
            _ => {}
        }
    }
}
