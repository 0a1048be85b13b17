//! The log lines: one per change of state, and nothing else is logged at `info`.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::count::{self, Count};
use crate::exit::ExitCode;
use crate::names::Generation;
use crate::programs;
use crate::strategy::{Moved, by_means};

use super::MOST_YOUNG_DEATHS;
use super::bound::Bound;
use super::carried::Carried;
use super::event::{Asker, Proof};
use super::turn::Turn;
use crate::failure::Failure;

/// How urgent a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something was lost or failed.
    Error,
    /// Somebody should look.
    Warn,
    /// A change of state.
    Info,
}

/// A change of state, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A reload was asked for.
    ReloadAsked(Asker),
    /// A reload was asked for while another one runs: one more follows it.
    ReloadQueued(Asker),
    /// A reload was asked for during a stop.
    ReloadIgnored(Asker),
    /// Whether a reload would take is to be tried.
    TrialAsked(Generation),
    /// It would.
    Tried(Generation),
    /// It would not.
    TrialRefused {
        /// Which generation was tried.
        generation: Generation,
        /// Why.
        failure: Failure,
    },
    /// HAProxy was started.
    Started(Generation, u32),
    /// It was given the state of the servers, or not.
    Carried(Generation, Carried),
    /// A generation serves.
    Serving {
        /// Which.
        generation: Generation,
        /// What it proved.
        proof: Proof,
        /// What was done for sockets that it did not take over.
        moved: Vec<Moved>,
        /// From the beginning of the attempt to the commit.
        took: Duration,
    },
    /// A start, a reload or a restart failed.
    Refused {
        /// Which generation.
        generation: Generation,
        /// Why.
        failure: Failure,
        /// The generation that is still serving, if any.
        serving: Option<Generation>,
    },
    /// A start was refused that is tried once more in another way.
    Again {
        /// Which generation.
        generation: Generation,
        /// Why.
        failure: Failure,
        /// Which is started instead.
        next: Generation,
    },
    /// A former generation finishes its sessions.
    Draining(Generation),
    /// A former generation is gone.
    Drained(Generation, Duration),
    /// The serving generation ended although nobody asked it to.
    Crashed {
        /// Which.
        generation: Generation,
        /// Exit code or signal, in words.
        how: String,
        /// Who accepts next.
        next: Next,
    },
    /// Too many died young, and none has ever lived for a second: why the last one did.
    GivenUp {
        /// Which was the last.
        generation: Generation,
        /// Why it ended.
        failure: Failure,
    },
    /// The master of a generation has replaced its worker by this one.
    Replaced(Generation, u32),
    /// A draining generation ended with other than code 0.
    DrainedBadly(Generation, String),
    /// An old generation is over the budget.
    AboutToCut {
        /// Which.
        generation: Generation,
        /// How many sessions it has, if it said so.
        sessions: Option<u64>,
        /// How long it has been draining: no session is younger.
        age: Duration,
        /// Over what.
        over: Over,
        /// When it will be cut.
        after: Duration,
    },
    /// `clearway end`: a generation that drains is ended.
    EndAsked(Generation),
    /// A stop was asked for.
    Stopping {
        /// By whom.
        by: Asker,
        /// How many generations have to drain.
        generations: usize,
        /// How long they may take.
        limit: Duration,
    },
    /// The same, for later: probes see it coming.
    StopAnnounced {
        /// By whom.
        by: Asker,
        /// How long everything goes on.
        delay: Duration,
    },
    /// A stop was asked for once more, which changes nothing.
    StopUnderWay(Asker),
    /// What a stop still waits for.
    Left {
        /// How many sessions; unset if not every generation said so.
        sessions: Option<u64>,
        /// How long it has waited.
        after: Duration,
        /// When they are cut.
        cut_in: Duration,
    },
    /// Sessions are cut: asked for a second time, or the drain timeout is over.
    Cutting {
        /// Why.
        why: Cut,
        /// Which generations are ended.
        generations: Vec<Generation>,
    },
    /// Another Clearway of this name is involved.
    Takeover(Turn),
    /// A program was started or has ended.
    Program(programs::ProgramReport),
    /// Clearway leaves.
    Leaving(ExitCode),
}

