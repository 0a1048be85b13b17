//! What HAProxy is asked before it is started: its version, if its file has changed, and whether the conditions hold on
//! which its rights depend. Each question costs a process, which may not answer: they are asked beside the loop, so that
//! signals, ended children and requests for the state do not wait.
//!
//! ```text
//!   fleet, in the loop              thread
//!   ask ---------------------------> haproxy -v, haproxy -cc ...: PATIENCE for the former, as long for all of the latter;
//!                                    its counters go into the `stats-file` that the new one reads (statistics)
//!   asked <------------------------- News::Asked; the shell goes on with the draft
//! ```
//!
//! One such thread at a time: while one hangs (its program is on a machine that does not answer), no other is begun. What
//! it starts ends with it ([`crate::fleet::child::confine`]), and only it waits for that ([`crate::fleet::reaper`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::Event;
use clearway_haproxy::command_line::Invocation;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::fleet::chosen::Chosen;
use crate::fleet::draft::{Answers, Draft};
use crate::fleet::executable::PATIENCE;
use crate::fleet::statistics::SAVING;
use crate::fleet::{Consequence, Fleet, News};
use crate::ground::aside;
use crate::tell::pid_file::{PidFileNames, PidFilePlace};
use crate::tell::said::Subject;

/// How long all of it may take: the version, the conditions, the counters, and what a busy machine adds.
const ASKING: Duration = Duration::from_secs(2 * PATIENCE.as_secs() + SAVING.as_secs() + 2);

impl Fleet {
    /// Asks HAProxy for its version while something else is waited for, so that the first generation need not wait.
    pub fn ask_version(&self) {
        let executable = self.executable.clone();
        // What is wrong with it is said when a generation is prepared.
        aside::spawn("asking HAProxy for its version", move || drop(executable.version()));
    }

    /// Begins to ask what must be known before a generation is prepared: [`News::Asked`] follows.
    pub(super) fn ask(&mut self, chosen: Chosen) -> Event {
        // It may have been abandoned while its files were looked at.
        if !self.preparing.is_under_way(chosen.generation()) {
            return Event::TimePassed;
        }
        let (sender, receiver) = oneshot::channel();
        let (executable, configuration) = (self.executable.clone(), Arc::clone(chosen.configuration()));
        let hangs = self.preparing.asking.is_busy();
        let Invocation { pid_file: named, working_directory: directory, .. } = self.invocation.clone();
        let pid_file = PidFileNames { named, directory, fine: self.preparing.pid_file.clone() };
        // What is only tried reads what is there.
        let counters = self.counters().filter(|_| !self.is_tried(chosen.generation()));
        let work = move || Ok(Answers::of(&executable, &configuration, &pid_file)?.with_saved(counters));
        self.preparing.asking.spawn("asking HAProxy for its version", work, |answers| {
            // It may not be waited for any more.
            let _ = sender.send(answers);
        });
        let news = self.news.clone();
        tokio::spawn(async move {
            let answers = match timeout(ASKING, receiver).await {
                Ok(Ok(answers)) => answers,
                Ok(Err(_)) if hangs => Err(no_answer("the last question is not answered yet")),
                Ok(Err(_)) => Err(Failure::new(
                    ExitCode::Internal,
                    "asking HAProxy for its version: no thread can be started",
                )),
                Err(_) => Err(no_answer(&format!("no answer within {} s", ASKING.as_secs()))),
            };
            let generation = chosen.generation();
            let draft = answers.map(|answers| Box::new(Draft::of(chosen, answers)));
            let _ = news.send(News::Asked { generation, draft });
        });
        Event::TimePassed
    }

    /// HAProxy has answered, or not.
    pub(super) fn asked(
        &mut self,
        generation: Generation,
        draft: Result<Box<Draft>, Failure>,
    ) -> Consequence {
        // It may have been abandoned while HAProxy was asked.
        if !self.preparing.end(generation) {
            return Consequence::Event(Event::TimePassed);
        }
        match draft {
            Ok(draft) => {
                let place = draft.answers().pid_file.as_ref().and_then(PidFilePlace::fine);
                self.preparing.pid_file = place.map(Path::to_owned);
                if !self.is_tried(generation) {
                    self.said.found(Subject::Statistics, draft.answers().unsaved.clone());
                }
                Consequence::Asked(draft)
            }
            Err(failure) => Consequence::Event(Event::Failed { generation, failure }),
        }
    }
}

fn no_answer(what: &str) -> Failure {
    Failure::new(ExitCode::NoHaproxy, format!("asking HAProxy for its version: {what}"))
        .hint("is its file on another machine (NFS, SMB)?")
}
