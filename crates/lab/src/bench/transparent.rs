//! What it costs that servers see the client's own address: HAProxy plain and transparent, with Clearway's
//! plumbing and with the usual recipe, beside nginx, and beside no proxy at all.
//!
//! A program of its own, because the rows of the harness have two sides and this has more. The rest is as
//! there: interleaved, so that a drift of the machine meets every side; medians with their extremes; an idle
//! control before and after. Each run has new namespaces: no side meets the connections in `TIME_WAIT` of the one
//! before it, nor its conntrack entries.

mod side;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::control::Control;
use super::harness::order;
use super::rows::traffic::none_failed;
use crate::load::{self, Plan};
use crate::namespace;
use side::{Running, Side};

/// How many connections are open at any time.
const AT_A_TIME: usize = 64;

/// What the kernel gets to take the namespaces of the run before away, and to come to rest.
const REST: Duration = Duration::from_millis(500);

/// What can be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// One short round: does it work, not how fast
    #[arg(long)]
    quick: bool,
    /// How many times every side is measured [default: 9]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..), conflicts_with = "quick")]
    rounds: Option<u8>,
    /// Where `transparent.md` goes [default: target/bench]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What one run of a side has come to.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// New connections per second.
    connections: f64,
    /// What one cost, in microseconds of processor time of the whole machine, clients and servers included.
    processor: f64,
    /// Megabytes per second of one download.
    download: f64,
}

/// One side with its runs.
#[derive(Debug)]
struct Measured {
    side: Side,
    /// One per round, from the first on.
    runs: Vec<Figures>,
    /// Why there are none, or no more.
    trouble: Option<String>,
}

/// Measures all sides; success unless one of them did not work. One that this machine cannot have is skipped.
pub fn run(options: &Options) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("the benchmarks make network namespaces and must run as root");
    }
    namespace::sweep().context("removing what a killed run has left")?;
    let out = super::folder(options.out.as_deref())?.join("transparent.md");
    let rounds = if options.quick { 1 } else { usize::from(options.rounds.unwrap_or(9)) };
    let lengths = if options.quick { [500, 500] } else { [4000, 2000] }.map(Duration::from_millis);
    let mut all = Vec::new();
    for side in Side::ALL {
        let trouble = side.missing()?.map(|reason| format!("skipped: {reason}"));
        if let Some(reason) = &trouble {
            eprintln!("{}: {reason}", side.words());
        }
        all.push(Measured { side, runs: Vec::new(), trouble });
    }
    let before = Control::take().context("the idle control before")?;
    let mut broken = false;
    for round in 0..rounds {
        eprintln!("round {} of {rounds} ...", round + 1);
        for index in order(round, all.len()) {
            let Some(one) = all.get_mut(index).filter(|one| one.trouble.is_none()) else { continue };
            match measure(one.side, lengths) {
                Ok(figures) => {
                    eprintln!("  {}: {figures}", one.side.words());
                    one.runs.push(figures);
                }
                Err(error) => {
                    eprintln!("  BROKEN: {}: {error:#}", one.side.words());
                    one.trouble = Some(format!("did not work: {error}"));
                    broken = true;
                }
            }
        }
    }
    let after = Control::take().context("the idle control after")?;
    let text = table::markdown(&all, [before, after], lengths);
    std::fs::write(&out, &text).with_context(|| format!("writing {}", out.display()))?;
    println!("{text}\nWritten to {}", out.canonicalize().unwrap_or(out).display());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(side: Side, [loading, downloading]: [Duration; 2]) -> Result<Figures> {
    let running = Running::start(side)?;
    sleep(REST);
    let lab = &running.rig.lab;
    let plan = Plan::closed(&running.targets, AT_A_TIME, loading).from(lab.client_addresses());
    let busy = busy()?;
    let report = load::start(&lab.client, plan.expecting(side.expected()))?.wait()?;
    let busy = self::busy()? - busy;
    none_failed(&report)?;
    let target = running.targets.first().context("a side has a target")?;
    let download = load::download(&lab.client, *target, downloading)? / 1e6;
    #[expect(clippy::cast_precision_loss, reason = "millions fit")]
    let processor = busy * 1e6 / report.total.ok as f64;
    Ok(Figures { connections: report.per_second(), processor, download })
}

/// How long all processors together have been busy since the machine was started, in seconds: with interrupts
/// and without what the hypervisor gave to others.
fn busy() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let ticks = busy_ticks(&text).context("/proc/stat begins otherwise than with `cpu` and numbers")?;
    #[expect(clippy::cast_precision_loss, reason = "a machine does not run for so long")]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `cpu user nice system idle iowait irq softirq steal ...` (proc(5)); guests are part of `user`.
fn busy_ticks(text: &str) -> Option<u64> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields = line.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    [0, 1, 2, 5, 6].iter().map(|index| fields.get(*index)).sum()
}

impl std::fmt::Display for Figures {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connections, processor, download } = self;
        write!(out, "{connections:.0} connections/s, {processor:.0} µs each, {download:.0} MB/s")
    }
}

#[cfg(test)]
mod tests {
    use super::busy_ticks;

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 1000 1 0\ncpu0 1"), Some(31));
        assert_eq!(busy_ticks("cpu  1 2 4"), None);
        assert_eq!(busy_ticks("cpu  1 x"), None);
        assert_eq!(busy_ticks(""), None);
    }
}
