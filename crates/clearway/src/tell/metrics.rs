//! Metrics, for Prometheus and what reads the same formats.
//!
//! ```text
//!   what is carried out --> Metrics: Counted -----------------\
//!                                                              +--> MetricsSnapshot --> text
//!   the rooms, at the time of asking (`View`) --> Gauges -----/
//! ```
//!
//! Each metric is a row of [`table`]; docs/reference/metrics.md is made of it. What is counted has no label with values that come from
//! outside (a server, a client, a file), so the memory is the same after years; a gauge may name the servers of the files that serve.

mod cost;
pub mod joined;
pub mod series;
pub mod table;
pub mod text;

use std::net::SocketAddr;
use std::time::SystemTime;

use clearway_core::cost::Cost;
use clearway_core::path::CanaryVerdict;
use clearway_core::strategy::by_means;
use clearway_core::supervisor::{
    Action, Applied, Asker, AttemptResult, Attempted, Cause, LifePhase, Next, Report, Source, Steps, Turn,
};

use cost::CountedCost;
use series::{Durations, Series};
use text::{MetricsFormat, MetricsText};

/// What was counted.
#[derive(Clone, Debug)]
pub struct Counted {
    began: SystemTime,
    /// Whether what was read from disk last serves or has served, and was not given up.
    is_loaded: bool,
    /// When something was loaded last.
    loaded: Option<SystemTime>,
    reloads: Series<u64>,
    applies: Series<u64>,
    applied: Series<Durations>,
    took: Series<Durations>,
    steps: Series<Durations>,
    restarts: Series<u64>,
    takeovers: Series<u64>,
    cut: Series<u64>,
    moved: Series<u64>,
    cost: CountedCost,
}

impl Counted {
    fn new() -> Self {
        Self {
            began: SystemTime::now(),
            is_loaded: false,
            loaded: None,
            reloads: Series::new(&table::RELOADS),
            applies: Series::new(&table::APPLIES),
            applied: Series::new(&table::APPLY_SECONDS),
            took: Series::new(&table::RELOAD_SECONDS),
            steps: Series::new(&table::RELOAD_STEP_SECONDS),
            restarts: Series::new(&table::RESTARTS),
            takeovers: Series::new(&table::TAKEOVERS),
            cut: Series::new(&table::SESSIONS_CUT),
            moved: Series::new(&table::SOCKETS_MOVED),
            cost: CountedCost::default(),
        }
    }

    /// How long a reload took, and each step of it that there was.
    fn observe(&mut self, attempted: &Attempted) {
        self.took.observe(&[], attempted.took);
        let Steps { prepare, prove, carry, settle, switch, plan: _, apply: _, end: _ } = attempted.steps;
        for (step, took) in
            [("prepare", prepare), ("prove", prove), ("carry", carry), ("settle", settle), ("switch", switch)]
        {
            if !took.is_zero() {
                self.steps.observe(&[step], took);
            }
        }
    }

    /// Whether what was read from disk last was loaded. If not, all is well again when the files are those that serve.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }
}

