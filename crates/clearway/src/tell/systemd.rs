//! systemd, where it has started this Clearway: what it is told (`sd_notify(3)`), and the listening sockets that it
//! keeps over a restart of the unit (`FileDescriptorStoreMax=`).
//!
//! ```text
//!   systemd                                              Clearway
//!      |-- LISTEN_FDS, LISTEN_FDNAMES ------------------->|  begins with the sockets that it had before
//!      |<- FDSTOREREMOVE=1 FDNAME=clearway/1/INODE/... ---|  a commit: what is no longer used goes,
//!      |<- FDSTORE=1 FDNAME=... --------------------------|  and then comes every socket that is not there yet
//!      |<- READY=1 ---------------------------------------|  the first commit, not before; the end of a reload
//!      |<- RELOADING=1 MONOTONIC_USEC=... ----------------|  a reload begins, also one by another way
//!      |<- STOPPING=1 ------------------------------------|  a stop: TimeoutStopSec= begins; the store stays
//!      |<- STATUS=... ------------------------------------|  a sentence at each change
//! ```
//!
//! Whether a stop is half a restart Clearway cannot know: systemd keeps the store for the next start, or closes it
//! when the unit is down for good. Only one that has nothing to come back for empties it: `clearway stop --release`, and
//! one that another Clearway has taken over from.
//!
//! Without `NOTIFY_SOCKET` nothing is sent, and there is no thread. HAProxy sees none of [`VARIABLES`]: it would talk
//! to systemd itself.

use std::ffi::OsString;
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_core::supervisor::{Action, Report, Turn};
use clearway_haproxy::getsocks::ReceivedSocket;

use crate::custody::sockets::Sockets;
use crate::custody::subscription::Subscription;

mod mailbox;
pub(super) mod stored;

pub use stored::Stored;

use mailbox::{Letter, Mailbox};

/// Variables by which systemd talks to the main process of a unit, and to no other one.
pub const VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "FDSTORE",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Systemd {
    custody: Subscription,
    mailbox: Option<Mailbox>,
    stored: Stored,
    /// Whether a reload waits for the attempt that is under way: the end of this one is not the end of reloading.
    one_more: bool,
    /// The attempt that was planned last.
    planned: Option<Generation>,
    /// What was said last.
    phase: UnitPhase,
    /// Whether another Clearway has the sockets.
    superseded: bool,
}

/// What systemd believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnitPhase {
    /// No generation has served yet.
    Starting,
    /// One serves, or is on the way back.
    Ready,
    /// This is the end.
    Stopping,
}

impl Systemd {
    /// What this process was started with, by the variable `NOTIFY_SOCKET`, which is only read.
    pub fn of_this_process(
        stored: Stored,
        variable: impl Fn(&str) -> Option<OsString>,
        custody: Subscription,
    ) -> Self {
        let mailbox = variable("NOTIFY_SOCKET")
            .filter(|address| !address.is_empty())
            .and_then(|address| Mailbox::at(&address, &stored));
        let phase = UnitPhase::Starting;
        Self { custody, mailbox, stored, one_more: false, planned: None, phase, superseded: false }
    }

    /// The sockets that systemd has kept, once.
    pub fn kept(&mut self) -> Vec<ReceivedSocket> {
        self.stored.take_sockets()
    }

    /// Waits for a set of sockets that serves, and has it kept, and no others. Never ends without; can be cancelled.
    pub async fn keep_up(&mut self) {
        self.custody.changed().await;
        self.keep();
    }

    fn keep(&mut self) {
        if let (Some(sockets), Some(mailbox)) = (self.custody.news(), &self.mailbox) {
            mailbox.post(Letter::Keep(sockets));
        }
    }

    /// What is about to be carried out, as far as systemd is to hear of it.
    pub fn hear(&mut self, action: &Action) {
        match action {
            // What waited is in this one.
            Action::Plan(generation) => {
                self.one_more = false;
                self.planned = Some(*generation);
            }
            Action::Prepare(generation, _) => {
                // What has come since the plan of this one is not in it.
                self.one_more &= self.planned.take() == Some(*generation);
                if self.phase == UnitPhase::Starting {
                    self.say("", &format!("generation {generation} is starting"));
                }
            }
            Action::Report(report) => self.hear_report(report),
            _ => {}
        }
    }

    fn hear_report(&mut self, report: &Report) {
        let state = match report {
            Report::ReloadAsked { .. }
            | Report::ApplyAsked { .. }
            | Report::RollbackAsked { back_to: Some(_), .. } => reloading(),
            // It is over already, and may have waited.
            Report::RollbackAsked { back_to: None, .. } if self.phase == UnitPhase::Ready => {
                self.one_more = false;
                self.done()
            }
            Report::ReloadQueued { .. } => {
                self.one_more = true;
                reloading()
            }
            Report::Applied { .. } | Report::NothingToApply { .. } => self.done(),
            Report::Serving { .. } => {
                self.phase = UnitPhase::Ready;
                self.done()
            }
            // A reload is done also if it failed.
            Report::Refused { .. } if self.phase == UnitPhase::Ready => self.done(),
            Report::Takeover(Turn::TakenOver { .. } | Turn::GivingBack | Turn::Withdrawn { .. }) => {
                self.superseded = true;
                String::new()
            }
            Report::Refused { .. }
            | Report::Crashed { .. }
            | Report::StopAnnounced { .. }
            | Report::Stopping { .. }
            | Report::Left { .. }
            | Report::Cutting { .. }
            | Report::Takeover(_)
            | Report::Leaving { .. } => String::new(),
            _ => return,
        };
        self.say(&state, &report.to_string());
    }

    fn done(&self) -> String {
        if self.one_more { String::new() } else { "READY=1\n".to_owned() }
    }

    /// A stop begins. The store is emptied if that is to be `at_once`. Of one that was taken
    /// over from nothing is said: `TimeoutStopSec=` would count from then, and its sessions may take much longer.
    pub fn stop(&mut self, at_once: bool) {
        let former = std::mem::replace(&mut self.phase, UnitPhase::Stopping);
        if former != UnitPhase::Stopping && !self.superseded {
            self.post(Letter::Say("STOPPING=1\n".to_owned()));
        }
        if at_once || self.superseded {
            self.post(Letter::Keep(Arc::new(Sockets::default())));
        }
    }

    fn say(&mut self, state: &str, sentence: &str) {
        let sentence = sentence.replace(char::is_control, " ");
        self.post(Letter::Say(format!("{state}STATUS={sentence}\n")));
    }

    /// What serves first: `READY=1` means that it is kept.
    fn post(&mut self, letter: Letter) {
        self.keep();
        if let Some(mailbox) = &self.mailbox {
            mailbox.post(letter);
        }
    }
}

/// `Type=notify-reload` wants to know of which reload this is, by the time.
fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n")
}

#[cfg(test)]
mod tests;
