//! The benchmarks: one harness, and rows that say what is measured on which two sides.
//!
//! Both sides of a row are measured in one run, interleaved (A B B A), between two looks at how noisy the machine
//! is. What is printed are the medians of both and their ratio, and with `--former` whether the Clearway of another
//! commit was better. Figures never fail a run; a side that does not
//! work does. To add a row, implement [`Row`] below `rows/` and list it in `rows::all`.

mod control;
mod daemon;
pub mod events;
mod figures;
mod former;
mod harness;
mod machine;
mod plot;
pub mod reload;
mod report;
mod rig;
mod rounds;
mod row;
mod rows;
pub mod soak;
mod statistics;
pub mod transparent;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

pub use former::{Comparison, Verdict};
pub use harness::{Measured, measure};
pub use row::{About, Better, Goal, Row, Side, Timeline};
pub use statistics::Summary;

use crate::balancer::clearway_program;
use crate::namespace;

/// What can be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// Fewer and shorter runs: does it work, not how fast
    #[arg(long)]
    quick: bool,
    /// Only this row; may be given several times
    #[arg(long)]
    row: Vec<String>,
    /// Name the rows and do nothing
    #[arg(long)]
    list: bool,
    /// Measure this Clearway of another commit too, in the same rounds, and say what is worse than with it
    #[arg(long, value_name = "PATH")]
    former: Option<PathBuf>,
    /// Where the results go [default: target/bench]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs the rows; success unless a side of one did not work.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut rows = rows::all(options.quick);
    if options.list {
        for row in &rows {
            println!("{:20} {}", row.about().name, row.about().what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    for name in &options.row {
        ensure!(rows.iter().any(|row| row.about().name == name), "no row `{name}`: see `bench --list`");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the benchmarks make network namespaces and must run as root");
    }
    rows.retain(|row| options.row.is_empty() || options.row.iter().any(|name| name == row.about().name));
    namespace::sweep().context("removing what a killed run has left")?;
    let out = folder(options.out.as_deref())?;
    let (clearway, former) = programs(options.former.as_deref())?;
    let rounds = if options.quick { 2 } else { 6 };
    let (mut measured, mut broken) = (Vec::new(), false);
    for row in &mut rows {
        let about = row.about();
        eprintln!("{}: {} ...", about.name, about.what);
        match measure(row.as_mut(), rounds, &clearway, former.as_deref()) {
            Ok(result) => {
                eprintln!("  {result}");
                plot::runs(&out, &result)?;
                if let Some(timeline) = &result.timeline {
                    plot::timeline(&out, about.name, timeline)?;
                }
                measured.push(result);
            }
            Err(error) => {
                eprintln!("  BROKEN: {error:#}");
                broken = true;
            }
        }
        drop(std::mem::replace(row, Box::new(rows::Done(about)))); // its lab goes before the next is raised
    }
    let text = report::markdown(&measured, former.as_deref());
    report::write(&out, &measured, &text)?;
    println!("{text}\nWritten to {}", out.canonicalize().unwrap_or(out).display());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The Clearway under test, and the former one, where one is asked for.
fn programs(former: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>)> {
    Ok((clearway_program()?, former.map(former::program).transpose()?))
}

/// Where results go: what was asked for, else `target/bench` of this tree. Made if it is not there.
fn folder(wanted: Option<&Path>) -> Result<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let folder = wanted.map_or_else(usual, Path::to_path_buf);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
