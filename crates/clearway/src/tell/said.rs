//! What was said in the log and still holds, so that it is not said again.
//!
//! Each subject is looked at again and again (at each reload, every ten seconds), and each look yields all that is wrong
//! with it, or nothing. What is new is said; what holds is not said again; what is gone is forgotten, so that it is said
//! once more when it comes back. So nothing grows but with what is wrong at one time, and that is bounded as well.

use std::collections::{BTreeMap, BTreeSet};

use clearway_core::hints::Remark;

use crate::ground::notice;
use crate::tell::notices::FoundNotice;

/// How many lines of one subject are said and remembered.
const MOST: usize = 100;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Settings of the files that are in each other's way.
    Fighting,
    /// Clients and servers of different families.
    Mismatches,
    /// What is to be intercepted, and is not.
    Interception,
    /// What the kernel lacks for servers on own addresses.
    Conntrack,
    /// Whether the way back leads here.
    WayBack,
    /// Servers that are clients as well.
    OwnClients,
    /// Whether the plumbing follows the servers.
    Following,
    /// Sockets that the generation that has proved itself has bound a second time.
    BoundTwice,
    /// Others that listen where we do.
    Strangers,
    /// Sessions of old generations that cannot be ended although their server has gone down.
    OldSessions,
    /// Lines that keep their addresses (`tableflip`).
    LeftPublic,
    /// Counters that the next HAProxy is not to begin with.
    Statistics,
}

impl Subject {
    /// What is said of it.
    fn finding(self, Remark { text: detail, hints }: Remark) -> FoundNotice {
        match self {
            Self::Fighting => FoundNotice::Fighting { detail, hints },
            Self::Mismatches => FoundNotice::Mismatch { detail, hints },
            Self::Interception => FoundNotice::NotIntercepted { detail, hints },
            Self::Conntrack => FoundNotice::NoConntrack { detail, hints },
            Self::WayBack => FoundNotice::NoWayBack { detail, hints },
            Self::OwnClients => FoundNotice::OwnClient { detail, hints },
            Self::Following => FoundNotice::NotFollowed { detail, hints },
            Self::BoundTwice => FoundNotice::BoundTwice { detail, hints },
            Self::Strangers => FoundNotice::Stranger { detail, hints },
            Self::Statistics => FoundNotice::NotSaved { detail, hints },
            Self::OldSessions => FoundNotice::OldSessions { detail, hints },
            Self::LeftPublic => FoundNotice::LeftPublic { detail, hints },
        }
    }
}

/// What holds, by subject.
#[derive(Debug, Default)]
pub struct Said(BTreeMap<Subject, BTreeSet<Remark>>);

impl Said {
    /// All that a look at a subject has found: what is new of it is said.
    pub fn found(&mut self, subject: Subject, lines: impl IntoIterator<Item = impl Into<Remark>>) {
        for line in self.news(subject, lines) {
            notice::tell(&subject.finding(line));
        }
    }

    /// The lines that are new. What is not among `lines` any more is forgotten.
    fn news(&mut self, subject: Subject, lines: impl IntoIterator<Item = impl Into<Remark>>) -> Vec<Remark> {
        let mut lines = lines.into_iter().map(Into::into);
        let mut all: BTreeSet<Remark> = lines.by_ref().take(MOST).collect();
        let more = lines.count();
        if more > 0 {
            all.insert(format!("and {more} more like these").into());
        }
        let before = self.0.remove(&subject).unwrap_or_default();
        let news = all.difference(&before).cloned().collect();
        if !all.is_empty() {
            self.0.insert(subject, all);
        }
        news
    }
}

#[cfg(test)]
mod tests;
