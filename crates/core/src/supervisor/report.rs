//! The notices of the core: one per change of state.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::count::{self, Count};
use crate::exit::ExitCode;
use crate::names::Generation;
use crate::notice::{data, parts};
use crate::programs;
use crate::strategy::{Moved, by_means};

use super::asker::Asker;
use super::bound::Bound;
use super::carried::Carried;
use super::limits::MOST_YOUNG_DEATHS;
use super::proof::Proof;
use super::turn::Turn;
use crate::failure::Failure;

crate::notices! {
    /// A change of state, for the log.
    pub enum Report {
        /// A reload was requested.
        Info "reload.requested" ReloadAsked { by: Asker } => "reload asked for by {by}";
        /// It was requested to apply what is on disk (`clearway apply`).
        Info "apply.requested" ApplyAsked { by: Asker } => "apply asked for by {by}";
        /// What is on disk was applied at run time: the generation `serving` has it now, and no process was started.
        /// `generation` is the number under which it was read.
        Info "apply.done" Applied { generation: Generation, serving: Generation, tally: String, took: Duration }
            => "applied at run time to generation {serving}: {tally}, after {} ms", took.as_millis();
        /// What is on disk is what the generation `serving` has already.
        Info "apply.nothing" NothingToApply { generation: Generation, serving: Generation }
            => "nothing to apply: generation {serving} has what is on disk already";
        /// What is on disk cannot be applied at run time, so a generation is started.
        Info "apply.reload" NotAtRunTime { generation: Generation, reasons: Vec<String> }
            => "not applied at run time, so generation {generation} is started: {}", reasons.join("; ");
        /// Applying broke off: the generation `serving` may have half of it, and another one is started in its place.
        Warn "apply.broken" ApplyBroken { generation: Generation, serving: Generation, steps_done: usize, why: String }
            => "applying to generation {serving} broke off{}, so generation {generation} is started: {why}",
                after_steps(*steps_done);
        /// Half of a change was applied to the generation `serving`, and the reload that was to put that right did not take:
        /// another one is started.
        Warn "apply.mended" Mending { serving: Generation }
            => "generation {serving} may have half of a change: another one is started in its place";
        /// A reload was requested while another one is under way.
        Info "reload.queued" ReloadQueued { by: Asker }
            => "reload asked for by {by}: one more follows the one that is under way";
        /// A reload was requested during a stop.
        Info "reload.ignored" ReloadIgnored { by: Asker }
            => "reload asked for by {by}: not any more, it is stopping";
        /// A rollback was requested, to what `back_to` was started from (a warning: nothing is known that served before).
        Info or Warn if back_to.is_none(), "rollback.requested" RollbackAsked { by: Asker, back_to: Option<Generation> }
            => "rollback asked for by {by}: {}", rollback_to(*back_to);
        /// A rollback took: what `back_to` was started from serves again, and no longer what `from` was started from.
        Warn "rollback.done" RolledBack { generation: Generation, back_to: Generation, from: Generation }
            => "generation {generation} serves what generation {back_to} was started from, and no longer that of generation \
                {from}; a reload takes what is on disk";
        /// `clearway reload --dry-run` begins.
        Info "trial.started" TrialAsked { generation: Generation }
            => "a reload is tried: generation {generation} is started, and will not serve";
        /// A reload would take.
        Info "trial.passed" Tried { generation: Generation }
            => "generation {generation} was tried and would serve; it ends, and nothing has changed";
        /// A reload would fail.
        Warn "trial.failed" TrialRefused { generation: Generation, failure: Failure }
            => "generation {generation} was tried and would not serve: {}", failure.message;
        /// HAProxy was started.
        Info "generation.started" Started { generation: Generation, pid: u32 }
            => "generation {generation} started, pid {pid}";
        /// A generation was given the state of the servers, and the entries of stick tables (a warning: not all of it).
        Info or Warn if !carried.left.is_empty(), "generation.carried" Carried { generation: Generation, carried: Carried }
            => "servers of generation {generation}: {carried}";
        /// A generation serves (a warning: it listens nowhere). `took` counts from the beginning of the attempt.
        Info or Warn if proof.listens_nowhere(), "generation.serving"
        Serving { generation: Generation, proof: Proof, moved: Vec<Moved>, took: Duration }
            => "generation {generation} serves, worker {}: {}", proof.worker, listening(proof, moved, *took);
        /// A start, a reload or a restart failed. `serving` is the generation that is still serving.
        Error "generation.failed" Refused { generation: Generation, failure: Failure, serving: Option<Generation> }
            => "generation {generation} failed: {}{}", failure.message, still(*serving);
        /// A start failed and is tried once more in another way.
        Warn "generation.retried" Again { generation: Generation, failure: Failure, next: Generation }
            => "generation {generation} is started once more, as generation {next}: {}", failure.message;
        /// A former generation finishes its sessions.
        Info "generation.draining" Draining { generation: Generation }
            => "generation {generation} finishes its sessions";
        /// A former generation has ended.
        Info "generation.drained" Drained { generation: Generation, took: Duration }
            => "generation {generation} has ended after draining for {} ms", took.as_millis();
        /// A former generation ended with another exit code than 0.
        Warn "generation.drained-badly" DrainedBadly { generation: Generation, how: String }
            => "generation {generation} ended while draining: {how}";
        /// The serving generation ended although it was not told to.
        Error "generation.crashed" Crashed { generation: Generation, how: String, next: Next }
            => "generation {generation} ended by itself ({how}); {next}";
        /// Too many generations ended young, and none has ever lived for a second.
        Error "generation.given-up" GivenUp { generation: Generation, failure: Failure }
            => "generation {generation} did not live: {}", failure.message;
        /// HAProxy's master was signalled instead of Clearway, and has replaced its worker.
        Warn "generation.worker-replaced" Replaced { generation: Generation, worker: u32 }
            => "the master of generation {generation} was signalled instead of Clearway and has started another worker, \
                pid {worker}";
        /// A former generation is over the budget, and will be cut after `after`. No session is younger than `age`.
        Warn "generation.over-budget"
        AboutToCut { generation: Generation, sessions: Option<u64>, age: Duration, over: Over, after: Duration }
            => "generation {generation} has {}, none younger than {} s, and {over}: {}",
                count::sessions(*sessions), age.as_secs(), cut_when(*after);
        /// `clearway end`: a generation that drains is ended.
        Warn "generation.end-requested" EndAsked { generation: Generation }
            => "generation {generation} is ended by `clearway end`: what is left of it is cut";
        /// A stop was requested. `generations` drain, for at most `limit`.
        Info "stop.requested" Stopping { by: Asker, generations: usize, limit: Duration }
            => "stop asked for by {by}{}", waiting(*generations, *limit);
        /// A stop was requested that begins after `delay` (`CLEARWAY_STOP_DELAY`).
        Info "stop.announced" StopAnnounced { by: Asker, delay: Duration }
            => "stop asked for by {by}: not ready from now on, and it begins in {} s", delay.as_secs_f32();
        /// A stop was requested once more, which changes nothing.
        Info "stop.repeated" StopUnderWay { by: Asker } => "stop asked for by {by}: one is under way already";
        /// What a stop still waits for: how many sessions, since when, and when they are cut.
        Info "stop.waiting" Left { sessions: Option<u64>, after: Duration, cut_in: Duration }
            => "{} left after {} s; what is left in {} s is cut",
                count::sessions(*sessions), after.as_secs_f32().round(), cut_in.as_secs_f32().round();
        /// Sessions are cut: a second stop was requested, or the drain timeout is over.
        Warn "stop.cutting" Cutting { why: Cut, generations: Vec<Generation> }
            => "{why}: what is left of generation {} is cut", numbers(generations);
        /// Clearway leaves (an error: with another exit code than 0, or 130 after `SIGINT`).
        Info or Error if !exit_code.is_done(), "clearway.leaving" Leaving { exit_code: ExitCode }
            => "{}", leaving(*exit_code);
        use Takeover(Turn);
        use Program(programs::ProgramReport);
    }
}

