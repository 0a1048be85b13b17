//! Events: the notices of the log, kept for clients that follow them (docs/decisions/0045).
//!
//! The last [`MOST`] are kept, fewer if these are long, each just as it is sent (a frame of `text/event-stream`). They are numbered
//! from 1, and the name of each ([`EventId`]) has beside its number what tells this Clearway from the next. A follower asks for one
//! after the other ([`Events::after`]), and is told if what it asks for is not kept any more. So nothing is queued for a follower,
//! and one that does not read costs nothing here.
//!
//! What is kept does not depend on the level of the log: all but `debug`. Any thread may add one.

mod bounded;
mod id;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clearway_core::notice::Notice;
use clearway_core::settings::LogLevel;
use hyper::body::Bytes;
use tokio::sync::watch;

use crate::tell::notices::FollowedNotice;
use crate::tell::rendered;
use bounded::{bounded, bounded_text};

pub use id::{EventId, LastHad};

/// How many are kept.
const MOST: usize = 512;

/// How many bytes they have in all: an ordinary one has some 300.
const MOST_BYTES: usize = 128 << 10;

/// One that is longer has its long fields cut.
const LONG: usize = 4 << 10;

/// The least urgent level that is kept.
pub const LEVEL: LogLevel = LogLevel::Info;

/// What followers are given. Clones are the same.
#[derive(Clone, Debug)]
pub struct Events {
    epoch: u32,
    kept: Arc<Mutex<KeptEvents>>,
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct KeptEvents {
    /// The last ones, the newest at the end.
    frames: VecDeque<Bytes>,
    /// How long these are together.
    bytes: usize,
    /// The number of the newest; 0: there was none.
    last: u64,
    /// Whether this Clearway ends, and no follower is to wait for more.
    is_over: bool,
}

/// Where a follower begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedFrom {
    /// What it is sent first: the place from which it may come back, and whether events begin anew.
    pub opening: Bytes,
    /// The number of the event that it has had last.
    pub after: u64,
}

/// What a follower is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextEvent {
    /// This, and then what comes after this number.
    Frame(Bytes, u64),
    /// There is nothing new.
    NotYet,
    /// There will not be any more.
    Over,
}

impl Events {
    /// Of a Clearway of which nothing has happened yet.
    pub fn new(epoch: u32) -> Self {
        Self { epoch, kept: Arc::default(), news: watch::Sender::new(()) }
    }

    /// Keeps a notice, unless it is for the log only.
    pub fn keep(&self, notice: &dyn Notice) {
        if notice.level() > LEVEL {
            return;
        }
        let mut kept = self.lock();
        kept.last = kept.last.saturating_add(1);
        let frame = self.frame(kept.last, notice);
        kept.bytes += frame.len();
        kept.frames.push_back(frame);
        while kept.frames.len() > MOST || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.frames.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.len());
        }
        drop(kept);
        self.news.send_replace(());
    }

    /// Where a follower begins that has had this one last; unset: it wants what happens from now on. Fails for an event that has
    /// not happened.
    pub fn begin(&self, had: Option<LastHad>) -> Result<FollowedFrom, String> {
        let last = self.lock().last;
        let (after, begun_anew) = match had {
            None => (last, None),
            Some(LastHad { epoch: Some(epoch), number }) if epoch != self.epoch => {
                (0, Some(FollowedNotice::BegunAnew { asked: EventId { epoch, number }.to_string() }))
            }
            Some(LastHad { number, .. }) if number > last => {
                return Err(format!("there is no event {number} yet: the last one is {}", self.id(last)));
            }
            Some(LastHad { number, .. }) => (number, None),
        };
        // An id without an event: from now on a client that loses its connection comes back from there.
        let mut opening = format!("retry: 1000\nid: {}\n\n", self.id(after)).into_bytes();
        if let Some(notice) = begun_anew {
            opening.extend_from_slice(&self.frame(after, &notice));
        }
        Ok(FollowedFrom { opening: opening.into(), after })
    }

    /// What comes after the event of this number.
    pub fn after(&self, number: u64) -> NextEvent {
        let kept = self.lock();
        // The number of the last one that is not kept any more.
        let gone = kept.last.saturating_sub(kept.frames.len() as u64);
        if number < gone {
            let missed = FollowedNotice::Missed { number: gone.saturating_sub(number) };
            return NextEvent::Frame(self.frame(gone, &missed), gone);
        }
        let at = usize::try_from(number.saturating_sub(gone)).unwrap_or(usize::MAX);
        match kept.frames.get(at) {
            Some(frame) => NextEvent::Frame(frame.clone(), number.saturating_add(1)),
            None if kept.is_over => NextEvent::Over,
            None => NextEvent::NotYet,
        }
    }

    /// Tells when there is something new.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// This Clearway ends: what is kept was all.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.news.send_replace(());
    }

    fn id(&self, number: u64) -> EventId {
        EventId { epoch: self.epoch, number }
    }

    fn frame(&self, number: u64, notice: &dyn Notice) -> Bytes {
        let id = self.id(number).to_string();
        let written = |message: &str, fields| {
            let begun = [("id", id.as_str().into()), ("event", notice.event().into())];
            let json = rendered::object(notice.level(), message, begun.into_iter().chain(fields));
            format!("id: {id}\ndata: {json}\n\n")
        };
        let message = notice.to_string();
        let frame = written(&message, notice.fields());
        let frame = if frame.len() > LONG {
            written(&bounded_text(&message), bounded(notice.fields()))
        } else {
            frame
        };
        frame.into()
    }

    fn lock(&self) -> MutexGuard<'_, KeptEvents> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
