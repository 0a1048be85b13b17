//! Whether the machine was quiet enough: looked at before and after, by two things that have nothing to do with what is
//! measured, and by the same load on a plain HAProxy to which nothing happens.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::peer::Peer;
use super::run::{Shape, take};
use crate::bench::control::Control;
use crate::bench::rounds::Outcome;
use crate::load::{Quantiles, Tally};

/// How much longer the same arithmetic may take in one of the two than in the other.
const SPIN: f64 = 1.25;
/// What 99 of 100 round trips over the loopback may take, in milliseconds.
const TRIP: f64 = 1.0;
/// What 99 of 100 connections may take when nothing happens, and how late the generator may be with them, in milliseconds.
const LATENCY: f64 = 5.0;

/// The machine at one moment.
#[derive(Debug, Clone)]
pub(super) struct Idle {
    pub(super) control: Control,
    /// What became of the load.
    pub(super) total: Tally,
    /// How late the generator was.
    pub(super) slip: Quantiles,
}

impl Idle {
    /// Looks for as long as a run takes.
    pub(super) fn take(shape: Shape, clearway: &Path) -> Result<Self> {
        let control = Control::take()?;
        match take(Peer::MasterWorker, None, shape, clearway).context("a load to which nothing happens")? {
            Outcome::Measured(sample) => {
                Ok(Self { control, total: sample.report.total, slip: sample.report.slip })
            }
            Outcome::Missing(words) => bail!("{words}"),
        }
    }
}

/// What says that the machine was too busy for figures to mean anything; nothing if it was quiet.
pub(super) fn noise([before, after]: &[Idle; 2]) -> Vec<String> {
    let mut noise = Vec::new();
    let spins = [before.control.spin, after.control.spin];
    let (least, most) = (spins[0].min(spins[1]), spins[0].max(spins[1]));
    if most > least * SPIN {
        noise.push(format!("the same arithmetic took {least:.1} and {most:.1} ms"));
    }
    for (when, idle) in [("before", before), ("after", after)] {
        let trip = idle.control.trip_p99;
        if trip > TRIP {
            noise.push(format!("{when}, round trips over the loopback: p99 {trip:.2} ms"));
        }
        let lost = idle.total.failed();
        if lost > 0 {
            noise.push(format!("{when}, {lost} connections were lost although nothing happened"));
        }
        for (what, p99) in
            [("connections", idle.total.latency.p99), ("the generator was late", idle.slip.p99)]
        {
            if p99 > LATENCY {
                noise.push(format!("{when}, without any event, {what}: p99 {p99:.1} ms"));
            }
        }
    }
    noise
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn quiet() -> Idle {
        let latency = Quantiles { p99: 1.3, max: 4.0, ..Quantiles::default() };
        Idle {
            control: Control { spin: 19.0, trip_p50: 0.004, trip_p99: 0.08 },
            total: Tally { ok: 3000, latency, ..Tally::default() },
            slip: Quantiles { p99: 1.0, ..Quantiles::default() },
        }
    }

    #[test]
    fn a_quiet_machine_says_nothing() {
        assert_eq!(noise(&[quiet(), quiet()]), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_noise_is_named() {
        let with = |change: fn(&mut Idle)| {
            let mut after = quiet();
            change(&mut after);
            noise(&[quiet(), after]).join("; ")
        };
        assert!(with(|idle| idle.control.spin = 24.0).contains("arithmetic took 19.0 and 24.0 ms"));
        assert!(
            with(|idle| idle.control.trip_p99 = 1.4)
                .contains("after, round trips over the loopback: p99 1.40")
        );
        assert!(with(|idle| idle.total.reset = 2).contains("after, 2 connections were lost"));
        assert!(with(|idle| idle.total.latency.p99 = 9.0).contains("connections: p99 9.0 ms"));
        assert!(with(|idle| idle.slip.p99 = 9.0).contains("the generator was late: p99 9.0 ms"));
    }
}
