//! What diverts clients between two generations, or between two balancers: when it begins, and when it is taken back.
//!
//! A reload may need a *switch* (decision 0010): the clients of sockets that HAProxy did not take over are brought to the new
//! ones. They are *redirected* where generations have private ports (0017). In a takeover the *predecessor* keeps the
//! sockets that the successor does not use. Where processes that are not ours listened first, their clients are *steered*
//! to ours (0022), and given back at a stop.
//!
//! ```text
//!   SwitchAsked: Move --> at work --Moved--> waiting --Committed--> ending --FormerClosed--> over
//!                            |                  |      Watch           |       OpenGate, Release
//!                            | Abandoned:       | Abandoned:           | too long: OpenGate, Forget
//!                            | Cancel           | TakeBack, Watch      v
//!                            v                  '------------------> ending --FormerClosed--> over
//!                        cancelled --Moved: TakeBack, Watch ----------^
//! ```
//!
//! The contract:
//!
//! - Before the commit everything can be undone: new clients go where they went, in the step in which it is known that the
//!   new generation will not serve. What a thread does later than that is undone when it tells of it.
//! - A gate is open again no later than [`GATE_CLOSED`] after the commit, and at once where there is none.
//! - Only the last switch steers: what a former one has left is not touched any more when the next one begins, or a
//!   successor has the sockets. One that gives them back leads new clients to those of its predecessor first.
//! - New clients are redirected to one generation. When it drains, or another Clearway serves from public ports, they are
//!   redirected nowhere. When it dies, or that one has failed, they are redirected to it all the same: its sockets are in
//!   custody, and the next generation gets its ports.
//! - Sockets that a predecessor keeps are closed to new clients when it drains, not before: until then its HAProxy accepts from
//!   them, and its table may redirect clients there.
//! - At a stop a generation is told to drain only when the clients have been accepted that came to it before those of other
//!   processes were given back.
//!
//! What is done is up to the shell: it moves, steers and waits beside the loop, and says what it has come to. Time is a
//! duration since Clearway began; [`Diversions::step`] is to be called with [`CutoverEvent::TimePassed`] no later than
//! [`Diversions::due`] says.

mod destination;
mod event;
mod forerunners;
mod left_open;
mod switches;

pub use event::{
    AtLaunch, CutoverAction, CutoverEvent, Done, ListensAt, Redirect, SharedAddress, Sharing, Whose,
};
pub use forerunners::LOOKING;
pub use switches::{FORMER_CLOSING, GATE_CLOSED};

use std::time::Duration;

use crate::names::Generation;
use destination::Destination;
use forerunners::Forerunners;
use left_open::LeftOpen;
use switches::Switches;

/// All that diverts clients of one Clearway.
#[derive(Debug, Default)]
pub struct Diversions {
    switches: Switches,
    destination: Destination,
    left_open: LeftOpen,
    forerunners: Forerunners,
    /// Whether a successor was given sockets. Without any it may have got those from a holder that were made since.
    has_given: bool,
    /// What is to drain when the clients have been accepted that came here before others got theirs back.
    giving_back: Option<Vec<Generation>>,
}

impl Diversions {
    /// When [`CutoverEvent::TimePassed`] is due, if at all.
    pub fn due(&self) -> Option<Duration> {
        [self.switches.due(), self.forerunners.due()].into_iter().flatten().min()
    }

    /// The addresses whose new clients are steered away from processes that were there first.
    pub fn shared(&self) -> &[SharedAddress] {
        self.forerunners.shared()
    }

    /// Hears an event, and says what is to be done, in this order.
    pub fn step(&mut self, event: CutoverEvent, now: Duration) -> Vec<CutoverAction> {
        let mut todo = Vec::new();
        match event {
            CutoverEvent::Launching(held) => self.forerunners.launching(held, &mut todo),
            CutoverEvent::FirstSeen(seen) => self.forerunners.seen(seen),
            CutoverEvent::InheritedReleased(everywhere) => self.forerunners.inherited_released(everywhere),
            CutoverEvent::Compared { round, found } => {
                let quiet = self.switches.are_over();
                self.forerunners.compared(round, found, quiet, now, &mut todo);
            }
            CutoverEvent::NotSteered(shared) => self.forerunners.not_steered(&shared),
            CutoverEvent::TheirsServed => self.forerunners.theirs_served(now),
            CutoverEvent::SwitchAsked(generation) => self.switches.asked(generation, &mut todo),
            CutoverEvent::NotBegun(generation) => self.switches.not_begun(generation),
            CutoverEvent::Moved(generation, done) => self.switches.moved(generation, done, now, &mut todo),
            CutoverEvent::FormerClosed(generation) => self.switches.former_closed(generation, &mut todo),
            CutoverEvent::NotWatched(generation) => self.switches.not_watched(generation, &mut todo),
            CutoverEvent::Committed { generation, listens, predecessor } => {
                self.committed(generation, listens, predecessor, now, &mut todo);
            }
            CutoverEvent::Abandoned(generation) => {
                if self.switches.abandoned(generation, now, &mut todo) {
                    self.destination.back(&mut todo);
                }
            }
            CutoverEvent::Draining(generation) => {
                self.destination.draining(generation, &mut todo);
                match &mut self.giving_back {
                    Some(waiting) => waiting.push(generation),
                    None => todo.push(CutoverAction::Drain(generation)),
                }
            }
            CutoverEvent::Inherited { any } => self.forerunners.inherited(any, &mut todo),
            CutoverEvent::HandedOver { any } => {
                self.has_given = any;
                self.switches.handed_over(&mut todo);
            }
            CutoverEvent::Superseded { redirects } => {
                todo.extend(self.has_given.then_some(CutoverAction::CloseNotGiven));
                self.forerunners.pause();
                self.destination.superseded(redirects, &mut todo);
            }
            CutoverEvent::TakenBack => {
                self.forerunners.taken_back(now, &mut todo);
                self.destination.taken_back(&mut todo);
            }
            CutoverEvent::PredecessorDrains => self.left_open.it_drains(&mut todo),
            CutoverEvent::Parted => {
                self.switches.parted(&mut todo);
                self.left_open.forget(&mut todo);
                todo.push(CutoverAction::Unseal);
                self.destination.nowhere(&mut todo);
            }
            CutoverEvent::Released => {
                self.left_open.forget(&mut todo);
                self.destination.nowhere(&mut todo);
                if self.forerunners.give_back(&mut todo) {
                    self.giving_back.get_or_insert_default();
                }
            }
            CutoverEvent::GaveBack => {
                todo.extend(self.giving_back.take().into_iter().flatten().map(CutoverAction::Drain));
            }
            CutoverEvent::TimePassed => {}
        }
        self.switches.look_at_the_clock(now, &mut todo);
        self.forerunners.look_at_the_clock(now, &mut todo);
        todo
    }

    /// The new generation serves. First where new clients are redirected: nothing is closed before.
    fn committed(
        &mut self,
        generation: Generation,
        listens: ListensAt,
        predecessor: bool,
        now: Duration,
        todo: &mut Vec<CutoverAction>,
    ) {
        self.switches.overtake(generation, now, todo);
        if listens == ListensAt::PrivatePorts {
            self.destination.committed(generation, todo);
        }
        let left = self.switches.done(generation).is_some_and(|done| done.leaves_listeners);
        self.left_open.committed(generation, left && predecessor, todo);
        self.forerunners.committed(todo);
        self.switches.committed(generation, now, todo);
    }
}

#[cfg(test)]
mod tests;
