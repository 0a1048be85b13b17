//! What the programs of `program` sections hear of the life of generations, and what a stop waits for.
//!
//! The programs have a machine of their own ([`crate::programs`]); here is where the two meet.

use std::time::Duration;

use crate::names::Generation;
use crate::programs::{self, OnDeath, ProgramSpec, WhyServing};

use super::action::Action;
use super::life::LifeState;
use super::machine::Supervisor;
use super::report::Report;

impl Supervisor {
    /// A generation serves that has these sections; one that is gone by now, or has been replaced, says nothing any more.
    pub(super) fn programs_known(
        &mut self,
        generation: Generation,
        sections: Vec<ProgramSpec>,
        on_death: OnDeath,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(life) = self.lives.get(&generation) else { return };
        if !matches!(life.state, LifeState::Serving { .. }) {
            return;
        }
        let cause = if life.started_from == generation { WhyServing::Reload } else { WhyServing::Crash };
        self.tell_programs(programs::ProgramEvent::Serves { sections, cause, on_death }, now, todo);
    }

    /// Something that concerns the programs has happened.
    pub(super) fn tell_programs(
        &mut self,
        event: programs::ProgramEvent,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let answers = self.programs.step(event, now);
        todo.extend(answers.into_iter().map(carried));
        if self.stop.is_some() {
            self.after_an_end(now, todo);
        }
    }

    /// No generation is left, and no word of one: a stop waits for programs only.
    pub(super) fn wait_for_programs(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let answers = self.programs.step(programs::ProgramEvent::OnlyProgramsLeft, now);
        todo.extend(answers.into_iter().map(carried));
    }

    /// The other Clearway of a takeover serves, or this one again: seen in what is to be done.
    pub(super) fn tell_programs_of_the_other(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let event = todo.iter().rev().find_map(|action| match action {
            Action::Relieve(_) => Some(programs::ProgramEvent::Relieved),
            Action::TakeBack => Some(programs::ProgramEvent::TakenBack),
            _ => None,
        });
        if let Some(event) = event {
            self.tell_programs(event, now, todo);
        }
    }
}

fn carried(action: programs::ProgramAction) -> Action {
    match action {
        programs::ProgramAction::Report(report) => Action::Report(Report::Program(report)),
        action => Action::Program(action),
    }
}
