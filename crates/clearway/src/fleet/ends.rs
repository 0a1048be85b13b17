//! How generations end: they drain, are told to stop or killed, and are reaped.

use std::collections::BTreeMap;
use std::time::Instant;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, How};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::fleet::launch::{self, Running};
use crate::fleet::{News, reaper};
use crate::ground::{aside, failure};
use crate::shell::{Inner, Shell};

impl Shell {
    /// Reaps every child that has ended; what that is for the core, which must not commit who is gone, and which is
    /// therefore told of the latest generation first. Their last words follow: somebody who is not reaped yet, or
    /// not ours, may have their standard error.
    ///
    /// A worker that outlives its master (it hangs in a system call and cannot hear that) would go on
    /// accepting beside its successor: it is in the master's process group, whose number is ours as long as
    /// the master is not reaped.
    pub fn reap(&mut self) -> Vec<Event> {
        for running in self.fleet.running.values() {
            let Some(master) = pid(running.pid) else { continue };
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if matches!(rustix::process::waitid(WaitId::Pid(master), ended), Ok(Some(_))) {
                // An error means that nobody else is in the group.
                let _ = rustix::process::kill_process_group(master, Signal::KILL);
            }
        }
        let mut gone = BTreeMap::new();
        let mut programs = Vec::new();
        for (pid, status) in reaper::reap() {
            self.fleet.stand_in.reaped(pid);
            let Some(generation) = self.fleet.running.iter().find(|(_, one)| one.pid == pid).map(|(g, _)| *g)
            else {
                programs.extend(self.fleet.sidecars.ended(pid, status));
                continue;
            };
            let Some(mut running) = self.fleet.running.remove(&generation) else { continue };
            running.settle();
            self.front.gone(generation);
            self.serves_no_more(generation);
            if self.fleet.committed != Some(generation) {
                self.cancel_switch(generation);
            }
            let (news, ports) = (self.fleet.news.clone(), self.settings.ports.clone());
            let version = self.fleet.executable.known_version();
            let memory = self.fleet.memory.look();
            let end = memory.explain(reaper::end(status));
            gone.insert(generation, end);
            tokio::spawn(async move {
                let (words, how) = (running.words.all().await, end.to_string());
                let configuration = running.configuration.take();
                let mut unexplained =
                    Failure::new(ExitCode::ConfigurationRefused, format!("HAProxy did not start ({end})"));
                unexplained.words.clone_from(&words);
                let (sender, explained) = oneshot::channel();
                // Not in the loop: it looks at directories, which may hang. Not by tokio's threads, which panic where
                // there can be none: what waits for these words would wait for ever.
                aside::spawn("looking for the reason of an end", move || {
                    let _ = sender.send(failure::of_an_end(
                        &how,
                        words,
                        &ports,
                        configuration.as_deref(),
                        version,
                    ));
                });
                let failure = memory.blame(&end, explained.await.unwrap_or(unexplained));
                let _ = news.send(News::Event(Event::LastWords { generation, failure }));
            });
        }
        let start_over =
            self.fleet.committed.filter(|one| gone.contains_key(one)).and_then(|_| self.start_over());
        let ends = gone.into_iter().rev().map(|(generation, end)| Event::Exited { generation, end });
        ends.chain(start_over).chain(programs).collect()
    }

    /// Nobody serves any more, and the generation that is being started has other private ports than those at which
    /// clients wait: one with these is started instead, at once.
    pub fn start_over(&self) -> Option<Event> {
        let elsewhere = |running: &Running| {
            let private = running.private.as_ref().filter(|_| running.proved.is_none());
            private.is_some_and(|private| self.cutover.redirection.leaves(&private.ways))
        };
        let (generation, _) = self
            .fleet
            .running
            .iter()
            .rev()
            .find(|(one, running)| Some(**one) > self.fleet.committed && elsewhere(running))?;
        let message = "the HAProxy that served has ended meanwhile, and clients wait at its private ports: these are \
                       served first";
        let failure = Failure::new(ExitCode::NotReady, message.to_owned()).hint("then reload again");
        Some(Event::Failed { generation: *generation, failure })
    }

