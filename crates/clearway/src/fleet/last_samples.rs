//! What a generation has counted, asked for while it can still say so: before it drains, soon after, and before it is cut.
//!
//! Only where that was asked for once ([`crate::fleet::joined`]). A generation without sessions ends within milliseconds of being told
//! to drain, so it is asked before; what it waits for is 0.2 s at most, in which it serves beside its successor.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clearway_core::names::Generation;

use crate::fleet::joined::CountsFrom;
use crate::fleet::{Fleet, News};
use crate::ground::aside;

/// How long a generation may take to say what it has counted before it drains.
const FIRST: Duration = Duration::from_millis(200);

/// How long it is asked again afterwards: after 20 ms, 40 ms and so on, until it has ended. Not sooner: a master whose worker has just
/// ended warns that it cannot pass the question on (`Failed to transfer socket`), and one without sessions has ended by then.
const AGAIN: Duration = Duration::from_secs(2);

/// How far a generation is that is to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastSample {
    UnderWay,
    Taken,
}

/// The generations that were told to drain.
#[derive(Debug, Default)]
pub struct LastSamples(BTreeMap<Generation, LastSample>);

impl LastSamples {
    /// Its processes are gone.
    pub fn forget(&mut self, generation: Generation) {
        self.0.remove(&generation);
    }
}

impl Fleet {
    /// Whether a generation that is to drain says first what it has counted: [`News::Counted`] follows.
    pub(super) fn is_counted_first(&mut self, generation: Generation) -> bool {
        if let Some(how_far) = self.joined.last.0.get(&generation) {
            return *how_far == LastSample::UnderWay;
        }
        let has_served = Some(generation) <= self.roster.committed();
        let Some(worker) =
            self.roster.worker_cli(generation).filter(|_| has_served && self.joined.is_wanted())
        else {
            return false;
        };
        let (samples, counts, news) =
            (self.joined.samples(), self.joined.counts(generation), self.news.clone());
        let begun = aside::spawn("asking what a generation has counted", move || {
            let mut answers = samples.take(generation, counts, &worker, FIRST);
            let _ = news.send(News::Counted(generation));
            let (drains, mut pause) = (Instant::now(), Duration::from_millis(20));
            while answers && drains.elapsed() + pause < AGAIN {
                std::thread::sleep(pause);
                pause *= 2;
                answers = samples.take(generation, counts, &worker, FIRST);
            }
        });
        if begun {
            self.joined.last.0.insert(generation, LastSample::UnderWay);
        }
        begun
    }

    /// It has said what it has counted, or not: it drains.
    pub(super) fn counted(&mut self, generation: Generation) {
        self.joined.last.0.insert(generation, LastSample::Taken);
        self.drain(generation);
    }

    /// A generation has proved itself that has counters of another one, which are known, and are not its own.
    pub(super) fn count_from_here(&self, generation: Generation) {
        let counts = self.joined.counts(generation);
        let Some(worker) = self.roster.worker_cli(generation).filter(|_| counts == CountsFrom::Others) else {
            return;
        };
        let samples = self.joined.samples();
        aside::spawn("asking with which counters a generation begins", move || {
            samples.take(generation, counts, &worker, FIRST);
        });
    }
}
