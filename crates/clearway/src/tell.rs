//! Observers: the log, systemd. They own nothing else.

pub mod log;
pub mod notices;
pub mod output;
pub mod said;
pub mod systemd;
pub mod voice;

use said::Said;
use systemd::Systemd;

/// Observers: the log, systemd. They own nothing else.
#[derive(Debug)]
pub struct Tell {
    pub said: Said,
    /// Who has started us, if that was systemd.
    pub systemd: Systemd,
}

impl Tell {
    /// Nothing has been done yet.
    pub fn new(systemd: Systemd) -> Self {
        Self { said: Said::default(), systemd }
    }
}