    /// Tells a generation to drain; perhaps once more, because it may not have heard.
    pub fn drain(&mut self, generation: Generation) {
        self.serves_no_more(generation);
        self.cutover.redirection.drain(generation);
        self.fleet.running.get_mut(&generation).into_iter().for_each(Running::end_carrying);
        match &mut self.cutover.giving_back {
            Some(waiting) => waiting.push(generation),
            None => self.signal_drain(generation),
        }
    }

    /// New clients are those again who listened here before us; whoever has come to us meanwhile is accepted first, which
    /// is waited for beside the loop.
    pub fn give_back(&mut self) {
        let Some(arrived) = self.cutover.others.give_back() else { return };
        let inner = self.inner.clone();
        let begun = aside::spawn("waiting for those who have come here", move || {
            arrived.wait();
            let _ = inner.send(Inner::GaveBack);
        });
        self.cutover.giving_back = begun.then(Vec::new);
    }

    /// They have been waited for.
    pub fn gave_back(&mut self) {
        for generation in self.cutover.giving_back.take().into_iter().flatten() {
            self.signal_drain(generation);
        }
    }

    /// `SIGUSR1` to the worker, which drains and takes its master along when it is done. Not to the master, which is deaf
    /// for a moment up to 3.0. A generation that has not proved itself has no known worker yet: the core lets it be told
    /// again until it has.
    pub fn signal_drain(&self, generation: Generation) {
        let Some(running) = self.fleet.running.get(&generation) else { return };
        let Some(worker) = &running.worker else { return self.signal(generation, Signal::USR1) };
        match rustix::process::pidfd_send_signal(&worker.handle, Signal::USR1) {
            Ok(()) => {}
            // Somebody has made the master replace its worker behind our back: the master knows the new one.
            Err(Errno::SRCH) => self.signal(generation, Signal::USR1),
            Err(error) => cannot_signal(Signal::USR1, generation, worker.pid, error),
        }
    }

    /// Whoever starts now gets all sockets in custody: nobody else accepts on them.
    pub fn serves_no_more(&mut self, generation: Generation) {
        if let Some(serving) = self.fleet.serving.take_if(|one| one.generation == generation) {
            serving.ends();
        }
    }

    pub fn signal(&self, generation: Generation, signal: Signal) {
        let Some(running) = self.fleet.running.get(&generation) else { return };
        // The child is ours and not reaped, so its pid is right.
        if let Some(Err(error)) = pid(running.pid).map(|pid| rustix::process::kill_process(pid, signal)) {
            cannot_signal(signal, generation, running.pid, error);
        }
    }

    /// Ends a generation. One that is cut is asked first how many sessions it has, beside the loop: it may hang, and the
    /// others are not to wait for it.
    pub fn end(&mut self, generation: Generation, how: How) {
        if how == How::Kill {
            return self.signal(generation, Signal::KILL);
        }
        let news = self.fleet.news.clone();
        let sessions = self.fleet.running.get(&generation).and_then(Running::sessions);
        let begun = aside::spawn("asking how many sessions are cut", move || {
            let deadline = Instant::now() + launch::QUESTIONS;
            let sessions = sessions.and_then(|sessions| sessions.ask(deadline));
            let _ = news.send(News::Cut { generation, sessions });
        });
        if !begun {
            self.signal(generation, Signal::TERM);
        }
    }

    /// It was asked, and is cut now.
    pub fn cut(&self, generation: Generation, sessions: Option<u64>) {
        if !self.fleet.running.contains_key(&generation) {
            return;
        }
        match sessions {
            Some(0) => {}
            Some(sessions) => warn!("generation {generation}: cutting {}", Count(sessions, "session")),
            None => warn!("generation {generation} does not say how many sessions are cut"),
        }
        self.signal(generation, Signal::TERM);
    }
}

/// A process id as system calls take it.
fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn cannot_signal(signal: Signal, generation: Generation, pid: u32, error: Errno) {
    let advice = if error == Errno::PERM { " (add --cap-add=KILL to `docker run`)" } else { "" };
    error!(
        "{} to generation {generation}, pid {pid}: {error}{advice}",
        clearway_core::signal::Signal(signal.as_raw())
    );
}