/// What follows a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Next {
    /// A start.
    #[strum(serialize = "start")]
    In {
        /// After this pause.
        pause: Duration,
        /// With the configuration of this generation, because the one that has died cannot be trusted.
        back_to: Option<Generation>,
    },
    /// A reload was under way: its generation takes over when it is ready.
    Starting(Generation),
    /// Nothing: Clearway leaves.
    Leaving,
}

/// What an old generation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Over {
    /// More drain than may.
    Number(usize),
    /// It has been draining for too long.
    Age(Duration),
    /// It has outlived more reloads than `mworker-max-reloads` says.
    Reloads(u32),
    /// Nothing: it is ended by hand.
    ByHand,
    /// Together they have more bytes than they may.
    Memory(u64),
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(most) => write!(f, "more than {most} old generations are draining"),
            Self::Reloads(most) => {
                write!(f, "has outlived more than {} (`mworker-max-reloads`)", Count(*most, "reload"))
            }
            Self::ByHand => f.write_str("is ended by hand"),
            Self::Age(limit) => write!(f, "may drain for {} s", limit.as_secs()),
            Self::Memory(limit) => write!(f, "old generations have more than {} MiB of memory", limit >> 20),
        }
    }
}

/// Why sessions are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Cut {
    /// A second stop.
    Asked(Asker),
    /// The drain timeout is over.
    TimedOut(Duration),
    /// HAProxy did not follow `SIGTERM`.
    Ignored,
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self != Self::Leaving {
            f.write_str("its listening sockets stay open, ")?;
        }
        match self {
            Self::Leaving => write!(
                f,
                "it was the {MOST_YOUNG_DEATHS}th to end within a second, and none has ever lived longer: Clearway leaves"
            ),
            Self::Starting(next) => write!(f, "generation {next} is already starting"),
            Self::In { pause, back_to } => {
                match *pause {
                    Duration::ZERO => f.write_str("the next start follows at once"),
                    pause => write!(f, "the next start follows in {} ms", pause.as_millis()),
                }?;
                match back_to {
                    Some(former) => {
                        write!(f, ", with the configuration of generation {former}, which served before")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(by) => write!(f, "a second stop was asked for by {by}"),
            Self::TimedOut(limit) => write!(f, "the drain timeout of {} s is over", limit.as_secs_f32()),
            Self::Ignored => f.write_str("HAProxy did not end on SIGTERM"),
        }
    }
}

data! {
    Over: "text" as |over| <&str>::from(over),
    Cut: "text" as |why| <&str>::from(why),
    ExitCode: "number" as |code| code.number(),
    Moved: "object" as |moved| serde_json::to_value(moved).unwrap_or_default(),
}

parts! {
    Next as next {
        next: String = <&str>::from(next).to_owned(),
        pause: Option<Duration> = match next {
            Next::In { pause, .. } => Some(*pause),
            _ => None,
        },
        back_to: Option<Generation> = match next {
            Next::In { back_to, .. } => *back_to,
            _ => None,
        },
    }
}

/// How many sockets a generation has, and what became of the clients of others.
fn listening(proof: &Proof, moved: &[Moved], took: Duration) -> String {
    let took = took.as_millis();
    let line = match (proof.adopted.len(), proof.adopted.len() + proof.fresh.len()) {
        (0, 0) => format!("it listens nowhere, after {took} ms"),
        (0, total) => format!("{}, after {took} ms", Count(total, "socket")),
        (adopted, total) => format!("{adopted} of {} taken over, after {took} ms", Count(total, "socket")),
    };
    line + &arrivals(proof, moved)
}

/// What became of sockets that were not taken over: their clients were moved, or there are none to be any more.
fn arrivals(proof: &Proof, moved: &[Moved]) -> String {
    let by: String =
        by_means(moved).iter().map(|(means, all)| list(&format!("; {}: ", means.heading()), all)).collect();
    let moved: HashSet<&String> = moved.iter().map(|one| &one.address).collect();
    let Bound { mut gone, mut twice, .. } = Bound::of(&proof.fresh, &proof.unclaimed);
    gone.retain(|address| !moved.contains(address));
    twice.retain(|address| !moved.contains(address));
    by + &list("; no longer used: ", &gone) + &list("; bound a second time: ", &twice)
}

/// The items after a heading, or nothing for none.
fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!("{heading}{}", items.join(", ")) }
}

