//! The soak: millions of connections, as fast as they go, while Clearway reloads all the time, or one Clearway takes
//! over from the other. What is lost, how long the slow ones took, and whether memory grows. It decides nothing:
//! figures are printed.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::rig::{NAMED, Rig, Transparency};
use crate::balancer::{Balancer, Kind};
use crate::load::{self, LoadReport, Plan};
use crate::namespace;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What a Clearway says once it serves.
const SERVES: &str = " serves, worker ";

/// Within which a takeover must be done.
const DEADLINE: Duration = Duration::from_secs(20);

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
    /// Instead of reloads: how many times per second another Clearway is started, which takes over
    #[arg(long, conflicts_with = "reloads")]
    takeovers: Option<f64>,
}

/// One look at the balancer.
#[derive(Debug, Clone, Copy)]
struct Look {
    seconds: u64,
    connections: u64,
    failed: u64,
    /// Clearway's resident memory.
    clearway_kib: u64,
    /// How many HAProxy processes there were below it.
    haproxys: usize,
    /// How many Clearways that were taken over from had not ended yet.
    former: usize,
}

/// Runs it; success if no connection was lost.
pub fn run(options: &Options) -> Result<ExitCode> {
    ensure!(
        (0.001..=100.0).contains(&options.millions),
        "between a thousand and a hundred million connections"
    );
    if !rustix::process::geteuid().is_root() {
        bail!("the soak makes network namespaces and must run as root");
    }
    namespace::sweep().context("removing what a killed run has left")?;
    let rate = options.takeovers.unwrap_or(options.reloads);
    ensure!((0.1..=50.0).contains(&rate), "between 0.1 and 50 reloads or takeovers per second");
    let mut rig = Rig::raise()?;
    let mut subject = Subject::start(&mut rig, options.takeovers.is_some())?;
    let plan = Plan::closed(&Rig::service(), options.connections, Duration::from_hours(12))
        .from(rig.lab.client_addresses())
        .patient_for(Duration::from_secs(10));
    let load = load::start(&rig.lab.client, plan)?;
    let pause = Duration::from_secs_f64(1.0 / rate);
    let mut looks: Vec<Look> = Vec::new();
    let begun = Instant::now();
    let mut next = begun;
    #[expect(clippy::cast_precision_loss, reason = "millions fit")]
    while (load.progress().0 as f64) < options.millions * 1e6 {
        next += pause; // the pace of the requests
        sleep(next.saturating_duration_since(Instant::now()));
        subject.switch(&mut rig)?;
        if looks.last().is_none_or(|last| begun.elapsed().as_secs() >= last.seconds + LOOK.as_secs()) {
            let look = subject.look(begun, load.progress())?;
            eprintln!(
                "{:>5} s {:>10} connections, {} failed, Clearway {} KiB, {} HAProxy processes below it, {} former",
                look.seconds, look.connections, look.failed, look.clearway_kib, look.haproxys, look.former
            );
            looks.push(look);
        }
    }
    let took = begun.elapsed();
    let report = load.finish()?;
    let text = words(&report, &subject.end()?, took, &looks);
    std::fs::write(super::folder(None)?.join("soak.md"), &text).context("writing the result")?;
    println!("{text}");
    Ok(if report.total.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The Clearway that serves, and those from which it and its like took over.
struct Subject {
    by_takeover: bool,
    serving: Balancer,
    former: Vec<Balancer>,
    takeovers: usize,
}

impl Subject {
    fn start(rig: &mut Rig, by_takeover: bool) -> Result<Self> {
        // No time to settle between reloads: they are to follow one another.
        let settle = if by_takeover { "200ms" } else { "0" };
        let variables = [NAMED, ("CLEARWAY_SETTLE", settle)];
        let serving = rig.start_with(Kind::Clearway, Transparency::Off, &variables)?;
        Ok(Self { by_takeover, serving, former: Vec::new(), takeovers: 0 })
    }

    /// Asks for a reload, or starts another one and waits until it serves.
    fn switch(&mut self, rig: &mut Rig) -> Result<()> {
        if !self.by_takeover {
            return self.serving.reload();
        }
        let (_, next) = rig.begin_takeover(&[NAMED])?;
        next.wait_for_log(0, SERVES, DEADLINE)?;
        self.former.push(std::mem::replace(&mut self.serving, next));
        self.takeovers += 1;
        let mut left = Vec::new();
        for mut one in self.former.drain(..) {
            if one.is_running()? { left.push(one) } else { Rig::assert_relieved(one)? }
        }
        self.former = left;
        Ok(())
    }

    fn look(&self, begun: Instant, (connections, failed): (u64, u64)) -> Result<Look> {
        Ok(Look {
            seconds: begun.elapsed().as_secs(),
            connections,
            failed,
            clearway_kib: self.serving.facts()?.resident_kib,
            haproxys: self.serving.haproxy_processes().len(),
            former: self.former.len(),
        })
    }

    /// Ends all of them, and gives the word for what was done, and how often.
    fn end(self) -> Result<(&'static str, usize)> {
        let starts = self.serving.stderr()?.matches(SERVES).count();
        // Were the last one stopped while another waits whether it does well, that one would serve again.
        self.former.into_iter().try_for_each(Rig::assert_relieved)?;
        Rig::stop(self.serving)?;
        Ok(if self.by_takeover {
            ("takeovers", self.takeovers)
        } else {
            ("reloads", starts.saturating_sub(1))
        })
    }
}

fn words(report: &LoadReport, (switch, switches): &(&str, usize), took: Duration, looks: &[Look]) -> String {
    let seconds = took.as_secs_f64();
    let latency = report.total.latency;
    let memory = |look: Option<&Look>| look.map_or(0, |look| look.clearway_kib);
    let most = looks.iter().map(|look| look.haproxys).max().unwrap_or_default();
    let former = looks.iter().map(|look| look.former).max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a number of switches")]
    let rate = *switches as f64 / seconds;
    format!(
        "| soak | |\n|---|---|\n| connections | {} in {seconds:.0} s |\n| lost | {} |\n| {switch} | {switches}, \
         {rate:.1} per second |\n| p50, p99, p99.9, worst | {:.1}, {:.1}, {:.1}, {:.1} ms |\n| Clearway's memory, \
         first and last | {} and {} KiB |\n| most HAProxy processes of one, most former Clearways at a time | {most}, {former} |\n",
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
