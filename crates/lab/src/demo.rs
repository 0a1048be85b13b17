//! The demo: every claim on real traffic, in about a minute, ending with a table a person can read.
//!
//! It runs `examples/transparent.cfg` as it stands (plus one frontend that says which version of the file is
//! served) between namespaces, breaks it, stops it, kills it, and looks at what is left.

mod progress;
mod stage;
mod steps;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::balancer::{Kind, clearway_program};
use crate::namespace;
use progress::Progress;
use stage::Stage;
use table::Claims;

/// Long enough for anything that works, short enough to wait for what does not.
const DEADLINE: Duration = Duration::from_secs(10);

/// What can be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// Which balancer; the plain one shows what is missing without Clearway
    #[arg(long, value_enum, default_value = "clearway")]
    balancer: Kind,
    /// New connections per second, IPv4 and IPv6 together
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How many reloads under load
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    reloads: u32,
}

/// Runs it all; success only if every claim held.
pub fn run(options: &Options) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("the demo makes network namespaces and must run as root: `sudo make demo`");
    }
    if options.balancer == Kind::Clearway {
        clearway_program()?;
    }
    namespace::sweep().context("removing what a killed run has left")?;
    let progress = Progress::new(u64::from(options.reloads) + 9);
    let mut claims = Claims::default();
    let outcome = all(options, &progress, &mut claims);
    progress.finish();
    println!("{}", claims.table());
    if let Err(error) = outcome {
        println!("The demo could not go on: {error:#}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if claims.all_held() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What every claim needs fails the demo; what only one claim needs fails that claim.
fn all(options: &Options, progress: &Progress, claims: &mut Claims) -> Result<()> {
    progress.step("raising three hosts: client, balancer, servers");
    let stage = Stage::raise(options.balancer)?;
    progress.step("starting the balancer with examples/transparent.cfg");
    let mut balancer = stage.start()?;
    progress.step("asking the servers which address they see");
    steps::addresses(&stage, claims);
    steps::reloads(&stage, &mut balancer, options, progress, claims)?;
    progress.step("stopping it with sessions open");
    steps::stop(&stage, balancer, claims)?;
    progress.step("looking at what is left");
    steps::nothing_left(&stage, "After a stop nothing is left", claims);
    progress.step("killing it with SIGKILL and starting it again");
    steps::kill_and_restart(&stage, claims)?;
    progress.step("looking at what is left");
    steps::nothing_left(&stage, "After SIGKILL, start and stop nothing is left", claims);
    Ok(())
}
