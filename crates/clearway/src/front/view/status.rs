//! `clearway status`: what the core knows, what the rooms add, and what HAProxy has to be asked.

use std::sync::Arc;
use std::time::Instant;

use clearway_kernel::memory::resident;
use tokio::sync::oneshot;

use crate::cutover::neighbours::Ours;
use crate::fleet::configurations::DriftQuestion;
use crate::fleet::questions::Askable;
use crate::fleet::worker_cli::QUESTIONS;
use crate::front::api;
use crate::front::view::View;
use crate::ground::aside;
use crate::path::network::Interfaces;

/// What is asked on a thread of its own: a HAProxy or a file that hangs must not stop the loop.
struct Asked {
    generations: Vec<Askable>,
    files: Option<DriftQuestion>,
    ours: Ours,
    interfaces: Arc<Interfaces>,
}

impl Asked {
    /// Adds the answers.
    fn add_to(self, status: &mut api::Status) {
        let drift = self.files.map(|files| files.ask());
        status.configuration =
            drift.map(|drift| api::OnDisk { same: drift.is_none(), words: drift.to_string() });
        status.strangers = self.ours.strangers();
        status.network_gone = self.interfaces.are_gone();
        let deadline = Instant::now() + QUESTIONS;
        for asked in self.generations {
            let number = asked.generation.number();
            if let Some(one) = status.generations.iter_mut().find(|one| one.generation == number) {
                one.memory = asked.processes.into_iter().map(resident).sum();
                one.sessions = asked.cli.and_then(|cli| cli.count_sessions(deadline));
            }
        }
    }
}

impl View<'_> {
    /// Tells how this Clearway is.
    pub fn answer_status(&self, sender: oneshot::Sender<Box<api::Status>>) {
        let mut status = Box::new(api::Status::of(self.core.status(self.now), self.now));
        self.add_to(&mut status);
        let generations = self.fleet.all_askable();
        for one in &mut status.generations {
            let asked = generations.iter().find(|asked| asked.generation.number() == one.generation);
            one.worker = one.worker.or(asked.and_then(|asked| asked.worker));
        }
        let (files, ours) = (self.fleet.drift_question(), self.ours());
        let asked = Asked { generations, files, ours, interfaces: self.path.interfaces() };
        tokio::spawn(async move {
            let mut whole = status.clone();
            let answered = aside::outcome_of("answering for the status", move || {
                asked.add_to(&mut whole);
                whole
            });
            sender.send(answered.await.unwrap_or_else(|| {
                status.incomplete = Some(
                    "no thread can be started, so sessions, strangers and the files are not looked at; raise the limit of \
                     processes (`--pids-limit`, TasksMax=)"
                        .to_owned(),
                );
                status
            }))
        });
    }

    /// What the rooms know without asking.
    fn add_to(&self, status: &mut api::Status) {
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
        status.network_gone = self.path.interfaces().were_gone();
    }
}
