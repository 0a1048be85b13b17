//! What clients notice of what happens to a balancer, and what is left in the kernel: Clearway beside others that are
//! reloaded, replaced and killed in the field, each as its own manual has it, on the same load and in front of the same
//! servers.
//!
//! As `bench-reload`: interleaved rounds, new namespaces for each run, clients in another one than the balancer, an idle
//! control before and after. Where that was noisy nothing is written, and the run fails: figures of a busy machine say
//! nothing. Only a quick run, which is to show that all of it works, is written all the same.
//!
//! Written are `events.md` and `events.svg`: below docs/benchmarks by a run of everything, else below target/bench.

mod event;
mod idle;
mod instance;
mod left;
mod peer;
mod picture;
mod run;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

pub use super::rounds::Outcome;
pub use event::Event;
pub use left::Kernel;
pub use peer::Peer;
pub use run::{Sample, Shape, take};

use super::rounds::{Runs, Trouble, interleave};
use crate::namespace;
use idle::Idle;
use peer::Way;

/// What can be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// One short round on a smaller load: does it work, not how good is it
    #[arg(long)]
    quick: bool,
    /// How many times every peer meets every event [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Only this peer; may be given several times
    #[arg(long)]
    peer: Vec<String>,
    /// Only this event; may be given several times
    #[arg(long)]
    event: Vec<String>,
    /// Name the peers and events and do nothing
    #[arg(long)]
    list: bool,
    /// Where `events.md` and `events.svg` go
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Options {
    fn shape(&self) -> Shape {
        let second = Duration::from_secs(1);
        if self.quick {
            Shape { rate: 200.0, before: second, after: second }
        } else {
            Shape { rate: 1000.0, before: second, after: 2 * second }
        }
    }

    fn events(&self) -> Result<Vec<Event>> {
        let named: Vec<Event> = self.event.iter().map(|name| Event::named(name)).collect::<Result<_>>()?;
        Ok(Event::ALL.into_iter().filter(|event| named.is_empty() || named.contains(event)).collect())
    }

    /// What meets what, each once, in the order of the page.
    fn sides(&self) -> Result<Vec<(Peer, Event)>> {
        let named: Vec<Peer> = self.peer.iter().map(|name| Peer::named(name)).collect::<Result<_>>()?;
        let peers: Vec<Peer> =
            Peer::ALL.into_iter().filter(|peer| named.is_empty() || named.contains(peer)).collect();
        let sides = self.events()?.into_iter().flat_map(|event| peers.iter().map(move |peer| (*peer, event)));
        Ok(sides.filter(|(peer, event)| matches!(peer.way(*event), Way::Does(_))).collect())
    }

    /// The documentation shows whole runs only.
    fn folder(&self) -> Result<PathBuf> {
        let whole = !self.quick && self.peer.is_empty() && self.event.is_empty() && self.out.is_none();
        let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks");
        super::folder(if whole { Some(&documentation) } else { self.out.as_deref() })
    }
}

/// A peer that meets an event, with its runs.
type Measured = Runs<(Peer, Event), Sample>;

/// Measures; success unless something did not work, or the machine was too busy. A peer that this machine cannot have is
/// named.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let (shape, events, sides) = (options.shape(), options.events()?, options.sides()?);
    ensure!(!sides.is_empty(), "none of these peers has any of these events: see `bench-events --list`");
    if !rustix::process::geteuid().is_root() {
        bail!("the benchmarks make network namespaces and must run as root");
    }
    namespace::sweep().context("removing what a killed run has left")?;
    let out = options.folder()?;
    let (clearway, _) = super::programs(None)?;
    let rounds = usize::from(options.rounds.unwrap_or(if options.quick { 1 } else { 3 }));
    let before = Idle::take(shape, &clearway).context("the idle control before")?;
    let all = measure(sides, shape, rounds, &clearway);
    let idle = [before, Idle::take(shape, &clearway).context("the idle control after")?];
    let noise = idle::noise(&idle);
    for words in &noise {
        eprintln!("the machine was busy: {words}");
    }
    if !noise.is_empty() && !options.quick {
        eprintln!("thrown away: nothing is written; run it again on a quiet machine");
        return Ok(ExitCode::FAILURE);
    }
    let text = table::markdown(&all, &events, shape, &idle);
    let page = out.join("events.md");
    std::fs::write(&page, &text).with_context(|| format!("writing {}", page.display()))?;
    picture::picture(&out.join("events.svg"), &all, &events)?;
    println!("{text}\nWritten to {}", out.canonicalize().unwrap_or(out).display());
    let broken = all.iter().any(|one| matches!(one.trouble, Some(Trouble::Broken(_))));
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(sides: Vec<(Peer, Event)>, shape: Shape, rounds: usize, clearway: &Path) -> Vec<Measured> {
    let mut all: Vec<Measured> = sides.into_iter().map(Runs::new).collect();
    let name = |(peer, event): &(Peer, Event), _| format!("{}, {}", peer.name(), event.name());
    let take = |(peer, event): &(Peer, Event), _| take(*peer, Some(*event), shape, clearway);
    let said = |sample: &Sample| format!("{}; left: {}", sample.report.total, sample.left.words());
    interleave(&mut all, rounds, name, take, said);
    all
}

fn list() {
    for peer in Peer::ALL {
        println!("peer  {:16} {}", peer.name(), peer.configured());
    }
    for event in Event::ALL {
        println!("event {:16} {}", event.name(), event.explained());
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::{Event, Options, Peer};

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
        assert!(folder("x --peer nginx").ends_with("target/bench"));
        assert!(folder("x --event crash").ends_with("target/bench"));
    }

    #[test]
    fn what_a_peer_has_not_is_not_measured() {
        let sides = options("x --peer nginx --event held --event upgrade").sides().expect("sides");
        assert_eq!(sides, [(Peer::Nginx, Event::Upgrade)]);
        assert!(options("x --event no").sides().is_err() && options("x --peer no").sides().is_err());
        assert!(options("x").sides().expect("sides").len() > 30);
    }
}
