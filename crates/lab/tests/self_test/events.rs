//! What `make bench-events` measures must be there to be seen: losses, what waits, and what is left in the kernel.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::balancer::clearway_program;
use clearway_lab::bench::events::{Event, Outcome, Peer, Sample, Shape, take};

/// A short run of `make bench-events`.
fn bench(peer: Peer, event: Event) -> Result<Sample> {
    let second = Duration::from_secs(1);
    match take(peer, Some(event), Shape { rate: 200.0, before: second, after: second }, &clearway_program()?)?
    {
        Outcome::Measured(sample) => Ok(sample),
        Outcome::Missing(words) => bail!("{words}"),
    }
}

/// A harness that sees no loss where there must be some proves nothing of the others.
pub fn sees_losses() -> Result<()> {
    let sample = bench(Peer::MasterWorker, Event::Kill)?;
    let total = &sample.report.total;
    ensure!(total.refused > 20 && total.ok > 100 && total.count() == 400, "{total}");
    ensure!(sample.left.words() == "nothing", "{}", sample.left.words());
    Ok(())
}

pub fn sees_clients_that_wait() -> Result<()> {
    let sample = bench(Peer::Clearway, Event::Held)?;
    let total = &sample.report.total;
    ensure!(total.refused == 0 && total.count() == 400 && total.latency.max > 400.0, "{total}");
    let left = sample.left_by_kill.context("nothing was read after the kill")?.words();
    ensure!(left.contains("1 process (clearway)") && left.contains(":80"), "{left}");
    ensure!(sample.left.words() == "nothing", "{}", sample.left.words());
    Ok(())
}

/// What a kill leaves of transparency has no effect any more, and is there; the next start removes it at its end.
pub fn sees_what_is_left() -> Result<()> {
    let sample = bench(Peer::Transparent, Event::Kill)?;
    let left = sample.left_by_kill.context("nothing was read after the kill")?.words();
    ensure!(left.contains("rule") && left.contains("route"), "{left}");
    ensure!(sample.left.words() == "nothing", "{}", sample.left.words());
    Ok(())
}