/// Counts what passes by.
#[derive(Debug)]
pub struct Metrics {
    counted: Counted,
    /// Where the configuration of the last attempt comes from.
    source: Source,
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self { counted: Counted::new(), source: Source::Disk }
    }

    /// What was counted so far.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// A generation was ended that had so many sessions; unset: it did not say.
    pub fn cut(&mut self, sessions: Option<u64>) {
        self.counted.cut.add(&[], sessions.unwrap_or_default());
    }

    /// What a reload, a crash or a takeover has cost, with the second after.
    pub fn note(&mut self, cost: &Cost) {
        self.counted.cost.add(cost);
    }

    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        match action {
            Action::Prepare(_, source) => self.source = *source,
            Action::Plan(_) => self.source = Source::Disk,
            Action::Attempted(attempted) => self.attempted(attempted),
            // The configuration that was loaded last serves no more, and is not trusted.
            Action::Report(Report::Crashed { next: Next::In { back_to: Some(_), .. }, .. }) => {
                self.counted.is_loaded = false;
            }
            Action::Report(Report::Takeover(turn)) => self.hear_turn(turn),
            Action::Supersede => self.took_over("taken"),
            _ => {}
        }
    }

    fn attempted(&mut self, attempted: &Attempted) {
        let took = attempted.result == AttemptResult::Took;
        let is_loaded = took || attempted.result == AttemptResult::Applied;
        let counted = &mut self.counted;
        if self.source == Source::Disk {
            counted.is_loaded = is_loaded;
            counted.loaded = if is_loaded { Some(SystemTime::now()) } else { counted.loaded };
        } else if took && attempted.cause == Cause::Rollback {
            // What was read from disk last is given up.
            counted.is_loaded = false;
        }
        if took {
            for (means, sockets) in by_means(&attempted.moved) {
                counted.moved.add(&[&means.to_string()], u64::try_from(sockets.len()).unwrap_or(u64::MAX));
            }
        }
        if let (Some(by), Some(applied)) = (attempted.by.first(), &attempted.applied) {
            counted.applies.add(&[came_to(applied), trigger(*by)], 1);
            if matches!(applied, Applied::AtRunTime { .. }) {
                counted.applied.observe(&[], attempted.took);
            }
        }
        if attempted.result == AttemptResult::Applied {
            return;
        }
        if let Some(by) = attempted.by.first() {
            counted.reloads.add(&[&attempted.result.to_string(), trigger(*by)], 1);
            if took {
                counted.observe(attempted);
            }
        } else if took && attempted.cause == Cause::Crash {
            counted.restarts.add(&[], 1);
        }
    }

    fn hear_turn(&mut self, turn: &Turn) {
        match turn {
            Turn::Superseded { .. } => self.took_over("given"),
            Turn::NotTakenOver { .. } => self.took_over("failed"),
            Turn::SuccessorGone { .. } => self.took_over("undone"),
            Turn::PredecessorGone => self.took_over("taken"),
            Turn::Withdrawn { .. } | Turn::GivingBack => self.took_over("given-back"),
            Turn::HandingOver { .. } | Turn::TakenOver { .. } => {}
        }
    }

    fn took_over(&mut self, result: &'static str) {
        self.counted.takeovers.add(&[result], 1);
    }
}

/// What a plan has come to.
fn came_to(applied: &Applied) -> &'static str {
    match applied {
        Applied::AtRunTime { .. } => "at-run-time",
        Applied::Nothing => "nothing",
        Applied::Not { .. } => "reload",
        Applied::Broken { .. } => "broken",
    }
}

/// The kind of what has asked for a reload: signals are one.
fn trigger(by: Asker) -> &'static str {
    match by {
        Asker::Signal(_) => "signal",
        Asker::Admin(_) | Asker::Drain => "admin-socket",
        Asker::Apply(_) => "apply",
        Asker::Rollback(_) => "rollback",
        Asker::Watch => "watch",
        Asker::Master => "haproxy-master",
    }
}

/// A generation with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationGauge {
    /// What it is about.
    pub state: LifePhase,
    /// How many sessions it has; unset if it did not say.
    pub sessions: Option<u64>,
    /// How many bytes its processes have resident; unset if that could not be read.
    pub memory: Option<u64>,
}

impl GenerationGauge {
    /// Whether it should have said how many sessions it has, and did not.
    fn is_silent(&self) -> bool {
        self.sessions.is_none() && matches!(self.state, LifePhase::Serving | LifePhase::Draining)
    }
}

/// What is read when it is asked.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Whether new clients should be sent here.
    pub is_ready: bool,
    /// Whether the files on disk are those that serve.
    pub is_on_disk: bool,
    /// Each generation with a process.
    pub generations: Vec<GenerationGauge>,
    /// For how many seconds the oldest has been draining.
    pub oldest: u64,
    /// How many generations have crashed.
    pub crashes: u32,
    /// How many sockets are in custody.
    pub sockets: usize,
    /// How many connections wait in them; unset if the kernel did not say.
    pub waiting: Option<u64>,
    /// How many requests have waited at the gate.
    pub held: u64,
    /// How many the gate has dropped.
    pub dropped: u64,
    /// What the canary says of each server.
    pub verdicts: Vec<(SocketAddr, CanaryVerdict)>,
    /// How often the plumbing was repaired.
    pub repairs: u64,
}

