//! The soak: millions of connections, as fast as they go, while Clearway reloads all the time. What is lost, how
//! long the slow ones took, and whether memory grows. It decides nothing: figures are printed.

use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::rig::{Rig, Transparency};
use crate::balancer::{Balancer, Kind};
use crate::load::{self, LoadReport, Plan};
use crate::namespace;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What can be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// How many million connections
    #[arg(long, default_value_t = 1.0)]
    millions: f64,
    /// How many at any time
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many reloads are asked for per second; requests that arrive during one become one more
    #[arg(long, default_value_t = 10.0)]
    reloads: f64,
}

/// One look at the balancer.
#[derive(Debug, Clone, Copy)]
struct Look {
    seconds: u64,
    connections: u64,
    failed: u64,
    /// Clearway's resident memory.
    clearway_kib: u64,
    /// How many HAProxy processes there were.
    haproxys: usize,
}

/// Runs it; success if no connection was lost.
pub fn run(options: &Options) -> Result<ExitCode> {
    ensure!(
        (0.001..=100.0).contains(&options.millions),
        "between a thousand and a hundred million connections"
    );
    ensure!((0.1..=50.0).contains(&options.reloads), "between 0.1 and 50 reloads per second");
    if !rustix::process::geteuid().is_root() {
        bail!("the soak makes network namespaces and must run as root");
    }
    namespace::sweep().context("removing what a killed run has left")?;
    let mut rig = Rig::raise()?;
    // No time to settle: the reloads are to follow one another.
    let mut balancer = rig.start_with(Kind::Clearway, Transparency::Off, &[("CLEARWAY_SETTLE", "0")])?;
    let plan = Plan::closed(&Rig::service(), options.connections, Duration::from_hours(12))
        .from(rig.lab.client_addresses())
        .patient_for(Duration::from_secs(10));
    let load = load::start(&rig.lab.client, plan)?;
    let pause = Duration::from_secs_f64(1.0 / options.reloads);
    let mut looks: Vec<Look> = Vec::new();
    let begun = Instant::now();
    #[expect(clippy::cast_precision_loss, reason = "millions fit")]
    while (load.progress().0 as f64) < options.millions * 1e6 {
        sleep(pause); // the pace of the requests
        balancer.reload()?;
        if looks.last().is_none_or(|last| begun.elapsed().as_secs() >= last.seconds + LOOK.as_secs()) {
            let look = look(&balancer, begun, load.progress())?;
            eprintln!(
                "{:>5} s {:>10} connections, {} failed, Clearway {} KiB, {} HAProxy processes",
                look.seconds, look.connections, look.failed, look.clearway_kib, look.haproxys
            );
            looks.push(look);
        }
    }
    let took = begun.elapsed();
    let report = load.finish()?;
    let reloads = balancer.stderr()?.matches(" serves, worker ").count().saturating_sub(1);
    Rig::stop(balancer)?;
    let text = words(&report, reloads, took, &looks);
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    std::fs::write(out.join("soak.md"), &text).context("writing the result")?;
    println!("{text}");
    Ok(if report.total.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(balancer: &Balancer, begun: Instant, (connections, failed): (u64, u64)) -> Result<Look> {
    Ok(Look {
        seconds: begun.elapsed().as_secs(),
        connections,
        failed,
        clearway_kib: balancer.facts()?.resident_kib,
        haproxys: balancer.haproxy_processes().len(),
    })
}

fn words(report: &LoadReport, reloads: usize, took: Duration, looks: &[Look]) -> String {
    let seconds = took.as_secs_f64();
    let latency = report.total.latency;
    let memory = |look: Option<&Look>| look.map_or(0, |look| look.clearway_kib);
    let most = looks.iter().map(|look| look.haproxys).max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a number of reloads")]
    let rate = reloads as f64 / seconds;
    format!(
        "| soak | |\n|---|---|\n| connections | {} in {seconds:.0} s |\n| lost | {} |\n| reloads | {reloads}, \
         {rate:.1} per second |\n| p50, p99, p99.9, worst | {:.1}, {:.1}, {:.1}, {:.1} ms |\n| Clearway's memory, \
         first and last | {} and {} KiB |\n| most HAProxy processes at a time | {most} |\n",
        report.total.count(),
        report.total.failed(),
        latency.p50,
        latency.p99,
        latency.p999,
        latency.max,
        memory(looks.first()),
        memory(looks.last()),
    )
}
