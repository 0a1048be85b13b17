//! Processes that are not ours and listened where we do before we did: their new clients are ours as long as we serve.
//!
//! Known are those that listened when the first HAProxy was launched with nothing in custody. From its commit on their
//! addresses are compared with what listens now, again and again: what has changed is steered anew, and an address that no
//! other process has any more is left to the kernel. A Clearway that has taken over pauses it. A stop gives the clients back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::event::{AtLaunch, CutoverAction, SharedAddress, Sharing};

/// How often it is looked what has changed.
pub const LOOKING: Duration = Duration::from_millis(200);

/// What is known of processes that listened before our first HAProxy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Acquaintance {
    /// Nothing: no clients are taken from them, or not any more.
    #[default]
    Unknown,
    /// What listened then.
    Seen,
    /// Their clients are ours, and it is looked again and again.
    Watched,
}

/// Processes that were there first.
#[derive(Debug, Default)]
pub(super) struct Forerunners {
    acquaintance: Acquaintance,
    /// What is steered.
    shared: Vec<SharedAddress>,
    /// When it is looked next; unset while it is looked, or the first clients are waited for.
    look_at: Option<Duration>,
    /// The last comparison: what one has found that was begun before counts for nothing.
    round: u64,
    /// Another Clearway has the sockets.
    is_paused: bool,
    /// The Clearway that had our sockets before us may have steered them.
    is_inherited: bool,
    /// Where it was said that nothing can be done.
    refused: BTreeSet<SocketAddr>,
}

impl Forerunners {
    pub(super) fn due(&self) -> Option<Duration> {
        self.look_at
    }

    pub(super) fn shared(&self) -> &[SharedAddress] {
        &self.shared
    }

    /// What another Clearway has done with the sockets must not send all clients to what is bound beside them. A predecessor
    /// that serves from them still needs it.
    pub(super) fn launching(&mut self, held: AtLaunch, todo: &mut Vec<CutoverAction>) {
        match held {
            AtLaunch::Nothing => todo.push(CutoverAction::LookWhatListens),
            AtLaunch::Ours => self.release_inherited(todo),
            AtLaunch::OfAPredecessor => {}
        }
    }

    pub(super) fn seen(&mut self, seen: bool) {
        self.acquaintance = if seen { Acquaintance::Seen } else { Acquaintance::Unknown };
    }

    pub(super) fn inherited(&mut self, any: bool, todo: &mut Vec<CutoverAction>) {
        self.is_inherited = any;
        todo.push(CutoverAction::ListenAgain);
    }

    fn release_inherited(&self, todo: &mut Vec<CutoverAction>) {
        if self.is_inherited {
            todo.push(CutoverAction::ReleaseInherited);
        }
    }

    pub(super) fn inherited_released(&mut self, everywhere: bool) {
        self.is_inherited = !everywhere;
    }

    pub(super) fn committed(&mut self, todo: &mut Vec<CutoverAction>) {
        self.release_inherited(todo);
        if self.acquaintance != Acquaintance::Unknown {
            self.look_at = None;
            self.round += 1;
            todo.push(CutoverAction::CompareAtOnce(self.round));
        }
    }

    pub(super) fn look_at_the_clock(&mut self, now: Duration, todo: &mut Vec<CutoverAction>) {
        if self.look_at.take_if(|at| *at <= now).is_some() {
            self.round += 1;
            todo.push(CutoverAction::Compare(self.round));
        }
    }

    /// `quiet`: whether no switch steers. What is steered as before needs nothing.
    pub(super) fn compared(
        &mut self,
        round: u64,
        found: Option<Vec<Sharing>>,
        quiet: bool,
        now: Duration,
        todo: &mut Vec<CutoverAction>,
    ) {
        if self.acquaintance == Acquaintance::Unknown || round != self.round || self.is_paused {
            return;
        }
        if let Some(found) = found {
            self.update(found, quiet, todo);
        }
        let former = std::mem::replace(&mut self.acquaintance, Acquaintance::Watched);
        match (former, self.shared.is_empty()) {
            (Acquaintance::Watched, false) => self.look_at = Some(now + LOOKING),
            (_, false) => todo.push(CutoverAction::AwaitTheirs),
            // No other process was there, or nothing can be done: what comes now is behind us.
            (former, true) => {
                self.acquaintance = Acquaintance::Unknown;
                if former == Acquaintance::Watched {
                    todo.push(CutoverAction::SayTheirsEnded);
                }
            }
        }
    }

    fn update(&mut self, found: Vec<Sharing>, quiet: bool, todo: &mut Vec<CutoverAction>) {
        let mut former: BTreeMap<SocketAddr, VecDeque<SharedAddress>> = BTreeMap::new();
        for shared in std::mem::take(&mut self.shared) {
            former.entry(shared.address).or_default().push_back(shared);
        }
        for sharing in found {
            let mut former_at = |address| former.get_mut(&address)?.pop_front();
            match sharing {
                Sharing::CanBeSteered(shared) => {
                    if former_at(shared.address).as_ref() != Some(&shared) {
                        todo.push(CutoverAction::Steer(shared.clone()));
                    }
                    self.shared.push(shared);
                }
                // As few go astray as can be, until all of theirs have gone.
                Sharing::OneHasGone(address) => match former_at(address) {
                    Some(shared) => {
                        todo.push(CutoverAction::Narrow(shared.clone()));
                        self.shared.push(shared);
                    }
                    None => self.refuse(address, todo),
                },
                // What is steered stays so.
                Sharing::CannotBeSteered(address) => match former_at(address) {
                    Some(shared) => self.shared.push(shared),
                    None => self.refuse(address, todo),
                },
            }
        }
        let left = former.into_values().flatten();
        if quiet {
            todo.extend(left.map(CutoverAction::Release));
        } else {
            self.shared.extend(left);
        }
    }

    fn refuse(&mut self, address: SocketAddr, todo: &mut Vec<CutoverAction>) {
        if self.refused.insert(address) {
            todo.push(CutoverAction::SayShared(address));
        }
    }

    pub(super) fn not_steered(&mut self, shared: &SharedAddress) {
        self.shared.retain(|one| one != shared);
        if self.shared.is_empty() {
            (self.acquaintance, self.look_at) = (Acquaintance::Unknown, None);
        }
    }

    /// The clients that had come to them are served.
    pub(super) fn theirs_served(&mut self, now: Duration) {
        if self.acquaintance == Acquaintance::Watched && !self.is_paused {
            self.look_at.get_or_insert(now + LOOKING);
        }
    }

    pub(super) fn pause(&mut self) {
        self.is_paused = true;
        self.look_at = None;
    }

    /// The successor has failed: it may have steered the sockets otherwise.
    pub(super) fn taken_back(&mut self, now: Duration, todo: &mut Vec<CutoverAction>) {
        self.inherited(true, todo);
        self.is_paused = false;
        self.look_at = (self.acquaintance == Acquaintance::Watched).then_some(now);
    }

    /// Says whether clients are given back.
    pub(super) fn give_back(&mut self, todo: &mut Vec<CutoverAction>) -> bool {
        (self.acquaintance, self.look_at) = (Acquaintance::Unknown, None);
        let shared = std::mem::take(&mut self.shared);
        let gives = !self.is_paused && !shared.is_empty();
        if gives {
            todo.push(CutoverAction::GiveBack(shared));
        }
        gives
    }
}
