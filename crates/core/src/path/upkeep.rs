//! When the plumbing is looked at, because another process may have removed a part of it.
//!
//! It is watched only while there is plumbing, and nothing wakes up for it otherwise. Where it cannot be watched, or a look
//! has failed, it is looked at every [`ANYWAY`].

use std::time::Duration;

use super::event::PathAction;
use super::repairs::RepairPace;

/// When to look again although no removal was seen: where a look failed, or nothing can be watched.
pub const ANYWAY: Duration = Duration::from_secs(10);

/// When to look.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    watches: bool,
    at: Option<Duration>,
    pace: RepairPace,
    said_fight: bool,
}

impl Upkeep {
    /// When to look.
    pub(super) fn due(&self) -> Option<Duration> {
        self.at
    }

    /// Watches what was just made, or is about to be looked at.
    pub(super) fn watch(&mut self, todo: &mut Vec<PathAction>) {
        (self.watches, self.at) = (true, None);
        todo.push(PathAction::Watch);
    }

    pub(super) fn look(&mut self, todo: &mut Vec<PathAction>) {
        self.watch(todo);
        todo.push(PathAction::Look);
    }

    pub(super) fn cannot_watch(&mut self, now: Duration) {
        if std::mem::take(&mut self.watches) {
            self.look_by(now.saturating_add(ANYWAY));
        }
    }

    /// The watch has served its purpose until the next look.
    pub(super) fn removed(&mut self, now: Duration, todo: &mut Vec<PathAction>) {
        if std::mem::take(&mut self.watches) {
            todo.push(PathAction::Unwatch);
            self.look_by(now.saturating_add(self.pace.pause(now)));
        }
    }

    fn look_by(&mut self, at: Duration) {
        self.at = Some(self.at.map_or(at, |sooner| sooner.min(at)));
    }

    pub(super) fn looked(&mut self, repaired: bool, now: Duration, todo: &mut Vec<PathAction>) {
        self.pace.looked(repaired, now);
        if repaired && self.pace.is_fight(now) && !std::mem::replace(&mut self.said_fight, true) {
            todo.push(PathAction::SayRemovedAgainAndAgain);
        }
    }

    pub(super) fn look_failed(&mut self, now: Duration) {
        self.pace.looked(false, now);
        self.look_by(now.saturating_add(ANYWAY));
    }

    /// Whether a look is of use that no removal has asked for: not where another process removes again and again.
    pub(super) fn may_look(&self, now: Duration) -> bool {
        self.pace.is_over(now)
    }

    /// There is no plumbing any more.
    pub(super) fn end(&mut self, todo: &mut Vec<PathAction>) {
        self.at = None;
        if std::mem::take(&mut self.watches) {
            todo.push(PathAction::Unwatch);
        }
    }
}
