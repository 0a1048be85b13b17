//! What `make bench-reload` measures must be there to be seen: losses, delays, and sides that cannot be had.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clearway_lab::balancer::clearway_program;
use clearway_lab::bench::reload::{Outcome, Sample, Shape, Side, take};

/// A short run of `make bench-reload`.
fn bench(side: Side) -> Result<Sample> {
    match take(side, Shape { rate: 300.0, reloads: 2, every: Duration::from_secs(2) }, &clearway_program()?)?
    {
        Outcome::Measured(sample) => Ok(sample),
        Outcome::Missing(words) => bail!("{words}"),
    }
}

/// A harness that sees no loss where there must be some proves nothing of the others.
pub fn sees_losses() -> Result<()> {
    let sample = bench(Side::StopStart)?;
    let total = &sample.report.total;
    ensure!(total.refused > 0 && total.ok > 0 && total.count() == 1200, "{total}");
    Ok(())
}

/// What dropped SYNs do to clients is the kernel's doing: they are sent again after a second.
pub fn sees_delays() -> Result<()> {
    let sample = bench(Side::Original)?;
    let total = &sample.report.total;
    ensure!(total.failed() == 0 && total.syn_retransmitted > 100 && sample.delayed > 100, "{total}");
    ensure!(sample.worst_near.iter().all(|worst| *worst > 900.0), "{:?}", sample.worst_near);
    Ok(())
}

pub fn asks_clearway() -> Result<()> {
    let sample = bench(Side::Clearway("handoff"))?;
    let total = &sample.report.total;
    ensure!(total.failed() == 0 && total.count() == 1200, "{total}");
    ensure!(
        sample.marks.len() == 2 && sample.told.len() == 2 && sample.took.len() == 2,
        "{:?}",
        sample.marks
    );
    Ok(())
}

pub fn names_what_cannot_start() -> Result<()> {
    match take(
        Side::Clearway("no-such"),
        Shape { rate: 100.0, reloads: 1, every: Duration::from_secs(2) },
        &clearway_program()?,
    )? {
        Outcome::Missing(words) => ensure!(words.contains("strategy"), "its own words: {words}"),
        Outcome::Measured(sample) => bail!("an unknown strategy was measured: {}", sample.report),
    }
    Ok(())
}
