//! The command line of `clearway-lab`: helpers for inside a namespace, and what people run.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::container::Engine;
use crate::load::{self, Ask, Expect, Pace, Plan};
use crate::server::{self, Mode};
use crate::{bench, demo, namespace};

/// The laboratory of Clearway: servers, load, demo and benchmarks in network namespaces of their own.
#[derive(Debug, Parser)]
#[command(name = "clearway-lab")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A server that answers each connection with the address it saw
    Server {
        /// Where to listen; may be given several times
        #[arg(long, required = true)]
        listen: Vec<SocketAddr>,
        /// What it calls itself
        #[arg(long, default_value = "server")]
        name: String,
        /// What it does with a connection
        #[arg(long, value_enum, default_value = "line")]
        mode: Mode,
    },
    /// New connections on a fixed schedule, and what became of each
    Load(LoadArgs),
    /// All claims on real traffic, in about a minute
    Demo(demo::Options),
    /// Clearway and what it is compared with, interleaved
    Bench(bench::Options),
    /// Every way to reload, on the same load: Clearway's strategies, plain HAProxy, and the original technique
    BenchReload(bench::reload::Options),
    /// What clients notice of reloads, crashes, kills, replacements and stops: Clearway, HAProxy, nginx and others
    BenchEvents(bench::events::Options),
    /// What it costs that servers see the client: Clearway, the classic recipe, nginx, and no proxy at all
    BenchTransparent(bench::transparent::Options),
    /// Millions of connections while reloading all the time
    Soak(bench::soak::Options),
    /// Removes the namespaces and containers of lab runs that were killed
    Sweep,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Where to connect; may be given several times, taken in turn
    #[arg(long, required = true)]
    target: Vec<SocketAddr>,
    /// New connections per second over all targets
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Instead of a rate: so many at any time, as fast as possible
    #[arg(long, conflicts_with = "rate")]
    connections: Option<usize>,
    /// For how long connections begin
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// After how long a connection counts as lost
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Address to come from; may be given several times, taken in turn
    #[arg(long)]
    source: Vec<IpAddr>,
    /// How to ask
    #[arg(long, value_enum, default_value = "line")]
    ask: Ask,
    /// The address that must be answered
    #[arg(long, group = "expect")]
    expect_peer: Option<IpAddr>,
    /// The answer must be the address that the connection came from
    #[arg(long, group = "expect")]
    expect_own: bool,
    /// The answer must begin so
    #[arg(long, group = "expect")]
    expect_prefix: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("clearway-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Server { listen, name, mode } => server::serve(&name, &listen, mode)?,
        Command::Load(args) => return load(args),
        Command::Demo(options) => return demo::run(&options),
        Command::Bench(options) => return bench::run(&options),
        Command::BenchReload(options) => return bench::reload::run(&options),
        Command::BenchEvents(options) => return bench::events::run(&options),
        Command::BenchTransparent(options) => return bench::transparent::run(&options),
        Command::Soak(options) => return bench::soak::run(&options),
        Command::Sweep => sweep()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn sweep() -> Result<()> {
    // Containers first: they may still use what the namespaces are wired to.
    let containers = Engine::find().and_then(|engine| engine.sweep()).unwrap_or_default();
    containers.iter().chain(&namespace::sweep()?).for_each(|name| println!("removed {name}"));
    Ok(())
}

/// Exit code 0 when every connection ended well, 2 when not.
fn load(args: LoadArgs) -> Result<ExitCode> {
    let expect = match (args.expect_peer, args.expect_prefix) {
        (Some(address), _) => Expect::Peer(address),
        (None, Some(prefix)) => Expect::Prefix(prefix),
        (None, None) if args.expect_own => Expect::OwnAddress,
        (None, None) => Expect::Anything,
    };
    let pace = match args.connections {
        Some(connections) => Pace::Closed { connections },
        None => Pace::Open { rate: args.rate },
    };
    let report = load::run(Plan {
        targets: args.target,
        sources: args.source,
        pace,
        duration: args.duration,
        timeout: args.timeout,
        ask: args.ask,
        expect,
        at_most: None,
        each: false,
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.total.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Where this program is, also when asked from a test that was built beside it.
pub(crate) fn this_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CLEARWAY_LAB_BIN") {
        return Ok(path.into());
    }
    let running = std::env::current_exe().context("asking for our own path")?;
    let here = running.parent().into_iter().flat_map(|folder| [Some(folder), folder.parent()]).flatten();
    for folder in here {
        let candidate = folder.join("clearway-lab");
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("no `clearway-lab` beside {}: `cargo build -p clearway-lab`", running.display())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
