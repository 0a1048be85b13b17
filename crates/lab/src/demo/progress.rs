//! Says what is going on: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Both ways to say it.
pub(super) enum Progress {
    /// A bar that is redrawn.
    Bar(ProgressBar),
    /// A line per step.
    Lines,
}

impl Progress {
    pub(super) fn new(steps: u64) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new(steps);
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    /// Begins the next step.
    pub(super) fn step(&self, message: &str) {
        match self {
            Self::Bar(bar) => {
                bar.inc(1);
                bar.set_message(message.to_owned());
            }
            Self::Lines => eprintln!("{message} ..."),
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
