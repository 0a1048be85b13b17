//! What traffic notices of transparency.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::load::{self, Expect, LoadReport, Plan};

/// The two rows.
pub(super) fn all(quick: bool) -> impl Iterator<Item = Box<dyn Row>> {
    let run = Duration::from_secs(if quick { 1 } else { 4 });
    [What::Connections, What::Throughput]
        .into_iter()
        .map(move |what| -> Box<dyn Row> { Box::new(Transparent { rig: None, what, run }) })
}

#[derive(Debug, Clone, Copy)]
enum What {
    Connections,
    Throughput,
}

/// Clearway without and with transparency.
#[derive(Debug)]
struct Transparent {
    rig: Option<Rig>,
    what: What,
    run: Duration,
}

impl Row for Transparent {
    fn about(&self) -> About {
        let (name, what, unit) = match self.what {
            What::Connections => ("connections", "New connections per second, 64 at a time", "/s"),
            What::Throughput => ("throughput", "Throughput of one download", "MB/s"),
        };
        let sides = ["not transparent", "transparent"];
        About { name, what, unit, better: Better::Higher, sides, goal: Goal::Ratio(0.9) }
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let rig = rig(&mut self.rig, clearway, Rig::raise)?;
        let transparency = [Transparency::Off, Transparency::On][side.index()];
        let balancer = rig.start(Kind::Clearway, transparency)?;
        let figure = match self.what {
            What::Throughput => load::download(&rig.lab.client, Rig::service()[0], self.run)? / 1e6,
            What::Connections => {
                let plan = Plan::closed(&Rig::service()[..1], 64, self.run).from(rig.lab.client_addresses());
                let report = load::start(&rig.lab.client, plan.expecting(expected(transparency)))?.wait()?;
                none_failed(&report)?;
                report.per_second()
            }
        };
        Rig::stop(balancer)?;
        Ok(figure)
    }
}

fn expected(transparency: Transparency) -> Expect {
    match transparency {
        Transparency::On => Expect::OwnAddress,
        Transparency::Off | Transparency::OwnAddress => Expect::Anything,
    }
}

/// A side that loses connections does not work, however fast it is.
pub(in crate::bench) fn none_failed(report: &LoadReport) -> Result<()> {
    ensure!(report.total.failed() == 0 && report.total.ok > 0, "connections failed: {report}");
    Ok(())
}
