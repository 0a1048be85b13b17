//! Hearing from the kernel that another process may have removed rules and routes of ours, and saying what was found.
//!
//! ```text
//!   a process        the kernel        RemovalWatch              the machine
//!      | removes -------->|                 |                        |
//!      |                  |---- a hint ---->|---- Removed ---------->| Unwatch
//!      |                  |                 |                        |   a pause
//!      |                  |                 |<--- Watch, then Look --|
//! ```
//!
//! When to look is decided in [`clearway_core::path`].

use std::io;

use clearway_core::path::{PathEvent, repairs, upkeep};
use clearway_kernel::plumbing::{Plumbing, Repaired};
use clearway_kernel::routing::Removals;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ground::notice::tell;
use crate::path::notices::PathNotice;

/// What keeps others from it.
const REMEDY: &str = "systemd-networkd removes rules and routes that are not its own when it restarts, unless \
    /etc/systemd/networkd.conf has `ManageForeignRoutingPolicyRules=no` and `ManageForeignRoutes=no` below `[Network]`; \
    NetworkManager leaves `lo` alone after `nmcli device set lo managed no`";

/// Watches for removals, or does nothing at all; and what was said of them.
#[derive(Debug, Default)]
pub(super) struct RemovalWatch {
    removals: Option<AsyncFd<Removals>>,
    said_remedy: bool,
    said_unwatched: bool,
    /// Why the last look failed.
    failed: Option<String>,
    /// How often something was put back.
    repairs: u64,
}

impl RemovalWatch {
    /// From now on what happens to this plumbing is heard.
    pub(super) fn begin(&mut self, plumbing: &Plumbing) -> Option<PathEvent> {
        // The old one is closed first: it may be the last descriptor that there is.
        self.removals = None;
        match open(plumbing) {
            Ok(removals) => {
                self.removals = Some(removals);
                None
            }
            Err(why) => {
                if !std::mem::replace(&mut self.said_unwatched, true) {
                    tell(&PathNotice::Unwatched { error: why, pause: upkeep::ANYWAY.as_secs() });
                }
                Some(PathEvent::CannotWatch)
            }
        }
    }

    /// Nothing is heard any more.
    pub(super) fn end(&mut self) {
        self.removals = None;
    }

    /// Waits until something of ours may be gone.
    pub(super) async fn removed(&self) {
        let Some(removals) = &self.removals else { return std::future::pending().await };
        loop {
            // An error means that the runtime ends.
            let Ok(mut ready) = removals.ready(Interest::READABLE | Interest::ERROR).await else {
                return std::future::pending().await;
            };
            if removals.get_ref().heard() {
                return;
            }
            ready.clear_ready();
        }
    }

    /// What was gone, and is back.
    pub(super) fn say_repaired(&mut self, Repaired { put_back, removed }: Repaired) {
        if !removed.is_empty() {
            tell(&PathNotice::NotNeeded { removed });
        }
        if self.failed.take().is_some() {
            tell(&PathNotice::LookedAt);
        }
        if put_back.is_empty() {
            return;
        }
        self.repairs += 1;
        let is_new = !std::mem::replace(&mut self.said_remedy, true);
        let hints = is_new.then(|| REMEDY.to_owned()).into_iter().collect();
        tell(&PathNotice::Repaired { put_back, hints });
    }

    /// How often something was put back.
    pub(super) fn repairs(&self) -> u64 {
        self.repairs
    }

    /// It could not be looked, or put back.
    pub(super) fn say_failed(&mut self, why: String) {
        if self.failed.as_ref() != Some(&why) {
            tell(&PathNotice::NotRepaired { error: why.clone() });
            self.failed = Some(why);
        }
    }
}

/// It is put back all the same.
pub(super) fn say_removed_again_and_again() {
    let hints = vec![format!("{REMEDY}; `ip monitor rule route` shows when")];
    tell(&PathNotice::RemovedAgainAndAgain { pause: repairs::LONGEST.as_secs(), hints });
}

fn open(plumbing: &Plumbing) -> Result<AsyncFd<Removals>, String> {
    let removals = plumbing.removals().map_err(|error| error.to_string())?;
    // An overrun is an error of the socket, and there may be nothing to read then.
    let interest = Interest::READABLE | Interest::ERROR;
    // SAFETY: `Removals` owns its socket, gives it to nothing else, and has the same one until it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(removals, interest) };
    watched.map_err(|error| io::Error::from(error).to_string())
}
