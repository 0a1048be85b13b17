//! The clients that follow events: how many there may be, and how they are let go.
//!
//! A follower has a place among the events and nothing else: what it is sent next is looked up when its connection has room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use thiserror::Error;
use tokio::sync::watch;

use crate::front::clients::{gone, handle_of};
use crate::tell::events::{Events, FollowedFrom, LastHad, NextEvent};

/// How many may follow at a time. Each has a connection, and is woken by each event.
pub const MOST: usize = 256;

/// How often one hears of something, if only that the connection is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// A comment, which readers of event streams pass over.
const ALIVE: &[u8] = b":\n\n";

/// How long Clearway waits at its end until they have had the last event, and are gone if they end with it. Those that read
/// have it at once, so this is for those that do not.
const MOMENT: Duration = Duration::from_millis(200);

/// How many processes are waited for at the end: each costs a descriptor then.
const MOST_AWAITED: usize = 64;

/// The process of each follower, if it is in our PID namespace, by a number that it has as long as it follows.
type FollowerSeats = watch::Sender<BTreeMap<u64, Option<i32>>>;

/// Those that follow.
#[derive(Debug)]
pub struct Followers {
    events: Events,
    seats: FollowerSeats,
}

/// Why a client does not follow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotFollowed {
    /// There are too many.
    #[error("{MOST} clients follow the events already, and there may not be more")]
    TooMany,
    /// It wants what comes after an event that has not happened.
    #[error("{0}")]
    NotHappened(String),
}

impl NotFollowed {
    /// How that is said over HTTP.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotHappened(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// A client that follows. When it is dropped there is room for another one.
#[derive(Debug)]
pub struct Follower {
    events: Events,
    news: watch::Receiver<()>,
    /// What it is sent before the first event.
    opening: Option<Bytes>,
    /// The number of the event that it has had last.
    after: u64,
    seats: FollowerSeats,
    seat: u64,
}

impl Followers {
    /// There are none yet.
    pub fn new(events: Events) -> Self {
        Self { events, seats: watch::Sender::default() }
    }

    /// One more, which has had this event last, or wants new ones only.
    pub fn admit(&self, had: Option<LastHad>, pid: Option<i32>) -> Result<Follower, NotFollowed> {
        let seat = {
            let seats = self.seats.borrow();
            if seats.len() >= MOST {
                return Err(NotFollowed::TooMany);
            }
            seats.last_key_value().map_or(0, |(last, _)| last.saturating_add(1))
        };
        // Before it is looked where it begins: nothing that happens from then on is overlooked.
        let news = self.events.news();
        let FollowedFrom { opening, after } = self.events.begin(had).map_err(NotFollowed::NotHappened)?;
        self.seats.send_modify(|seats| _ = seats.insert(seat, pid));
        let (events, seats) = (self.events.clone(), self.seats.clone());
        Ok(Follower { events, news, opening: Some(opening), after, seats, seat })
    }

    /// Nothing more will happen: they are to have what is left, and go.
    pub fn end(&self) {
        self.events.end();
    }

    /// Waits until they have had the last event, and until the processes are gone that end with it, for a moment at most: our end
    /// may kill them before they have written it down.
    pub async fn let_go(&self) {
        let pids: BTreeSet<i32> = self.seats.borrow().values().copied().flatten().collect();
        let processes: Vec<_> =
            pids.into_iter().take(MOST_AWAITED).filter_map(handle_of).map(Arc::new).collect();
        let mut seats = self.seats.subscribe();
        let all_gone = async {
            let _ = seats.wait_for(BTreeMap::is_empty).await;
            for process in processes {
                gone(process).await;
            }
        };
        let _ = tokio::time::timeout(MOMENT, all_gone).await;
    }
}

impl Follower {
    /// What it is sent next, when there is something; unset: that was all.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        loop {
            self.news.borrow_and_update();
            match self.events.after(self.after) {
                NextEvent::Frame(frame, after) => {
                    self.after = after;
                    return Some(frame);
                }
                NextEvent::Over => return None,
                NextEvent::NotYet => {}
            }
            if tokio::time::timeout(HEARTBEAT, self.news.changed()).await.is_err() {
                return Some(Bytes::from_static(ALIVE));
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.seats.send_modify(|seats| _ = seats.remove(&self.seat));
    }
}

#[cfg(test)]
mod tests;
