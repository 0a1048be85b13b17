//! Waiting for a moment that may never come.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What the time of things counts from that are done [together](clearway_core::inquiry::together).
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How long that has been.
pub fn elapsed() -> Duration {
    BEGINNING.elapsed()
}

/// Waits until so long after that; for ever if nothing is due.
pub async fn after(time: Option<Duration>) {
    at(time.and_then(|time| BEGINNING.checked_add(time))).await;
}

/// Waits until then; for ever if nothing is due.
pub async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
