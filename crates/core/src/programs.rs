//! The programs of `program` sections: which is started, told and ended when.
//!
//! A program belongs to Clearway, not to a generation of HAProxy: there is one process per section, whatever becomes of
//! HAProxy meanwhile. What HAProxy's own master does was measured with 2.6.12 (docs/decisions/0027-programs.md):
//!
//! | what happens | `haproxy -W` | here |
//! |---|---|---|
//! | a start | starts each | the same, when the first generation serves |
//! | a reload | `SIGUSR1` to the running one, a new one beside it | `SIGUSR1`, and a new one when that has ended, at the latest after [`BESIDE`] |
//! | a reload, `no option start-on-reload` | `SIGUSR1`, none is started | the same, but only to one that catches the signal |
//! | a reload that is refused | nothing | nothing |
//! | one ends with status 0, or by `SIGTERM` or `SIGINT` | it stays ended until the next reload | the same |
//! | one dies otherwise | everything ends; what supervises HAProxy starts everything anew | HAProxy is still serving, the program is started again after a pause |
//! | the same, `master-worker no-exit-on-failure` | it stays ended until the next reload | the same |
//! | HAProxy crashes | everything ends | the programs go on |
//! | a stop | `SIGTERM` | `SIGTERM`, and `SIGKILL` after [`PATIENCE`] once HAProxy has ended |
//! | another Clearway serves (takeover) | | `SIGTERM`; if that one comes to nothing they are started again |
//!
//! A process that is told to end and does not is told again at the next reload, by `SIGTERM`, then by `SIGKILL`.

use std::collections::BTreeMap;
use std::time::Duration;

mod ending;
mod event;
mod report;
mod view;

pub use event::{
    OnDeath, OnReload, ProgramEnd, ProgramEvent, ProgramId, ProgramSignal, ProgramSpec, WhyServing,
};
pub use report::ProgramReport;
pub use view::ProgramView;

/// How long a new process waits for the end of its predecessor, which may still have its port.
pub const BESIDE: Duration = Duration::from_secs(1);

/// From `SIGTERM` to `SIGKILL`, when Clearway waits for nothing else.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The longest pause before a program that keeps dying is started again.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The shortest one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// One that ran so long did not die of its own start.
const PROVEN_AGE: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramAction {
    /// Start a process.
    Start(ProgramId, ProgramSpec),
    /// Send it a signal.
    Tell(ProgramId, ProgramSignal),
    /// Write a line into the log.
    Report(ProgramReport),
}

#[derive(Debug)]
struct ManagedProgram {
    section: ProgramSpec,
    state: ProgramState,
    /// Deaths in a row, each before [`PROVEN_AGE`].
    young_deaths: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgramState {
    Running {
        id: ProgramId,
        since: Duration,
    },
    /// It is started then, or when its predecessor has ended.
    Due {
        at: Duration,
        after: Option<ProgramId>,
    },
    /// It has ended by itself.
    Ended,
}

/// A process that is to end.
#[derive(Debug)]
struct Leaving {
    name: String,
    told: ProgramSignal,
    since: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgramsStage {
    Working,
    /// Another Clearway serves.
    Relieved,
    Stopping,
    /// The same, and nothing else is waited for. Then they are killed.
    Alone(Duration),
    /// They were killed. Then they are given up.
    Killed(Duration),
}

/// The state machine. It owns no process, only what is known about them.
#[derive(Debug)]
pub struct Programs {
    /// One per section, in the order of the files.
    known: Vec<ManagedProgram>,
    leaving: BTreeMap<ProgramId, Leaving>,
    pids: BTreeMap<ProgramId, u32>,
    next: u64,
    on_death: OnDeath,
    stage: ProgramsStage,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            known: Vec::new(),
            leaving: BTreeMap::new(),
            pids: BTreeMap::new(),
            next: 1,
            on_death: OnDeath::Restart,
            stage: ProgramsStage::Working,
        }
    }
}

