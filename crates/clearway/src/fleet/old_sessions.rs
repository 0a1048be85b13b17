//! When sessions of old generations are looked for whose server has gone down, and what becomes of it
//! ([`crate::fleet::marked_down`]).

use crate::fleet::marked_down::{EndedSessions, OldFile, ToldOfOld};
use crate::fleet::{Fleet, News};
use crate::ground::aside;
use crate::tell::said::Subject;

impl Fleet {
    /// The old generations with sessions that end when a server goes down, as long as another one serves.
    pub(super) fn old_files(&mut self) -> Vec<OldFile> {
        let serves = self.roster.committed().filter(|_| self.roster.serves().is_some());
        let has_process = |generation| self.roster.get(generation).is_some();
        serves.map_or_else(Vec::new, |serves| self.marked_down.old(has_process, serves))
    }

    /// The serving generation has said something of their servers: [`News::SessionsEnded`] follows if there is something to
    /// look at.
    pub(super) fn hear_of_old(&mut self, told: ToldOfOld) {
        let looks = self.marked_down.hear(told);
        if looks.is_empty() {
            return;
        }
        let looks = looks.into_iter().filter_map(|(generation, servers)| {
            Some((generation, self.roster.worker_cli(generation)?, servers))
        });
        let looks: Vec<_> = looks.collect();
        let news = self.news.clone();
        let begun = aside::spawn("ending sessions with servers that are down", move || {
            let _ = news.send(News::SessionsEnded(EndedSessions::of(looks)));
        });
        if !begun {
            let _ = self.news.send(News::SessionsEnded(EndedSessions::default()));
        }
    }

    /// A look is over.
    pub(super) fn sessions_ended(&mut self, ended: EndedSessions) {
        let failures = self.marked_down.looked(ended);
        self.said.found(Subject::OldSessions, failures);
    }
}
