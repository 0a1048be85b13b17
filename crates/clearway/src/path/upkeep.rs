//! Keeping the plumbing whole: noticing that others remove rules and routes of ours, and when to put them back.
//!
//! ```text
//!   somebody         the kernel            Upkeep                      the loop
//!      | removes -------->|                   |                            |
//!      |                  |---- a hint ------>| hears nothing any more     |
//!      |                  |                   |---- after a pause: due --->| hears anew, then looks:
//!      |                  |                   |<--- looked: this was gone -| Plumbing::repair
//! ```
//!
//! A hint ends the hearing until the next look, and the hearing begins anew just before that. So nothing that is
//! removed after a look has begun is missed, what was removed before is seen by it, and somebody who removes things
//! without pause wakes us once per look and no more. How long to wait until a look, [`pace`] says.
//!
//! It hears only while there is plumbing, and wakes for nothing else. Where it cannot hear, it looks every [`ANYWAY`].

use std::io;
use std::time::{Duration, Instant};

use clearway_kernel::plumbing::{Plumbing, Repaired};
use clearway_kernel::routing::Removals;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{info, warn};

use crate::ground::due;
use crate::tell::log;

mod pace;

use pace::Pace;

/// When to look again although nobody has hinted at anything: where a look failed, or nothing can be heard.
const ANYWAY: Duration = Duration::from_secs(10);

/// What keeps others from it.
const REMEDY: &str = "systemd-networkd removes rules and routes that are not its own when it restarts, unless \
    /etc/systemd/networkd.conf has `ManageForeignRoutingPolicyRules=no` and `ManageForeignRoutes=no` below `[Network]`; \
    NetworkManager leaves `lo` alone after `nmcli device set lo managed no`";

/// Hears for the plumbing, or does nothing at all.
#[derive(Debug, Default)]
pub struct Upkeep {
    ear: Option<AsyncFd<Removals>>,
    /// When to look.
    at: Option<Instant>,
    pace: Pace,
    /// What was said already.
    said: Said,
}

#[derive(Debug, Default)]
struct Said {
    remedy: bool,
    fight: bool,
    deaf: bool,
    /// Why the last look failed.
    failed: Option<String>,
}

impl Upkeep {
    /// From now on what happens to this plumbing is heard; called before each look at it.
    pub fn hear(&mut self, plumbing: &Plumbing) {
        self.at = None;
        // The old one is closed first: it may be the last descriptor that there is.
        self.ear = None;
        match open(plumbing) {
            Ok(ear) => self.ear = Some(ear),
            Err(why) => {
                self.at = Some(Instant::now() + ANYWAY);
                if !std::mem::replace(&mut self.said.deaf, true) {
                    warn!(
                        "cannot watch for removal of the rules and routes of the transparent plumbing ({why}); checking every {} s \
                         instead",
                        ANYWAY.as_secs()
                    );
                }
            }
        }
    }

    /// There is no plumbing any more.
    pub fn end(&mut self) {
        self.ear = None;
        self.at = None;
    }

    /// Waits until it is time to look: then [`Upkeep::hear`] is called, and what was found told. May be dropped at any
    /// time, and called again.
    pub async fn due(&mut self) {
        loop {
            let at = self.at;
            let Some(ear) = &mut self.ear else { return due::at(at).await };
            tokio::select! {
                () = due::at(at) => return,
                () = heard(ear) => {
                    self.ear = None;
                    let (now, soon) = (Instant::now(), self.pace.pause(Instant::now()));
                    self.at = Some(at.map_or(now + soon, |at| at.min(now + soon)));
                }
            }
        }
    }

    /// What was gone, and is back.
    pub fn looked(&mut self, Repaired { put_back, removed }: &Repaired) {
        if !removed.is_empty() {
            info!("this part of the plumbing is no longer needed: {}", removed.join(", "));
        }
        if self.said.failed.take().is_some() {
            info!("the transparent plumbing could be looked at again");
        }
        let now = Instant::now();
        self.pace.looked(now, !put_back.is_empty());
        if put_back.is_empty() {
            return;
        }
        warn!(
            "another program had removed a part of the transparent plumbing; put back: {}",
            put_back.join(", ")
        );
        if !std::mem::replace(&mut self.said.remedy, true) {
            log::hints(&[REMEDY]);
        }
        let fight = self.pace.is_fight(now);
        if fight && !self.said.fight {
            warn!(
                "another program removes the transparent plumbing again and again; it is put back more and more seldom, at most \
                 every {} s, and transparent connections fail meanwhile",
                pace::LONGEST.as_secs()
            );
            log::hints(&[&*format!("{REMEDY}; `ip monitor rule route` shows when")]);
        }
        self.said.fight |= fight;
    }

    /// It could not be looked, or put back.
    pub fn failed(&mut self, why: String) {
        let now = Instant::now();
        self.pace.looked(now, false);
        self.at = Some(now + ANYWAY);
        if self.said.failed.as_ref() != Some(&why) {
            warn!("a part of the transparent plumbing is gone and could not be put back: {why}");
            self.said.failed = Some(why);
        }
    }
}

fn open(plumbing: &Plumbing) -> Result<AsyncFd<Removals>, String> {
    let removals = plumbing.removals().map_err(|error| error.to_string())?;
    // An overrun is an error of the socket, and there may be nothing to read then.
    let interest = Interest::READABLE | Interest::ERROR;
    // SAFETY: `Removals` owns its socket, gives it to nobody, and has the same one until it is dropped.
    let ear = unsafe { AsyncFd::register_with_interest(removals, interest) };
    ear.map_err(|error| io::Error::from(error).to_string())
}

/// Waits until something of ours may be gone.
async fn heard(ear: &AsyncFd<Removals>) {
    loop {
        // An error means that the runtime ends.
        let Ok(mut ready) = ear.ready(Interest::READABLE | Interest::ERROR).await else {
            return std::future::pending().await;
        };
        if ear.get_ref().heard() {
            return;
        }
        ready.clear_ready();
    }
}
