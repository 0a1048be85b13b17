//! The generations are asked what they have counted: all together, and each one while it can still say so: before it drains, soon after, and before it is cut.
//!
//! Only where that was asked for once ([`crate::fleet::joined`]). A generation without sessions ends within milliseconds of being told
//! to drain, so it is asked before; what it waits for is 0.2 s at most, in which it serves beside its successor.

use std::time::{Duration, Instant};

use clearway_core::names::Generation;

use crate::fleet::joined::{AskedGeneration, CountsFrom, JoinedQuestion, LastSample};
use crate::fleet::{Fleet, News};
use crate::ground::aside;

/// How long a generation may take to say what it has counted before it drains.
const FIRST: Duration = Duration::from_millis(200);

/// How long it is asked again afterwards: after 20 ms, 40 ms and so on, until it has ended. Not sooner: a master whose worker has just
/// ended warns that it cannot pass the question on (`Failed to transfer socket`), and one without sessions has ended by then.
const AGAIN: Duration = Duration::from_secs(2);

impl Fleet {
    /// The question what all generations have counted that serve or have served.
    pub fn joined_question(&self) -> JoinedQuestion {
        let latest = self.roster.committed();
        let has_served = self.roster.iter().filter(|(generation, _)| Some(*generation) <= latest);
        let asked = has_served.map(|(generation, running)| AskedGeneration {
            generation,
            counts: self.joined.counts(generation),
            worker: running.worker_cli(),
        });
        let serving = latest.filter(|one| self.roster.is_serving(*one));
        self.joined.question(asked.collect(), serving, latest)
    }

    /// Whether a generation that is to drain says first what it has counted: [`News::Counted`] follows.
    pub(super) fn is_counted_first(&mut self, generation: Generation) -> bool {
        if let Some(how_far) = self.joined.last(generation) {
            return how_far == LastSample::UnderWay;
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
            self.joined.drains(generation, LastSample::UnderWay);
        }
        begun
    }

    /// It has said what it has counted, or not: it drains.
    pub(super) fn counted(&mut self, generation: Generation) {
        self.joined.drains(generation, LastSample::Taken);
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
