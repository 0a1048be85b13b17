//! A generation that is told to drain before its proof may not hear it, and is told again.
//!
//! Its worker is not known yet, so its master is told. Up to 3.0 that one executes itself anew just after its worker has
//! begun to answer, and loses every signal of those 20 to 40 ms, on a slow machine of more.

use std::time::Duration;

use super::action::Action;
use super::life::{Life, LifeState, Reminder};
use super::machine::Supervisor;

impl Life {
    /// It drains from now on.
    pub(super) fn begins_to_drain(&mut self, now: Duration) {
        self.state = LifeState::Draining { since: now };
        self.reminder = if self.has_proved { None } else { Reminder::after(0, now) };
    }

    /// Its worker is known, which hears what it is told.
    pub(super) fn proves_itself(&mut self) {
        self.has_proved = true;
        self.reminder = None;
    }
}

impl Supervisor {
    pub(super) fn next_reminder(&self) -> Option<Duration> {
        self.lives.values().filter_map(|life| life.reminder).map(|reminder| reminder.at).min()
    }

    pub(super) fn look_at_the_reminders(&mut self, now: Duration, todo: &mut Vec<Action>) {
        for (generation, life) in &mut self.lives {
            if let Some(reminder) = life.reminder.filter(|reminder| reminder.at <= now) {
                todo.push(Action::Drain(*generation));
                life.reminder = Reminder::after(reminder.time, now);
            }
        }
    }
}