impl Programs {
    /// Takes one event in and answers what is to be done, in this order.
    pub fn step(&mut self, event: ProgramEvent, now: Duration) -> Vec<ProgramAction> {
        let mut todo = Vec::new();
        match event {
            ProgramEvent::Serves { sections, cause, on_death } => {
                self.on_death = on_death;
                if matches!(self.stage, ProgramsStage::Working | ProgramsStage::Relieved) {
                    self.follow(sections, cause, now, &mut todo);
                }
            }
            ProgramEvent::Started(id, pid) => self.started(id, pid, &mut todo),
            ProgramEvent::NotStarted(id, why) => {
                todo.extend(self.name(id).map(|program| {
                    ProgramAction::Report(ProgramReport::NotStarted { program, error: why.clone() })
                }));
                self.ended(id, ProgramEnd::Failed(why), now, &mut todo);
            }
            ProgramEvent::Ended(id, how) => self.ended(id, how, now, &mut todo),
            ProgramEvent::Relieved if self.stage == ProgramsStage::Working => {
                self.stage = ProgramsStage::Relieved;
                self.end_all(now, &mut todo);
            }
            ProgramEvent::TakenBack if self.stage == ProgramsStage::Relieved => {
                self.stage = ProgramsStage::Working;
                // A program that had ended by itself stays so; the others are started again.
                for program in &mut self.known {
                    if let ProgramState::Due { at, .. } = &mut program.state {
                        *at =
                            now.saturating_add(if self.leaving.is_empty() { Duration::ZERO } else { BESIDE });
                    }
                }
            }
            ProgramEvent::Stop if !self.is_stopping() => {
                self.stage = ProgramsStage::Stopping;
                self.end_all(now, &mut todo);
                self.known.clear();
            }
            ProgramEvent::OnlyProgramsLeft if self.stage == ProgramsStage::Stopping => {
                let told = self.leaving.values().map(|one| one.since).max().unwrap_or(now);
                self.stage = ProgramsStage::Alone((told + PATIENCE).max(now));
            }
            ProgramEvent::Cut if matches!(self.stage, ProgramsStage::Stopping | ProgramsStage::Alone(_)) => {
                self.kill(now, &mut todo);
            }
            _ => {}
        }
        self.look_at_the_clock(now, &mut todo);
        todo
    }

    /// When something is due although nothing happens.
    pub fn due(&self) -> Option<Duration> {
        match self.stage {
            ProgramsStage::Working => self
                .known
                .iter()
                .filter_map(|one| if let ProgramState::Due { at, .. } = one.state { Some(at) } else { None })
                .min(),
            ProgramsStage::Relieved | ProgramsStage::Stopping => None,
            ProgramsStage::Alone(at) | ProgramsStage::Killed(at) => (!self.is_gone()).then_some(at),
        }
    }

    /// Whether no process is left that a stop would wait for.
    pub fn is_gone(&self) -> bool {
        self.leaving.is_empty() && self.running().next().is_none()
    }

    fn is_stopping(&self) -> bool {
        !matches!(self.stage, ProgramsStage::Working | ProgramsStage::Relieved)
    }

    fn running(&self) -> impl Iterator<Item = (ProgramId, &str)> {
        self.known.iter().filter_map(|one| match one.state {
            ProgramState::Running { id, .. } => Some((id, one.section.name.as_str())),
            _ => None,
        })
    }

    fn name(&self, id: ProgramId) -> Option<String> {
        let running = self.running().find(|(one, _)| *one == id).map(|(_, name)| name.to_owned());
        running.or_else(|| self.leaving.get(&id).map(|one| one.name.clone()))
    }

