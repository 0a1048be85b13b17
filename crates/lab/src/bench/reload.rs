//! What clients notice of every way to reload: Clearway's strategies, plain HAProxy, the technique that images have
//! carried since 2016, and nothing at all, on the same load in one run.
//!
//! A program of its own, because the rows of the harness have two sides and this has more. The rest is as there:
//! interleaved, so that a drift of the machine meets every side; medians with their extremes; an idle control. It is
//! there twice: the machine alone before and after, and among the sides the same load without any reload. Each run
//! has new namespaces, and clients in another one than the balancer, so that their SYNs arrive as those of strangers do.
//!
//! Written are `reload.md` and `reload.svg`: below docs/benchmarks by a run of all sides, else below target/bench.

mod goals;
mod running;
mod sample;
mod side;
mod table;
mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

pub use super::rounds::Outcome;
pub use sample::{Sample, Shape, take};
pub use side::Side;
pub use told::{Told, Window};

use super::control::Control;
use super::plot::panels::{Panel, draw};
use super::rounds::{Runs, Trouble, interleave};
use crate::namespace;

/// The original technique takes longer than a second, and its clients wait as long again.
const SHORTEST: Duration = Duration::from_secs(2);

/// What can be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// One short round on a smaller load: does it work, not how good is it
    #[arg(long)]
    quick: bool,
    /// How many times every side is measured [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// New connections per second [default: 1000]
    #[arg(long)]
    rate: Option<f64>,
    /// How many reloads each run has [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    reloads: Option<u8>,
    /// How far they are apart; at least 2s [default: 5s]
    #[arg(long, value_parser = humantime::parse_duration)]
    every: Option<Duration>,
    /// Only this side; may be given several times
    #[arg(long)]
    side: Vec<String>,
    /// Measure this Clearway of another commit too, in the same rounds, and say what is worse than with it
    #[arg(long, value_name = "PATH")]
    former: Option<PathBuf>,
    /// Name the sides and do nothing
    #[arg(long)]
    list: bool,
    /// Where `reload.md` and `reload.svg` go
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Options {
    fn shape(&self) -> Result<Shape> {
        let (rate, reloads, every) = if self.quick { (500.0, 2, 3000) } else { (1000.0, 5, 5000) };
        let every = self.every.unwrap_or(Duration::from_millis(every));
        ensure!(every >= SHORTEST, "reloads are {} apart at least", humantime::format_duration(SHORTEST));
        let reloads = self.reloads.map_or(reloads, u32::from);
        Ok(Shape { rate: self.rate.unwrap_or(rate), reloads, every })
    }

    fn sides(&self) -> Result<Vec<Side>> {
        let named: Vec<Side> = self.side.iter().map(|name| Side::named(name)).collect::<Result<_>>()?;
        // In the order of the table, each once.
        let chosen = |side: &Side| named.is_empty() || named.contains(side);
        Ok(Side::ALL.into_iter().filter(chosen).collect())
    }

    /// The documentation shows whole runs only.
    fn folder(&self) -> Result<PathBuf> {
        let whole = !self.quick && self.side.is_empty() && self.out.is_none() && self.former.is_none();
        let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks");
        super::folder(if whole { Some(&documentation) } else { self.out.as_deref() })
    }
}

/// One side with its runs.
type Measured = Runs<Side, Sample>;

