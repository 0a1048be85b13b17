//! Transparency: what it has in the kernel and when, and what is known of the way from the servers back to the clients.
//!
//! ```text
//!                 Needed                 Needed, Servers                   Unplumb, Leave
//!   no plumbing ----------> plumbing --------------------> plumbing ----------------------> no plumbing, or only what
//!                Install      |   ^         Follow                     Remove               rejects what was intercepted
//!                             |   |
//!        Removed, TimePassed, |   | Looked, LookFailed
//!        Told: Watch, Look    v   |
//!                          is it whole?
//!
//!   nothing transparent serves --Serves--> servers are asked: Ask --RoundOver--> known, asked again at their time
//! ```
//!
//! **Looks** ([`upkeep`]). Each look begins with a new watch, and a removal ends it until the next look. So nothing that is
//! removed after a look has begun is missed, what was removed before is seen by it, and a process that removes things
//! without pause wakes us once per look and no more. How long a look waits, [`repairs`] says.
//!
//! **Rounds** ([`asked`], [`schedule`]). The canary asks the servers in rounds, one at a time; only the answers of the round
//! that is awaited count. Within a round, [`probes`] says which server is asked when.
//!
//! Actions are carried out in their order, and what comes of each is told as an event. Time is a duration since an arbitrary
//! beginning.

use std::net::SocketAddr;
use std::time::Duration;

use crate::intercept::{Closing, Interception};
use crate::settings::CanaryMode;

pub mod asked;
mod event;
mod needs;
pub mod probes;
pub mod repairs;
pub mod schedule;
pub mod upkeep;
mod verdict;

pub use event::{Generations, PathAction, PathEvent};
pub use needs::ServerNeeds;
pub use verdict::{CanaryVerdict, ServersByAddress};

use asked::AskedServers;
use schedule::Round;
use upkeep::Upkeep;

/// What transparency has in the kernel, and what is known of the servers.
#[derive(Debug)]
pub struct PathMachine {
    /// Whether what is intercepted is rejected when we do not take it.
    closed: bool,
    /// What the plumbing in the kernel is for; unset if there is none.
    plumbing: Option<ServerNeeds>,
    upkeep: Upkeep,
    /// Whether something transparent serves.
    follows: bool,
    servers: AskedServers,
}

impl PathMachine {
    /// Nothing is in the kernel, and nothing transparent serves. `every`: how often servers are asked that are well.
    pub fn new(interception: &Interception, canary: CanaryMode, every: Option<Duration>) -> Self {
        Self {
            closed: interception.is_closed(),
            plumbing: None,
            upkeep: Upkeep::default(),
            follows: false,
            servers: AskedServers::new(canary, every),
        }
    }

    /// What becomes of the rules that a dead predecessor has left. Where we are going to reject what we do not take, no
    /// connection is to slip by before we do: then the rest goes when the plumbing is there ([`PathAction::SweepTheRest`]).
    pub fn at_start(interception: &Interception) -> Closing {
        if interception.is_closed() { Closing::Stays } else { Closing::Goes }
    }

