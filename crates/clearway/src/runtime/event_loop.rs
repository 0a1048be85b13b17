//! The loop: waits for what happens next, tells the core, and hands what that answers to the shell, in order.

use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::{Asker, Event, Supervisor};

use crate::ground::settle::settle_or_break;
use crate::ground::{due, steps};
use crate::runtime::signals::{SignalNews, Signals};
use crate::shell::{News, Shell};

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
            let deadline = self.core.due().map(|at| self.begun + at);
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
        let step = |all: &mut Self, event| {
            steps::at("takes", &event);
            all.core.step(event, all.now())
        };
        let carry_out = |all: &mut Self, action| {
            steps::at("does", &action);
            all.shell.carry_out(action)
        };
        settle_or_break(self, event, step, carry_out).break_value()
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