/// Measures the sides; success unless one of them did not work. One that this machine cannot have is named.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        for side in Side::ALL {
            println!("{:15} {}", side.name(), side.words());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (shape, sides) = (options.shape()?, options.sides()?);
    if !rustix::process::geteuid().is_root() {
        bail!("the benchmarks make network namespaces and must run as root");
    }
    namespace::sweep().context("removing what a killed run has left")?;
    let out = options.folder()?;
    let (clearway, former) = super::programs(options.former.as_deref())?;
    let rounds = usize::from(options.rounds.unwrap_or(if options.quick { 1 } else { 3 }));
    let before = Control::take().context("the idle control before")?;
    let mut subjects: Vec<(Side, &Path)> = sides.iter().map(|side| (*side, clearway.as_path())).collect();
    let of_clearway = sides.iter().filter(|side| side.flags().is_some());
    subjects.extend(of_clearway.filter_map(|side| Some((*side, former.as_deref()?))));
    let mut all = measure(&subjects, sides.len(), shape, rounds);
    let formers = all.split_off(sides.len());
    let broken = all.iter().any(is_broken);
    let after = Control::take().context("the idle control after")?;
    let compared =
        former.as_deref().map(|program| table::compared(&all, &formers, program)).unwrap_or_default();
    let text = table::markdown(&all, shape, [before, after], &compared);
    let (page, picture) = (out.join("reload.md"), out.join("reload.svg"));
    std::fs::write(&page, &text).with_context(|| format!("writing {}", page.display()))?;
    let panels: Vec<Panel> = all.iter().filter_map(panel).collect();
    draw(&picture, &title(shape), shape.length().as_secs_f64(), &panels)
        .with_context(|| format!("drawing {}", picture.display()))?;
    println!("{text}\nWritten to {}", out.canonicalize().unwrap_or(out).display());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All rounds. From the place `formers` on they are with a former Clearway, which need not work.
fn measure(subjects: &[(Side, &Path)], formers: usize, shape: Shape, rounds: usize) -> Vec<Measured> {
    let mut all: Vec<Measured> = subjects.iter().map(|(side, _)| Runs::new(*side)).collect();
    let name =
        |side: &Side, place| format!("{}{}", side.name(), if place >= formers { ", former" } else { "" });
    let take = |side: &Side, place: usize| {
        let (_, clearway) = subjects.get(place).context("no such side")?;
        take(*side, shape, clearway)
    };
    let said = |sample: &Sample| format!("{}; {} delayed", sample.report.total, sample.delayed);
    interleave(&mut all, rounds, name, take, said);
    all
}

/// Whether what is needed cannot be had here, or something does not work.
fn is_broken(one: &Measured) -> bool {
    match &one.trouble {
        None => false,
        Some(Trouble::Missing(_)) => one.side.is_needed(),
        Some(Trouble::Broken(_)) => true,
    }
}

/// The run of a side with the middle p99: neither the luckiest nor the unluckiest.
fn panel(one: &Measured) -> Option<Panel<'_>> {
    let mut runs: Vec<&Sample> = one.samples.iter().collect();
    runs.sort_by(|a, b| a.report.total.latency.p99.total_cmp(&b.report.total.latency.p99));
    let run = runs.get(runs.len().saturating_sub(1) / 2)?;
    let marks = if one.side.is_idle() { &[][..] } else { &run.marks };
    Some(Panel { title: one.side.words().replace('`', ""), points: &run.points, marks, losses: run.losses() })
}

fn title(shape: Shape) -> String {
    format!("Latency of each new connection, {} per second, connect() included", shape.rate)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::{Options, Side};

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &str) -> Options {
        let matches = Words::command().get_matches_from(words.split(' '));
        Words::from_arg_matches(&matches).expect("options").options
    }

    #[test]
    fn only_whole_runs_are_documentation() {
        let folder = |words| options(words).folder().expect("a folder");
        assert!(folder("x --rounds 2").ends_with("docs/benchmarks"));
        assert!(folder("x --quick").ends_with("target/bench"));
        assert!(folder("x --former clearway").ends_with("target/bench"));
        assert!(folder("x --side handoff").ends_with("target/bench"));
    }

    #[test]
    fn sides_are_in_the_order_of_the_table() {
        let sides = options("x --side original --side handoff --side original").sides().expect("sides");
        assert_eq!(sides, [Side::Clearway("handoff"), Side::Original]);
        assert!(options("x --side unknown").sides().is_err());
        assert!(options("x --every 1s").shape().is_err());
    }
}
