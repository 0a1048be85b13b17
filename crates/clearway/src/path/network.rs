//! Whether the network that this process began in is still there.
//!
//! A container that shares another one's network (`network_mode: service:...`) keeps the network namespace when the
//! other one is restarted, but not what is in it: the interfaces are gone, and no client comes any more. HAProxy is still serving,
//! and does not notice.

use clearway_kernel::interfaces;
use tracing::error;

/// What is wrong then, for people.
pub const GONE: &str = "the network is gone: no interface but `lo` is left (was the container that owns it restarted?); no client \
     can come until this container is restarted, too";

/// What is remembered of the interfaces.
#[derive(Debug)]
pub struct Interfaces {
    /// Whether there was one beside `lo`.
    had: bool,
    /// Whether it was said that there is none any more.
    said: bool,
}

impl Interfaces {
    /// As it is now.
    pub fn new() -> Self {
        Self { had: interfaces::are_beside_lo() == Some(true), said: false }
    }

    /// Whether there is no interface beside `lo` any more. Where there never was one, nothing is missing.
    pub fn are_gone(&mut self) -> bool {
        match interfaces::are_beside_lo() {
            Some(true) => *self = Self { had: true, said: false },
            Some(false) if self.had && !self.said => {
                self.said = true;
                error!("{GONE}");
            }
            _ => {}
        }
        self.said
    }
}
