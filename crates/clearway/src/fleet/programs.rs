//! The programs of `program` sections, beside the generation that serves.

use std::time::Duration;

use clearway_core::names::Generation;
use clearway_core::programs::ProgramAction;
use clearway_core::supervisor::Event;

use crate::fleet::sidecars::Declared;
use crate::fleet::{Fleet, News};
use crate::ground::aside;

/// How long the worker may take to say its environment. A program waits for it, nothing else.
const ASKING: Duration = Duration::from_secs(2);

impl Fleet {
    /// The generation serves. Where it has programs, or the former one had some, the core hears of it, as soon as HAProxy
    /// has said what only HAProxy knows.
    pub fn find_programs(&mut self, generation: Generation) -> Option<Event> {
        let Some(mut declared) = self.sidecars.declared_by(generation) else {
            return self.sidecars.none(generation);
        };
        let worker = self.roster.worker_cli(generation);
        let (news, private, known) = (self.news.clone(), self.sidecars.private(), declared.clone());
        let begun = aside::spawn("asking HAProxy for the environment of programs", move || {
            if let Some(answer) = worker.and_then(|worker| worker.environment(ASKING)) {
                declared.environment.hear(&answer, private);
            }
            let _ = news.send(News::Programs { generation, declared });
        });
        (!begun).then(|| self.programs_known(generation, known))
    }

    /// Whether a generation that does not serve yet has programs.
    pub fn has_programs(&self, generation: Generation) -> bool {
        self.sidecars.has_declared(generation)
    }

    /// They are known, with HAProxy's answer. An older generation's comes too late.
    pub(super) fn programs_known(&mut self, generation: Generation, declared: Declared) -> Event {
        if self.roster.committed() == Some(generation) {
            self.sidecars.some(generation, declared)
        } else {
            Event::TimePassed
        }
    }

    /// Does something with a program.
    pub fn do_with_program(&mut self, action: ProgramAction) -> Option<Event> {
        self.sidecars.carry_out(action)
    }

    /// What programs have said before they ended is written.
    pub async fn hear_programs_out(&mut self) {
        self.sidecars.hear_out().await;
    }
}
