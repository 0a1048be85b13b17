//! The loop: waits for what happens next, tells the core, and hands what that answers to the shell, in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::{Asker, Event, Supervisor};

use crate::ground::{due, steps};
use crate::runtime::signals::{SignalNews, Signals};
use crate::shell::{News, Outcome, Shell};

/// The core and the shell, and what they hear of.
#[derive(Debug)]
pub struct EventLoop {
    core: Supervisor,
    shell: Shell,
    signals: Signals,
    begun: Instant,
}

impl EventLoop {
    /// Of which nothing has happened yet.
    pub fn new(core: Supervisor, shell: Shell, signals: Signals) -> Self {
        Self { core, shell, signals, begun: Instant::now() }
    }

    /// Runs until the core leaves.
    pub async fn run(mut self) -> ExitCode {
        let mut exit = self.take(Event::Begin);
        while exit.is_none() {
            let deadline = self.core.next_deadline().map(|at| self.begun + at);
            exit = tokio::select! {
                biased;
                news = self.shell.next() => self.take_news(news),
                news = self.signals.next() => self.take_signal(news),
                () = due::at(deadline) => self.take(Event::TimePassed),
            };
        }
        let code = exit.unwrap_or(ExitCode::Internal);
        self.shell.finish(code).await;
        code
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Tells the core, and carries out what it answers, until there is nothing more to do.
    fn take(&mut self, event: Event) -> Option<ExitCode> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            steps::at("takes", &event);
            for action in self.core.step(event, self.now()) {
                steps::at("does", &action);
                match self.shell.carry_out(action) {
                    Outcome::Nothing => {}
                    Outcome::Event(event) => events.push_back(event),
                    Outcome::Exit(code) => return Some(code),
                }
            }
        }
        None
    }

    fn take_news(&mut self, news: News) -> Option<ExitCode> {
        let now = self.now();
        let event = self.shell.hear(news, &self.core, now);
        self.take(event)
    }

    fn take_signal(&mut self, news: SignalNews) -> Option<ExitCode> {
        match news {
            SignalNews::Children => self.shell.reap().into_iter().find_map(|event| self.take(event)),
            SignalNews::Reload(name) => self.take(Event::ReloadAsked(Asker::Signal(name))),
            SignalNews::Stop(name) => self.take(Event::StopAsked(Asker::Signal(name))),
        }
    }
}
