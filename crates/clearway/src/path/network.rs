//! Whether the network that this process began in is still there.
//!
//! A container that shares another one's network (`network_mode: service:...`) keeps the network namespace when the
//! other one is restarted, but not what is in it: the interfaces are gone, and no client comes any more. HAProxy is still serving,
//! and does not notice.

use clearway_kernel::interfaces;
use tracing::error;

use crate::front::admin::Health;
use crate::shell::Shell;

/// What is remembered of the interfaces.
#[derive(Debug)]
pub struct Network {
    /// Whether there was one beside `lo`.
    had: bool,
    /// Whether it was said that there is none any more.
    said: bool,
}

impl Network {
    /// As it is now.
    pub fn new() -> Self {
        Self { had: interfaces::are_beside_lo() == Some(true), said: false }
    }

    /// Whether there is no interface beside `lo` any more. Where there never was one, nothing is missing.
    pub fn is_gone(&mut self) -> bool {
        match interfaces::are_beside_lo() {
            Some(true) => *self = Self { had: true, said: false },
            Some(false) if self.had && !self.said => {
                self.said = true;
                error!("{}", Health::NetworkGone);
            }
            _ => {}
        }
        self.said
    }
}

impl Shell {
    /// What a probe is told. `serves`: whether a generation does.
    pub fn health(&mut self, serves: bool) -> Health {
        match serves {
            true if self.path.network.is_gone() => Health::NetworkGone,
            true => Health::Serving,
            false => Health::NotServing,
        }
    }
}
