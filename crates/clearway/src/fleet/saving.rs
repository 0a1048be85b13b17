//! When the counters of the generation that serves are saved.

use std::path::PathBuf;

use clearway_core::hints::Remark;
use clearway_core::names::Generation;

use crate::fleet::statistics::{Counters, LastCounters};
use crate::fleet::{Fleet, News};
use crate::ground::aside;
use crate::tell::said::Subject;

impl Fleet {
    /// What the generation that serves can be asked for; nothing if none does.
    pub(super) fn counters(&self) -> Option<Counters> {
        let serving = self.roster.committed().filter(|one| self.roster.is_serving(*one))?;
        let worker = self.roster.worker_cli(serving)?;
        Some(Counters::of(worker, &self.statistics))
    }

    /// The same, and the file that it has begun with: for what another Clearway starts, or a later one.
    pub(super) fn counters_to_keep(&self) -> Option<(Counters, PathBuf)> {
        let file = self.roster.get(self.roster.committed()?)?.stats_file()?.to_owned();
        Some((self.counters()?, file))
    }

    /// A stop begins: the counters of what serves are saved before it is told to drain, after which it may end at any moment.
    pub(super) fn save_at_the_drain(&mut self) {
        let serving = self.roster.committed().zip(self.counters_to_keep());
        self.statistics.last = serving.map_or(LastCounters::Nothing, |(generation, (counters, file))| {
            LastCounters::Due(generation, counters, file)
        });
    }

    /// Whether the counters of a generation that is to drain are saved first: [`News::Saved`] follows.
    pub(super) fn is_saved_first(&mut self, generation: Generation) -> bool {
        match std::mem::take(&mut self.statistics.last) {
            LastCounters::Due(of, counters, file) if of == generation => {
                let news = self.news.clone();
                let begun = aside::spawn("saving HAProxy's counters", move || {
                    let unsaved = counters.save(&file);
                    let _ = news.send(News::Saved { generation, unsaved });
                });
                if begun {
                    self.statistics.last = LastCounters::UnderWay(generation);
                }
                begun
            }
            other => {
                self.statistics.last = other;
                matches!(self.statistics.last, LastCounters::UnderWay(of) if of == generation)
            }
        }
    }

    /// They are saved, or not: it drains.
    pub(super) fn saved(&mut self, generation: Generation, unsaved: Option<Remark>) {
        self.said.found(Subject::Statistics, unsaved);
        self.statistics.last = LastCounters::Nothing;
        self.drain(generation);
    }
}
