//! Whether the network that this process began in is still there.
//!
//! A container that shares another one's network (`network_mode: service:...`) keeps the network namespace when the
//! other one is restarted, but not what is in it: the interfaces are gone, and no client comes any more. HAProxy is still serving,
//! and does not notice.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use clearway_kernel::interfaces;

use crate::ground::notice::tell;
use crate::path::notices::PathNotice;

/// What is remembered of the interfaces.
#[derive(Debug)]
pub struct Interfaces {
    /// Whether there was one beside `lo`.
    had: AtomicBool,
    /// Whether it was said that there is none any more.
    said: AtomicBool,
}

impl Interfaces {
    /// As it is now.
    pub fn new() -> Self {
        let had = interfaces::are_beside_lo() == Some(true);
        Self { had: had.into(), said: false.into() }
    }

    /// Whether there is no interface beside `lo` any more. Where there never was one, nothing is missing. A host with
    /// thousands of interfaces takes a while to list them: not to be called in the loop.
    pub fn are_gone(&self) -> bool {
        match interfaces::are_beside_lo() {
            Some(true) => {
                self.had.store(true, Relaxed);
                self.said.store(false, Relaxed);
            }
            Some(false) if self.had.load(Relaxed) && !self.said.swap(true, Relaxed) => {
                tell(&PathNotice::NetworkGone);
            }
            _ => {}
        }
        self.were_gone()
    }

    /// The same when it was looked at last.
    pub fn were_gone(&self) -> bool {
        self.said.load(Relaxed)
    }
}