/// All metrics at one time.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    /// What was counted.
    pub counted: Counted,
    /// What was read.
    pub gauges: Gauges,
    /// What HAProxy counts, if that was asked for, as it is to be written.
    pub haproxy: Option<String>,
}

impl MetricsSnapshot {
    /// As a reader wants it.
    pub fn text(&self, format: MetricsFormat) -> String {
        let Self { counted, gauges, haproxy } = self;
        let mut text = MetricsText::new(format);
        text.one(&table::READY, u8::from(gauges.is_ready));
        text.one(&table::LAST_RELOAD_SUCCESSFUL, u8::from(counted.is_loaded || gauges.is_on_disk));
        text.one(&table::LAST_RELOAD_SUCCESS, counted.loaded.map_or(0.0, seconds));
        text.series(&counted.reloads);
        text.series(&counted.applies);
        text.durations(&counted.applied);
        text.durations(&counted.took);
        text.durations(&counted.steps);
        write_generations(&mut text, &gauges.generations);
        text.one(&table::OLDEST, gauges.oldest);
        text.one(&table::CRASHES, gauges.crashes);
        text.series(&counted.restarts);
        text.series(&counted.takeovers);
        text.series(&counted.cut);
        text.series(&counted.moved);
        text.one(&table::HELD, gauges.held);
        text.one(&table::GATE_DROPPED, gauges.dropped);
        text.rows(&table::WAITING, gauges.waiting.map(|waiting| (Vec::new(), waiting)));
        counted.cost.write(&mut text);
        text.one(&table::LISTENING_SOCKETS, gauges.sockets);
        write_verdicts(&mut text, &gauges.verdicts);
        text.one(&table::PLUMBING_REPAIRS, gauges.repairs);
        text.labelled(&table::BUILD_INFO, &build(env!("CLEARWAY_VERSION")), 1);
        text.one(&table::START_TIME, seconds(counted.began));
        text.add(haproxy.as_deref().unwrap_or_default());
        text.finish()
    }
}

fn write_generations(text: &mut MetricsText, generations: &[GenerationGauge]) {
    let each = |metric, number: fn(&GenerationGauge) -> Option<u64>| {
        let words = generations.iter().filter_map(|one| Some((one.state.to_string(), number(one)?)));
        Series::of_words(metric, words)
    };
    text.series(&each(&table::GENERATIONS, |_| Some(1)));
    text.series(&each(&table::SESSIONS, |one| one.sessions));
    text.series(&each(&table::MEMORY, |one| one.memory));
    text.one(&table::SILENT, generations.iter().filter(|one| one.is_silent()).count());
}

fn write_verdicts(text: &mut MetricsText, verdicts: &[(SocketAddr, CanaryVerdict)]) {
    let words = verdicts.iter().map(|(_, verdict)| (verdict.to_string(), 1));
    text.series(&Series::of_words(&table::CANARY_SERVERS, words));
    let named: Vec<_> =
        verdicts.iter().map(|(server, verdict)| [server.to_string(), verdict.to_string()]).collect();
    let rows = named.iter().map(|labels| (labels.iter().map(String::as_str).collect(), 1));
    text.rows(&table::CANARY_SERVER, rows);
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Version and commit: a release says `1.2.0 (0123456789ab 2026-11-30)`.
fn build(version: &str) -> [&str; 2] {
    let (version, made_of) = version.split_once(" (").unwrap_or((version, ""));
    let is_commit = |word: &&str| word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    [version, made_of.split([' ', ')']).find(is_commit).unwrap_or("unknown")]
}

#[cfg(test)]
mod tests;
