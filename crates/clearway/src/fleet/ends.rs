//! How generations end: they drain, are told to stop or killed, and are reaped.

use std::collections::BTreeMap;
use std::time::Instant;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{End, Event, How};
use rustix::process::Signal;
use tokio::sync::oneshot;

use crate::fleet::launch::cannot;
use crate::fleet::notices::FleetNotice;
use crate::fleet::worker_cli::QUESTIONS;
use crate::fleet::{Fleet, News, reaper};
use crate::ground::notice::tell;
use crate::ground::{aside, failure};

/// What has ended.
#[derive(Debug)]
pub struct Reaped {
    generations: BTreeMap<Generation, End>,
    /// Whether one of them is the one that was committed last.
    has_committed: bool,
    programs: Vec<Event>,
}

impl Reaped {
    /// Which generations.
    pub fn generations(&self) -> impl Iterator<Item = Generation> {
        self.generations.keys().copied()
    }

    /// What that is for the core, which must not commit a generation that is gone, or is misplaced now, and is therefore told
    /// of the latest one first.
    pub fn events(self, misplaced: Option<Event>) -> impl Iterator<Item = Event> {
        let ends = self.generations.into_iter().rev();
        let ends = ends.map(|(generation, end)| Event::Exited { generation, end });
        misplaced.into_iter().chain(ends).chain(self.programs)
    }
}

impl Fleet {
    /// Reaps every child that has ended. The last words of generations follow: a process that is not reaped yet, or not
    /// ours, may have their standard error.
    pub fn reap(&mut self) -> Reaped {
        self.roster.iter().for_each(|(_, running)| running.kill_what_is_left());
        let mut reaped = Reaped { generations: BTreeMap::new(), has_committed: false, programs: Vec::new() };
        for (pid, status) in reaper::reap() {
            self.stand_in.reaped(pid);
            let Some((generation, running)) = self.roster.ended(pid) else {
                reaped.programs.extend(self.sidecars.ended(pid, status));
                continue;
            };
            let memory = self.memory.look();
            let end = memory.explain(reaper::end(status));
            reaped.generations.insert(generation, end);
            self.joined.ended(generation);
            reaped.has_committed |= self.roster.committed() == Some(generation);
            let (news, ports) = (self.news.clone(), self.settings.ports.clone());
            let version = self.executable.known_version();
            tokio::spawn(async move {
                let (said, configuration, never_began) = running.gone();
                let (words, how) = (said.all().await, end.to_string());
                let message = format!("HAProxy did not start ({end})");
                let mut unexplained = Failure::new(ExitCode::ConfigurationRefused, message);
                unexplained.words.clone_from(&words);
                let (sender, explained) = oneshot::channel();
                // Not in the loop: it looks at directories, which may hang. Not by tokio's threads, which panic where
                // there can be none: what waits for these words would wait for ever.
                aside::spawn("looking for the reason of an end", move || {
                    let explained =
                        failure::of_an_end(&how, words, &ports, configuration.as_deref(), version);
                    let _ = sender.send(explained);
                });
                let failure = match never_began {
                    Some(error) => Failure { code: ExitCode::NoHaproxy, ..cannot("exec", &error) },
                    None => memory.blame(&end, explained.await.unwrap_or(unexplained)),
                };
                let _ = news.send(News::Event(Event::LastWords { generation, failure }));
            });
        }
        reaped
    }

    /// The generation that served is among what has ended, and the one that is being started has other private ports than
    /// those at which clients wait: one with these is started instead, at once.
    pub fn misplaced(&self, reaped: &Reaped, has_other_ports: impl Fn(Generation) -> bool) -> Option<Event> {
        let mut starting = self.roster.starting().filter(|_| reaped.has_committed);
        let generation = starting.find(|generation| has_other_ports(*generation))?;
        let message = "the HAProxy that served has ended meanwhile, and clients wait at its private ports: these are \
                       served first";
        let failure = Failure::new(ExitCode::NotReady, message.to_owned()).hint("then reload again");
        Some(Event::Misplaced { generation, failure })
    }

    /// A generation is about to be told to drain: from now on it accepts no more than what has come.
    pub fn begin_to_drain(&mut self, generation: Generation) {
        self.roster.serves_no_more(generation);
        if let Some(running) = self.roster.get_mut(generation) {
            running.end_carrying();
        }
    }

    /// Tells a generation to drain; perhaps once more, because it may not have heard.
    pub fn drain(&mut self, generation: Generation) {
        if self.is_saved_first(generation) || self.is_counted_first(generation) {
            return;
        }
        if let Some(running) = self.roster.get(generation) {
            running.drain();
        }
    }

    /// Ends a generation. One that is cut is asked first how many sessions it has, beside the loop: it may hang, and the
    /// others are not to wait for it.
    pub fn end(&mut self, generation: Generation, how: How) {
        let Some(running) = self.roster.get(generation) else { return };
        if how == How::Kill {
            return running.signal(Signal::KILL);
        }
        let (news, worker) = (self.news.clone(), running.worker_cli());
        let counts = self.joined.counts(generation);
        let samples = self.joined.is_wanted().then(|| self.joined.samples());
        let begun = aside::spawn("asking how many sessions are cut", move || {
            let deadline = Instant::now() + QUESTIONS;
            let sessions = worker.as_ref().and_then(|worker| worker.count_sessions(deadline));
            let left = deadline.saturating_duration_since(Instant::now());
            if let (Some(samples), Some(worker), Some(_)) = (samples, &worker, sessions) {
                samples.take(generation, counts, worker, left);
            }
            let _ = news.send(News::Cut { generation, sessions });
        });
        if !begun {
            running.signal(Signal::TERM);
        }
    }

    /// It was asked, and is cut now.
    pub(super) fn cut(&self, generation: Generation, sessions: Option<u64>) {
        let Some(running) = self.roster.get(generation) else { return };
        if sessions != Some(0) {
            tell(&FleetNotice::Cut { generation, sessions });
        }
        running.signal(Signal::TERM);
    }

    /// No socket in custody is held any more: no generation will be committed.
    pub fn give_up(&mut self) {
        self.save_at_the_drain();
        self.roster.give_up();
    }

    /// Clearway leaves.
    pub fn leave(&mut self) {
        self.stand_in.end();
    }
}
