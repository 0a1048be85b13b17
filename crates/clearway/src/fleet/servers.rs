//! The state of the servers: when it is asked for, and what becomes of it.

use clearway_core::inquiry::Attention;
use clearway_core::supervisor::Event;

use crate::fleet::state::{Snapshot, StateAnswer, StateQuestion};
use crate::fleet::{Consequence, Fleet, News};
use crate::ground::aside;

impl Fleet {
    /// Where the state of the servers is to be had at this moment.
    pub fn question(&self) -> StateQuestion {
        let serving = |generation| self.roster.is_serving(generation);
        self.servers.question(|generation| self.roster.worker_cli(generation).filter(|_| serving(generation)))
    }

    /// The same for a successor, which starts a generation of its own: its counters are saved first.
    pub fn question_to_hand_over(&self) -> StateQuestion {
        let mut question = self.question();
        question.counters = self.counters_to_keep();
        question
    }

    /// Asks the generation that was committed last for the state of its servers, if that is of use: [`News::State`] follows.
    /// It may drain: its sessions need the plumbing. `transparent`: whether it is asked where its servers are.
    pub fn ask_for_state(&mut self, transparent: bool) {
        let old = self.old_files();
        self.servers.asked(if old.is_empty() { Attention::Seldom } else { Attention::Close });
        let needed = transparent || !old.is_empty();
        let Some((generation, configuration)) = self.servers.subject(needed, self.settings.carry) else {
            return;
        };
        let Some(running) = self.roster.get(generation) else { return };
        let news = self.news.clone();
        let begun = running.worker_cli().is_some_and(|worker| {
            aside::spawn("asking for the state of the servers", move || {
                let answer = StateAnswer::of(generation, &worker, &configuration, transparent, &old);
                let _ = news.send(News::State(answer));
            })
        });
        if !begun {
            let _ = self.news.send(News::State(StateAnswer::none(generation)));
        }
    }

    /// The answer, or none.
    pub(super) fn hear_state(&mut self, mut answer: StateAnswer) -> Consequence {
        if let (generation, Some(of_old)) = answer.take_of_old()
            && self.roster.is_serving(generation)
        {
            self.hear_of_old(of_old);
        }
        let heard = self.servers.hear(answer, self.roster.serves().is_some());
        heard.map_or(Consequence::Event(Event::TimePassed), Consequence::Servers)
    }

    /// What is known, for what keeps it over the end of this process: a holder.
    pub fn state_to_keep(&self) -> Option<&Snapshot> {
        self.servers.known().filter(|_| self.settings.carry.servers)
    }

    /// What another Clearway or a holder handed over, unless something is known already.
    pub fn inherit_state(&mut self, snapshot: Option<Snapshot>) {
        if let Some(snapshot) = snapshot.filter(|_| self.settings.carry.servers) {
            self.servers.inherit(snapshot);
        }
    }
}
