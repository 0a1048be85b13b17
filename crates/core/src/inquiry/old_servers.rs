//! When generations that drain are looked at for sessions with servers that have gone down.
//!
//! ```text
//!   the serving one answers --> down, and not looked at to the end --> a look: the sessions are ended
//!                                          ^                              |
//!                                          '--- after a pause: not all ---+--- no session is left: not again, until the
//!                                                                              server is up
//! ```
//!
//! Each answer of the serving generation is told ([`OldServers::hear`]), and how each look went ([`OldServers::looked`]). One look
//! is under way at a time. A server that is up again in the meantime is out of it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::AT_LEAST;
use crate::names::Generation;

/// A server of a generation that drains, whose sessions end when it goes down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OldServer {
    /// Of which generation.
    pub generation: Generation,
    /// `BACKEND/SERVER`
    pub name: String,
}

/// What the serving generation says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenAs {
    /// It gets requests.
    Up,
    /// It gets none.
    Down,
    /// The same, and the file lets it begin so: it has gone down only if it was up before.
    DownPerhapsFromTheBeginning,
}

/// What is still to be looked at.
#[derive(Debug, Default)]
pub struct OldServers {
    /// What the look that is under way is about.
    looking: Option<BTreeSet<OldServer>>,
    /// When the next one may begin.
    earliest: Duration,
    /// Those that are down and have no session any more.
    done: BTreeSet<OldServer>,
    /// The servers that were up in the generation that serves.
    risen: BTreeSet<String>,
}

impl OldServers {
    /// Another generation serves from now on.
    pub fn begins(&mut self) {
        self.risen.clear();
    }

    /// The generation that serves says this of servers of old ones. Gives those to be looked at now; if there are any,
    /// [`Self::looked`] is to follow.
    pub fn hear(&mut self, told: Vec<(OldServer, SeenAs)>, now: Duration) -> BTreeSet<OldServer> {
        self.risen
            .extend(told.iter().filter(|(_, seen)| *seen == SeenAs::Up).map(|(one, _)| one.name.clone()));
        let is_down = |(one, seen): &(OldServer, SeenAs)| match seen {
            SeenAs::Up => false,
            SeenAs::Down => true,
            SeenAs::DownPerhapsFromTheBeginning => self.risen.contains(&one.name),
        };
        let down: BTreeSet<OldServer> = told.into_iter().filter(is_down).map(|(one, _)| one).collect();
        self.done.retain(|one| down.contains(one));
        if let Some(looking) = &mut self.looking {
            looking.retain(|one| down.contains(one));
            return BTreeSet::new();
        }
        let open: BTreeSet<OldServer> = down.difference(&self.done).cloned().collect();
        if open.is_empty() || now < self.earliest {
            return BTreeSet::new();
        }
        self.looking = Some(open.clone());
        open
    }

    /// The look is over, and took so long: these have no session any more.
    pub fn looked(&mut self, done: impl IntoIterator<Item = OldServer>, took: Duration, now: Duration) {
        let looking = self.looking.take().unwrap_or_default();
        self.done.extend(done.into_iter().filter(|one| looking.contains(one)));
        self.earliest = now.saturating_add(took.max(AT_LEAST));
    }
}

#[cfg(test)]
mod tests;