    /// What to do now that this has happened.
    pub fn step(&mut self, event: PathEvent, now: Duration) -> Vec<PathAction> {
        let mut todo = Vec::new();
        match event {
            PathEvent::Needed(needs) => self.needed(needs, &mut todo),
            PathEvent::Installed(needs) => {
                self.plumbing = Some(needs);
                if self.closed {
                    todo.push(PathAction::SweepTheRest);
                }
                self.upkeep.watch(&mut todo);
            }
            PathEvent::Followed { needs, changed } => {
                self.plumbing = self.plumbing.take().map(|_| needs);
                if changed {
                    self.servers.changed(now);
                }
            }
            PathEvent::CannotWatch => self.upkeep.cannot_watch(now),
            PathEvent::Removed => self.upkeep.removed(now, &mut todo),
            PathEvent::Looked { repaired } => {
                self.upkeep.looked(repaired, now, &mut todo);
                if repaired {
                    self.servers.changed(now);
                }
            }
            PathEvent::LookFailed => self.upkeep.look_failed(now),
            PathEvent::Told { fresh } => {
                // One that has just begun was prepared with a look.
                if self.follows && !fresh && self.plumbing.is_some() && self.upkeep.may_look(now) {
                    self.upkeep.look(&mut todo);
                }
            }
            PathEvent::Serves { transparent } => {
                // There may be plumbing that only a former generation needs, and lines under a condition that does not hold.
                self.follows = transparent && self.plumbing.is_some();
                self.servers.serve(self.follows, now, &mut todo);
            }
            PathEvent::Servers { .. } if !self.follows => {}
            PathEvent::Servers { servers, needs, generations, fresh } => {
                self.follow(needs, generations, &mut todo);
                self.servers.are(servers, fresh, now, &mut todo);
            }
            PathEvent::AskWanted => self.servers.changed(now),
            PathEvent::RoundOver { round, verdicts, obstructed } => {
                self.servers.round_over(round, verdicts, obstructed, now);
            }
            PathEvent::CouldNotAsk => self.servers.could_not_ask(now),
            PathEvent::ReleaseCustody => {
                todo.extend(self.plumbing.as_ref().map(|_| PathAction::StopIntercepting));
            }
            // What is closed opens only if it is known why we leave.
            PathEvent::Unplumb if self.closed => {}
            PathEvent::Unplumb => self.remove(Closing::Goes, &mut todo),
            PathEvent::Leave(code) => {
                let stays = self.closed && !code.is_done();
                self.remove(if stays { Closing::Stays } else { Closing::Goes }, &mut todo);
            }
            PathEvent::TimePassed => {
                if self.upkeep.due().is_some_and(|due| due <= now) {
                    self.upkeep.look(&mut todo);
                }
                self.servers.ask(now, &mut todo);
            }
        }
        todo
    }

    /// A generation is being prepared. What serves now keeps what it needs.
    fn needed(&mut self, needs: ServerNeeds, todo: &mut Vec<PathAction>) {
        match &self.plumbing {
            None => todo.push(PathAction::Install(needs)),
            Some(has) => {
                let needs = needs.and(has);
                // It may be that a removal could not be heard.
                self.upkeep.look(todo);
                todo.push(PathAction::Follow(needs));
            }
        }
    }

    /// Needs only grow beside another generation: its sessions may go to servers that are not told.
    fn follow(&mut self, needs: Option<ServerNeeds>, generations: Generations, todo: &mut Vec<PathAction>) {
        let (Some(needs), Some(has)) = (needs, &self.plumbing) else { return };
        let wanted = match generations {
            Generations::One => needs,
            Generations::Several => needs.and(has),
        };
        if wanted != *has {
            todo.push(PathAction::Follow(wanted));
        }
    }

    fn remove(&mut self, closing: Closing, todo: &mut Vec<PathAction>) {
        // Before anything goes: what we remove ourselves is not to be put back.
        self.upkeep.end(todo);
        todo.extend(self.plumbing.take().map(|_| PathAction::Remove(closing)));
    }

    /// When time matters next.
    pub fn due(&self) -> Option<Duration> {
        [self.upkeep.due(), self.servers.due()].into_iter().flatten().min()
    }

    /// Whether something transparent serves: then it is of use to tell [`PathEvent::Servers`].
    pub fn follows_servers(&self) -> bool {
        self.follows
    }

    /// The servers that are asked, with their lines.
    pub fn servers(&self) -> impl Iterator<Item = (SocketAddr, &str)> {
        self.servers.all()
    }

    /// The line of a server that is asked.
    pub fn line(&self, server: SocketAddr) -> Option<&str> {
        self.servers.line(server)
    }

    /// Whether the answers of a round count.
    pub fn awaits(&self, round: Round) -> bool {
        self.servers.awaits(round)
    }

    /// For how long servers have been waited for of which nothing is known; unset if there are none.
    pub fn asking(&self, now: Duration) -> Option<Duration> {
        self.servers.asking(now)
    }

    /// Whether new clients should be sent here, as far as the canary has a say.
    pub fn is_ready(&self) -> bool {
        self.servers.are_ready()
    }
}

#[cfg(test)]
mod tests;
