//! Changes of the files that are made in the HAProxy that serves, without a new process (docs/decisions/0047-apply.md).
//!
//! ```text
//!   core                 loop (fleet, shell)           a thread here
//!    |- Plan(n) -------> the files are read ---------> planning: compare, and ask HAProxy whether it is as the file that runs
//!    |                                                 says, and (`haproxy -c`, beside it) whether it accepts what is new
//!    |<- Planned ------- the plan is kept <----------- PlannedHere
//!    |- Apply(n) ------> it is handed back ----------> carrying_out: the commands, and then HAProxy is asked again
//!    |<- Applied <---------------------------------------'
//! ```
//!
//! This room owns the plan of the attempt that is under way, and nothing else. It decides nothing: that something is planned, and
//! what follows when it breaks off, is the core's. The thread of an attempt that is given up gives no further command.

mod asked;
mod carrying_out;
mod files;
mod given_up;
mod planning;

use clearway_core::names::Generation;
use clearway_core::supervisor::{ApplyOutcome, Event, Planned};
use clearway_haproxy::change::{ChangeVerdict, PlanStep, StepKind};
use std::collections::HashSet;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::fleet::to_plan::{ServingToChange, ToPlan};
use crate::ground::aside::{self, Single};
use crate::ground::steps;

pub use given_up::GivenUp;
pub use planning::{PlannedHere, plan};

/// What the threads of this room have to say.
#[derive(Debug)]
pub enum News {
    /// What is to be done.
    Planned {
        /// For which attempt.
        generation: Generation,
        /// That.
        planned: Box<PlannedHere>,
    },
    /// It is done, or has broken off.
    Applied {
        /// In which attempt.
        generation: Generation,
        /// Which of the two.
        outcome: ApplyOutcome,
    },
}

/// The attempt under way.
#[derive(Debug)]
struct ApplyUnderWay {
    generation: Generation,
    given_up: GivenUp,
    /// Set from the plan to its carrying out.
    planned: Option<Box<PlannedHere>>,
}

/// What is changed in the HAProxy that serves.
#[derive(Debug)]
pub struct Apply {
    under_way: Option<ApplyUnderWay>,
    /// Plans one at a time: files may be on a machine that does not answer.
    planning: Single,
    sender: UnboundedSender<News>,
    news: UnboundedReceiver<News>,
}

impl Apply {
    /// Nothing was planned yet.
    pub fn new() -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        Self { under_way: None, planning: Single::default(), sender, news }
    }

    /// Begins to plan how the generation that serves comes to have what was read: [`News::Planned`] follows.
    pub fn plan(&mut self, ToPlan { generation, serving, new }: ToPlan) -> Option<Event> {
        let reload = |reason: &str| {
            let planned = Planned::Reload { reasons: vec![reason.to_owned()] };
            Some(Event::Planned { generation, planned })
        };
        let Some(serving) = serving else {
            return reload("the HAProxy that serves cannot be asked");
        };
        self.under_way = Some(ApplyUnderWay { generation, given_up: GivenUp::default(), planned: None });
        let news = self.sender.clone();
        let begun = self.planning.spawn(
            "planning what is changed at run time",
            move || Box::new(plan(&serving, &new)),
            move |planned| {
                // It may not be waited for any more.
                let _ = news.send(News::Planned { generation, planned });
            },
        );
        if begun { None } else { reload("no thread can be started to plan it, or the last plan hangs") }
    }

    /// The servers that the plan of this attempt changes, each as `BACKEND/SERVER`.
    pub fn touches(&self, generation: Generation) -> HashSet<String> {
        let planned = self.under_way.as_ref().filter(|one| one.generation == generation);
        let Some(ChangeVerdict::RunTime(plan)) =
            planned.and_then(|one| one.planned.as_ref()).map(|planned| &planned.verdict)
        else {
            return HashSet::new();
        };
        let is_of_a_server = |step: &&PlanStep| {
            matches!(step.kind, StepKind::ServerAdded | StepKind::ServerChanged | StepKind::ServerRemoved)
        };
        plan.steps.iter().filter(is_of_a_server).map(|step| step.object.clone()).collect()
    }

    /// Carries out what was planned, at the generation that serves: [`News::Applied`] follows.
    pub fn carry_out(&mut self, generation: Generation, serving: Option<ServingToChange>) -> Option<Event> {
        let broken = |why: &str| {
            let outcome = ApplyOutcome::Broken { steps_done: 0, why: why.to_owned() };
            Some(Event::Applied { generation, outcome })
        };
        let under_way = self.under_way.as_mut().filter(|one| one.generation == generation);
        let Some((planned, given_up)) =
            under_way.and_then(|one| Some((one.planned.take()?, one.given_up.clone())))
        else {
            return broken("its plan is not known any more");
        };
        let Some(serving) = serving else {
            return broken("the HAProxy that serves cannot be asked");
        };
        let news = self.sender.clone();
        let begun = aside::spawn("changing what serves at run time", move || {
            let outcome = carrying_out::carry_out(&planned, &serving, &given_up);
            let _ = news.send(News::Applied { generation, outcome });
        });
        if begun { None } else { broken("no thread can be started to carry it out") }
    }

    /// An attempt goes on without a plan, or is over.
    pub fn give_up(&mut self, generation: Generation) {
        if let Some(one) = self.under_way.take_if(|one| one.generation == generation) {
            one.given_up.set();
        }
    }

    /// What a thread says next. Never ends; can be cancelled.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await, // there is a sender here
        }
    }

    /// What that is for the core.
    pub fn hear(&mut self, news: News) -> Event {
        steps::at("hears", &news);
        match news {
            News::Planned { generation, planned } => {
                let Some(one) = self.under_way.as_mut().filter(|one| one.generation == generation) else {
                    return Event::TimePassed;
                };
                let told = in_words(&planned.verdict);
                one.planned = Some(planned);
                Event::Planned { generation, planned: told }
            }
            News::Applied { generation, outcome } => Event::Applied { generation, outcome },
        }
    }
}

/// A verdict as the core wants it.
fn in_words(verdict: &ChangeVerdict) -> Planned {
    match verdict {
        ChangeVerdict::Same => Planned::Same,
        ChangeVerdict::RunTime(plan) => {
            Planned::RunTime { tally: plan.tally().to_string(), commands: plan.commands() }
        }
        ChangeVerdict::Reload(reasons) => {
            Planned::Reload { reasons: reasons.iter().map(ToString::to_string).collect() }
        }
    }
}

#[cfg(test)]
mod tests;