fn after_steps(steps: usize) -> String {
    match steps {
        0 => String::new(),
        some => format!(" after {}", Count(some, "step")),
    }
}

fn rollback_to(before: Option<Generation>) -> String {
    match before {
        Some(before) => format!("what generation {before} was started from is to serve again"),
        None => "nothing is known here that served before what serves".to_owned(),
    }
}

fn still(serving: Option<Generation>) -> String {
    serving.map_or_else(String::new, |serving| format!("; generation {serving} is still serving"))
}

fn cut_when(after: Duration) -> String {
    match after.as_secs() {
        0 => "it is cut now".to_owned(),
        seconds => format!("it is cut in {seconds} s"),
    }
}

fn waiting(generations: usize, limit: Duration) -> String {
    match generations {
        0 => String::new(),
        some => {
            let (some, limit) = (Count(some, "generation"), limit.as_secs_f32());
            format!(": waiting for the sessions of {some}, for at most {limit} s")
        }
    }
}

fn numbers(generations: &[Generation]) -> String {
    generations.iter().map(Generation::to_string).collect::<Vec<_>>().join(", ")
}

fn leaving(code: ExitCode) -> String {
    match code {
        code if code.is_done() => "stopped, with nothing left behind".to_owned(),
        code => format!("exit code {}: {}", code.number(), code.meaning()),
    }
}
