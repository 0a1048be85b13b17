//! What people and the core ask the shell: who waits for a reload, the status, how many sessions old generations have.
//! Whoever has to ask HAProxy does it on a thread of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, RequestId, Survey};
use tokio::sync::oneshot;

use crate::fleet::launch::{self, Sessions};
use crate::fleet::reading;
use crate::front::admin::Answered;
use crate::front::api;
use crate::ground::aside;
use crate::shell::{Inner, Shell};

/// What one of two may give.
fn take<T>(answer: &Mutex<Option<T>>) -> Option<T> {
    answer.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Shell {
    /// Remembers who waits for a reload.
    pub fn await_answer(&mut self, sender: oneshot::Sender<Answered>) -> RequestId {
        self.front.requests += 1;
        let request = RequestId(self.front.requests);
        self.front.waiting.insert(request, sender);
        request
    }

    /// Clearway ends: whoever still waits for an answer is told that there is none.
    pub fn answer_nothing_more(&mut self) {
        self.front.waiting.clear();
        self.front.ending.clear();
    }

    /// Adds what only the shell knows to the status, and sends it. How many sessions there are is asked on a
    /// thread of its own: a HAProxy that hangs must not stop the loop.
    pub fn answer_status(&mut self, mut status: api::Status, sender: oneshot::Sender<Box<api::Status>>) {
        status.instance = self.settings.instance.as_ref().map(ToString::to_string);
        status.haproxy = self.fleet.program.known_version().map(|version| version.to_string());
        status.strategy = self.settings.strategy;
        status.redirected = self.cutover.redirection.describe();
        status.custody = self.custody.sockets().addresses();
        status.canary = self.path.seen_by_canary();
        status.canary_asks = self.path.canary_asks();
        status.obstacles = self.path.obstacles();
        status.plumbing = self.path.describe();
        status.run_directory = Some(self.settings.run_directory.display().to_string());
        status.started = api::Started::of(&self.settings, &self.fleet.invocation);
        status.holder = self.peers.succession.has_holder();
        status.network_gone = self.path.is_cut_off();
        let questions: Vec<(u32, Vec<u32>, Option<Sessions>)> = self
            .fleet
            .running
            .iter()
            .map(|(generation, running)| {
                (generation.number(), running.processes().collect(), running.sessions())
            })
            .collect();
        for one in &mut status.generations {
            let running =
                self.fleet.running.iter().find(|(generation, _)| generation.number() == one.generation);
            let worker = running.and_then(|(_, running)| running.worker.as_ref()).map(|worker| worker.pid);
            one.worker = one.worker.or(worker);
        }
        let (imprint, named, invocation) =
            (self.fleet.imprint.clone(), self.fleet.named.clone(), self.fleet.invocation.clone());
        let comparing = self.fleet.comparing.clone();
        let ours = self.ours();
        // Taken out by the thread, or by us if there is none.
        let answer = Arc::new(Mutex::new(Some((status, sender))));
        let ours_to_give = Arc::clone(&answer);
        let begun = aside::spawn("answering for the status", move || {
            let Some((mut status, sender)) = take(&answer) else { return };
            let drift =
                imprint.map(|imprint| reading::compare(&comparing, &imprint, named.as_ref(), &invocation));
            status.configuration =
                drift.map(|drift| api::OnDisk { same: drift.is_none(), words: drift.to_string() });
            status.strangers = ours.strangers();
            let deadline = Instant::now() + launch::QUESTIONS;
            for (generation, processes, sessions) in questions {
                if let Some(one) = status.generations.iter_mut().find(|one| one.generation == generation) {
                    one.memory = processes.into_iter().map(clearway_kernel::memory::resident).sum();
                    one.sessions = sessions.and_then(|sessions| sessions.ask(deadline));
                }
            }
            let _ = sender.send(Box::new(status));
        });
        if !begun && let Some((mut status, sender)) = take(&ours_to_give) {
            status.incomplete = Some(
                "no thread can be started, so sessions, strangers and the files are not looked at; raise the limit of \
                 processes (`--pids-limit`, TasksMax=)"
                    .to_owned(),
            );
            let _ = sender.send(Box::new(status));
        }
    }

    /// Asks draining generations what they have, on a thread of its own: one that hangs must not stop the loop.
    pub fn survey(&self, generations: &[Generation]) {
        let questions: Vec<_> = generations
            .iter()
            .filter_map(|generation| {
                let running = self.fleet.running.get(generation)?;
                Some((*generation, running.processes().collect::<Vec<_>>(), running.sessions()))
            })
            .collect();
        let (inner, failed) = (self.inner.clone(), self.inner.clone());
        let begun = aside::spawn("asking old generations for their sessions", move || {
            let deadline = Instant::now() + launch::SURVEY;
            let surveys = questions.into_iter().map(|(generation, processes, sessions)| Survey {
                generation,
                // One that hangs must not hide what the others have.
                sessions: sessions
                    .and_then(|sessions| sessions.ask(deadline.min(Instant::now() + launch::SURVEY_OF_ONE))),
                memory: processes.into_iter().map(clearway_kernel::memory::resident).sum(),
            });
            let _ = inner.send(Inner::Event(Event::Surveyed(surveys.collect())));
        });
        if !begun {
            let _ = failed.send(Inner::Event(Event::Surveyed(Vec::new())));
        }
    }
}
