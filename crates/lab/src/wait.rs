//! Waiting for a condition, never for the passage of time.

use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long the lab sleeps between two looks at a condition.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How many times more time than usual everything gets: `CLEARWAY_TEST_PATIENCE`, a whole number, for machines
/// as slow as an emulated one. Every deadline of the lab is so much longer, every load so much slower.
pub fn patience() -> u32 {
    static PATIENCE: OnceLock<u32> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let given = std::env::var("CLEARWAY_TEST_PATIENCE").ok();
        given.and_then(|times| times.parse().ok()).unwrap_or(1).clamp(1, 20)
    })
}

/// Looks at `condition` until it holds something, at most for `deadline`; `what` is what the error says.
pub fn eventually<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let mut last = None;
    eventually_ok(deadline, what, || condition().ok_or_else(|| anyhow::anyhow!("not yet")), &mut last)
}

/// As [`eventually`], for a condition that can say why it does not hold yet: the last reason ends up in the
/// error.
pub fn eventually_because<T>(
    deadline: Duration,
    what: &str,
    condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut last = None;
    let outcome = eventually_ok(deadline, what, condition, &mut last);
    match (outcome, last) {
        (Err(error), Some(reason)) => Err(reason.context(error.to_string())),
        (outcome, _) => outcome,
    }
}

/// Looks at a condition until it holds, for 20 s at most. That it cannot be looked at ends it at once.
pub fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    eventually(Duration::from_secs(20), what, || match condition() {
        Ok(holds) => holds.then_some(Ok(())),
        Err(error) => Some(Err(error)),
    })?
}

fn eventually_ok<T>(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<T>,
    last: &mut Option<anyhow::Error>,
) -> Result<T> {
    let deadline = deadline * patience();
    let end = Instant::now() + deadline;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(reason) => *last = Some(reason),
        }
        if Instant::now() >= end {
            bail!("did not happen within {deadline:?}: {what}");
        }
        sleep(LOOK_EVERY);
    }
}