    /// Another set of sections is the right one now.
    fn follow(
        &mut self,
        sections: Vec<ProgramSpec>,
        cause: WhyServing,
        now: Duration,
        todo: &mut Vec<ProgramAction>,
    ) {
        if cause == WhyServing::Reload {
            self.press_those_that_stay(todo);
        }
        let mut former = std::mem::take(&mut self.known);
        let mut next = Vec::with_capacity(sections.len());
        for section in sections {
            let known = former.iter().position(|one| one.section.name == section.name);
            let known = known.map(|at| former.remove(at));
            next.push(match known {
                Some(program) if cause == WhyServing::Crash && program.section == section => program,
                Some(program) if cause == WhyServing::Reload && section.on_reload == OnReload::Keep => {
                    if let ProgramState::Running { id, .. } = program.state {
                        todo.push(ProgramAction::Tell(id, ProgramSignal::Reloaded));
                    }
                    ManagedProgram { section, ..program }
                }
                known => {
                    let after = known.and_then(|program| self.finish(&program, now, todo));
                    let at = after.map_or(now, |_| now + BESIDE);
                    ManagedProgram { section, state: ProgramState::Due { at, after }, young_deaths: 0 }
                }
            });
        }
        for program in former {
            self.finish(&program, now, todo);
        }
        self.known = next;
    }

    fn started(&mut self, id: ProgramId, pid: u32, todo: &mut Vec<ProgramAction>) {
        if let Some(program) = self.name(id) {
            self.pids.insert(id, pid);
            todo.push(ProgramAction::Report(ProgramReport::Started { program, pid }));
        }
    }

    fn ended(&mut self, id: ProgramId, how: ProgramEnd, now: Duration, todo: &mut Vec<ProgramAction>) {
        let pid = self.pids.remove(&id);
        if let Some(Leaving { name, .. }) = self.leaving.remove(&id) {
            let how = how.words();
            todo.extend(
                pid.map(|pid| ProgramAction::Report(ProgramReport::Left { program: name, pid, how })),
            );
            let waits = |one: &&mut ManagedProgram| matches!(one.state, ProgramState::Due { after: Some(other), .. } if other == id);
            for program in self.known.iter_mut().filter(waits) {
                program.state = ProgramState::Due { at: now, after: None };
            }
            return;
        }
        let on_death = self.on_death;
        let is_it = |one: &&mut ManagedProgram| matches!(one.state, ProgramState::Running { id: other, .. } if other == id);
        let Some(program) = self.known.iter_mut().find(is_it) else { return };
        let ProgramState::Running { since, .. } = program.state else { return };
        let again = match (&how, on_death) {
            (ProgramEnd::Failed(_), OnDeath::Restart) => Some(program.pause(now.saturating_sub(since))),
            _ => None,
        };
        program.state =
            again.map_or(ProgramState::Ended, |pause| ProgramState::Due { at: now + pause, after: None });
        let program = program.section.name.clone();
        let failed = matches!(how, ProgramEnd::Failed(_));
        todo.extend(pid.map(|pid| {
            ProgramAction::Report(ProgramReport::Died { program, pid, how: how.words(), failed, again })
        }));
    }

    fn look_at_the_clock(&mut self, now: Duration, todo: &mut Vec<ProgramAction>) {
        match self.stage {
            ProgramsStage::Working => self.start_what_is_due(now, todo),
            ProgramsStage::Alone(at) if at <= now && !self.is_gone() => self.kill(now, todo),
            ProgramsStage::Killed(at) if at <= now => self.leaving.clear(),
            _ => {}
        }
    }

    fn start_what_is_due(&mut self, now: Duration, todo: &mut Vec<ProgramAction>) {
        for program in &mut self.known {
            if matches!(program.state, ProgramState::Due { at, .. } if at <= now) {
                let id = ProgramId(self.next);
                self.next += 1;
                program.state = ProgramState::Running { id, since: now };
                todo.push(ProgramAction::Start(id, program.section.clone()));
            }
        }
    }
}

impl ManagedProgram {
    /// How long to wait before it is started again, and one more death counted: 100 ms, 200 ms, ...
    fn pause(&mut self, age: Duration) -> Duration {
        if age >= PROVEN_AGE {
            self.young_deaths = 0;
        }
        let pause = SHORTEST_PAUSE * 2_u32.saturating_pow(self.young_deaths.min(10));
        self.young_deaths = self.young_deaths.saturating_add(1);
        pause.min(LONGEST_PAUSE)
    }
}

impl ProgramEnd {
    fn words(self) -> String {
        match self {
            Self::Wanted(how) | Self::Failed(how) => how,
        }
    }
}

#[cfg(test)]
mod tests;
