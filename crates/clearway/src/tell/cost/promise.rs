//! What a window has come to, for those that wait for it.

use std::time::Duration;

use clearway_core::cost::Cost;
use tokio::sync::watch;

/// How long an answer waits for it: it takes a look at the sockets, which is a millisecond, and more on a busy machine.
const MOMENT: Duration = Duration::from_millis(500);

/// The other end of a [`CostPromise`].
pub type CostTold = watch::Sender<Option<Cost>>;

/// What a window has come to, when that is known.
#[derive(Clone, Debug)]
pub struct CostPromise(watch::Receiver<Option<Cost>>);

impl CostPromise {
    /// Of a window of which nothing will be told.
    pub fn of_nothing() -> Self {
        Self::pair().1
    }

    /// What tells it, and what hears it.
    pub fn pair() -> (CostTold, Self) {
        let (told, heard) = watch::channel(None);
        (told, Self(heard))
    }

    /// Waits for it, for a moment; nothing if it is not known by then.
    pub async fn kept(mut self) -> Option<Cost> {
        let told = tokio::time::timeout(MOMENT, self.0.wait_for(Option::is_some)).await;
        told.ok()?.ok()?.clone()
    }
}