/// What follows a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A start.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A second stop.
    Asked(Asker),
    /// The drain timeout is over.
    TimedOut(Duration),
    /// HAProxy did not follow `SIGTERM`.
    Ignored,
}

impl Report {
    fn of_a_trial(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrialAsked(generation) => {
                write!(f, "a reload is tried: generation {generation} is started, and will not serve")
            }
            Self::Tried(generation) => {
                write!(
                    f,
                    "generation {generation} was tried and would serve; it ends, and nothing has changed"
                )
            }
            Self::TrialRefused { generation, failure } => {
                write!(f, "generation {generation} was tried and would not serve: {}", failure.message)
            }
            _ => Ok(()),
        }
    }

    /// How urgent the line is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Refused { .. } | Self::Crashed { .. } | Self::GivenUp { .. } => Severity::Error,
            Self::Takeover(turn) => turn.severity(),
            Self::Program(report) => report.severity(),
            Self::Again { .. }
            | Self::Cutting { .. }
            | Self::AboutToCut { .. }
            | Self::EndAsked(_)
            | Self::DrainedBadly(..)
            | Self::TrialRefused { .. }
            | Self::Replaced(..) => Severity::Warn,
            Self::Serving { proof, .. } if proof.listens_nowhere() => Severity::Warn,
            Self::Carried(_, carried) if !carried.left.is_empty() => Severity::Warn,
            Self::Leaving(code) if *code != ExitCode::Done => Severity::Error,
            _ => Severity::Info,
        }
    }

    /// The generation that the line is about, for the JSON log.
    pub fn generation(&self) -> Option<Generation> {
        match self {
            Self::Started(generation, _)
            | Self::Carried(generation, _)
            | Self::TrialAsked(generation)
            | Self::Tried(generation)
            | Self::TrialRefused { generation, .. }
            | Self::Serving { generation, .. }
            | Self::Refused { generation, .. }
            | Self::Draining(generation)
            | Self::Drained(generation, _)
            | Self::DrainedBadly(generation, _)
            | Self::Replaced(generation, _)
            | Self::EndAsked(generation)
            | Self::AboutToCut { generation, .. }
            | Self::Crashed { generation, .. }
            | Self::GivenUp { generation, .. }
            | Self::Again { generation, .. } => Some(*generation),
            _ => None,
        }
    }

    /// What would help. HAProxy's own words are not repeated here: they went to standard error as it
    /// said them.
    pub fn hints(&self) -> &[String] {
        match self {
            Self::Refused { failure, .. }
            | Self::TrialRefused { failure, .. }
            | Self::GivenUp { failure, .. }
            | Self::Again { failure, .. } => &failure.hints,
            _ => &[],
        }
    }
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReloadAsked(by) => write!(f, "reload asked for by {by}"),
            Self::ReloadQueued(by) => {
                write!(f, "reload asked for by {by}: one more follows the one that is under way")
            }
            Self::ReloadIgnored(by) => write!(f, "reload asked for by {by}: not any more, it is stopping"),
            Self::TrialAsked(_) | Self::Tried(_) | Self::TrialRefused { .. } => self.of_a_trial(f),
            Self::Started(generation, pid) => write!(f, "generation {generation} started, pid {pid}"),
            Self::Carried(generation, carried) => write!(f, "servers of generation {generation}: {carried}"),
            Self::Serving { generation, proof, moved, took } => {
                let took = took.as_millis();
                write!(f, "generation {generation} serves, worker {}: ", proof.worker)?;
                match (proof.adopted.len(), proof.adopted.len() + proof.fresh.len()) {
                    (0, 0) => write!(f, "it listens nowhere, after {took} ms")?,
                    (0, total) => write!(f, "{}, after {took} ms", Count(total, "socket"))?,
                    (adopted, total) => {
                        write!(f, "{adopted} of {} taken over, after {took} ms", Count(total, "socket"))?;
                    }
                }
                arrivals(f, proof, moved)
            }
            Self::Refused { generation, failure, serving } => {
                write!(f, "generation {generation} failed: {}", failure.message)?;
                match serving {
                    Some(serving) => write!(f, "; generation {serving} is still serving"),
                    None => Ok(()),
                }
            }
            Self::Draining(generation) => write!(f, "generation {generation} finishes its sessions"),
            Self::Drained(generation, took) => {
                write!(f, "generation {generation} has ended after draining for {} ms", took.as_millis())
            }
            Self::Replaced(generation, worker) => write!(
                f,
                "the master of generation {generation} was signalled instead of Clearway and has started another worker, \
                 pid {worker}"
            ),
            Self::DrainedBadly(generation, how) => {
                write!(f, "generation {generation} ended while draining: {how}")
            }
            Self::Crashed { generation, how, next } => {
                write!(f, "generation {generation} ended by itself ({how}); {next}")
            }
            Self::Again { generation, failure, next } => {
                write!(
                    f,
                    "generation {generation} is started once more, as generation {next}: {}",
                    failure.message
                )
            }
            Self::GivenUp { generation, failure } => {
                write!(f, "generation {generation} did not live: {}", failure.message)
            }
            Self::AboutToCut { generation, sessions, age, over, after } => {
                let age = age.as_secs();
                write!(
                    f,
                    "generation {generation} has {}, none younger than {age} s, and {over}",
                    count::sessions(*sessions)
                )?;
                match after.as_secs() {
                    0 => f.write_str(": it is cut now"),
                    seconds => write!(f, ": it is cut in {seconds} s"),
                }
            }
            Self::EndAsked(generation) => {
                write!(f, "generation {generation} is ended by `clearway end`: what is left of it is cut")
            }
            Self::StopAnnounced { by, delay } => {
                write!(f, "stop asked for by {by}: not ready from now on, and it begins in ")?;
                write!(f, "{} s", delay.as_secs_f32())
            }
            Self::StopUnderWay(by) => write!(f, "stop asked for by {by}: one is under way already"),
            Self::Stopping { by, generations: 0, .. } => write!(f, "stop asked for by {by}"),
            Self::Stopping { by, generations, limit } => {
                let generations = Count(*generations, "generation");
                write!(f, "stop asked for by {by}: waiting for the sessions of {generations}, ")?;
                write!(f, "for at most {} s", limit.as_secs_f32())
            }
            Self::Left { sessions, after, cut_in } => {
                let sessions = count::sessions(*sessions);
                let (after, cut_in) = (after.as_secs_f32().round(), cut_in.as_secs_f32().round());
                write!(f, "{sessions} left after {after} s; what is left in {cut_in} s is cut")
            }
            Self::Cutting { why, generations } => {
                match why {
                    Cut::Asked(by) => write!(f, "a second stop was asked for by {by}: ")?,
                    Cut::TimedOut(limit) => {
                        write!(f, "the drain timeout of {} s is over: ", limit.as_secs_f32())?;
                    }
                    Cut::Ignored => write!(f, "HAProxy did not end on SIGTERM: ")?,
                }
                let names: Vec<String> = generations.iter().map(Generation::to_string).collect();
                write!(f, "what is left of generation {} is cut", names.join(", "))
            }
            Self::Takeover(turn) => turn.fmt(f),
            Self::Program(report) => report.fmt(f),
            Self::Leaving(ExitCode::Done) => f.write_str("stopped, with nothing left behind"),
            Self::Leaving(code) => write!(f, "exit code {}: {}", code.number(), code.meaning()),
        }
    }
}

/// What became of sockets that were not taken over: their clients were moved, or there are none to be any more.
fn arrivals(f: &mut fmt::Formatter<'_>, proof: &Proof, moved: &[Moved]) -> fmt::Result {
    for (means, addresses) in &by_means(moved) {
        list(f, &format!("; {}: ", means.heading()), addresses)?;
    }
    let moved: HashSet<&String> = moved.iter().map(|one| &one.address).collect();
    let Bound { mut gone, mut twice, .. } = Bound::of(&proof.fresh, &proof.unclaimed);
    gone.retain(|address| !moved.contains(address));
    twice.retain(|address| !moved.contains(address));
    list(f, "; no longer used: ", &gone)?;
    list(f, "; bound a second time: ", &twice)
}

/// The items after a heading, or nothing for none.
fn list(f: &mut fmt::Formatter<'_>, heading: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() { Ok(()) } else { write!(f, "{heading}{}", items.join(", ")) }
}
