//! `clearway status`: what the core knows, what the rooms add, and what HAProxy has to be asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clearway_kernel::memory::resident;
use tokio::sync::oneshot;

use crate::fleet::worker_cli::QUESTIONS;
use crate::front::api;
use crate::front::view::View;
use crate::ground::aside;

/// An answer that a thread gives, or the loop where there can be none: whichever takes it first.
type Owed = Arc<Mutex<Option<(api::Status, oneshot::Sender<Box<api::Status>>)>>>;

fn take(owed: &Owed) -> Option<(api::Status, oneshot::Sender<Box<api::Status>>)> {
    owed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl View<'_> {
    /// How many sessions there are, and what the files say, is asked on a thread of its own: a HAProxy or a file that hangs
    /// must not stop the loop.
    pub fn answer_status(mut self, sender: oneshot::Sender<Box<api::Status>>) {
        let mut status = api::Status::of(self.core.status(self.now), self.now);
        self.add_to(&mut status);
        let asked = self.fleet.all_askable();
        for one in &mut status.generations {
            let worker = asked.iter().find(|asked| asked.generation.number() == one.generation);
            one.worker = one.worker.or(worker.and_then(|asked| asked.worker));
        }
        let (question, ours) = (self.fleet.drift_question(), self.ours());
        let owed: Owed = Arc::new(Mutex::new(Some((status, sender))));
        let without_a_thread = Arc::clone(&owed);
        let begun = aside::spawn("answering for the status", move || {
            let Some((mut status, sender)) = take(&owed) else { return };
            let drift = question.map(|question| question.ask());
            status.configuration =
                drift.map(|drift| api::OnDisk { same: drift.is_none(), words: drift.to_string() });
            status.strangers = ours.strangers();
            let deadline = Instant::now() + QUESTIONS;
            for asked in asked {
                let number = asked.generation.number();
                if let Some(one) = status.generations.iter_mut().find(|one| one.generation == number) {
                    one.memory = asked.processes.into_iter().map(resident).sum();
                    one.sessions = asked.cli.and_then(|cli| cli.count_sessions(deadline));
                }
            }
            let _ = sender.send(Box::new(status));
        });
        if !begun && let Some((mut status, sender)) = take(&without_a_thread) {
            status.incomplete = Some(
                "no thread can be started, so sessions, strangers and the files are not looked at; raise the limit of \
                 processes (`--pids-limit`, TasksMax=)"
                    .to_owned(),
            );
            let _ = sender.send(Box::new(status));
        }
    }

    /// What only the rooms know.
    fn add_to(&mut self, status: &mut api::Status) {
        status.instance = self.settings.instance.as_ref().map(ToString::to_string);
        status.haproxy = self.fleet.version().map(|version| version.to_string());
        status.strategy = self.settings.strategy;
        status.redirected = self.cutover.redirected();
        status.custody = self.custody.sockets().addresses();
        status.canary = self.path.seen_by_canary();
        status.canary_asks = self.path.canary_asks();
        status.obstacles = self.path.obstacles();
        status.plumbing = self.path.describe();
        status.run_directory = Some(self.settings.run_directory.display().to_string());
        status.started = api::Started::of(self.settings, self.fleet.invocation());
        status.holder = self.peers.has_holder();
        status.network_gone = self.path.is_cut_off();
    }
}
