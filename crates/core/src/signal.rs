//! Signals by their number, with their usual names.

use std::fmt;

/// A signal, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl Signal {
    /// The one that cannot be caught.
    pub const KILL: Self = Self(9);
}

/// `SIGTERM`; a real-time signal is `signal 34`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(known) => f.write_str(known.as_str()),
            Err(_) => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_that_everybody_knows() {
        for (number, name) in [
            (1, "SIGHUP"),
            (6, "SIGABRT"),
            (9, "SIGKILL"),
            (10, "SIGUSR1"),
            (11, "SIGSEGV"),
            (12, "SIGUSR2"),
            (15, "SIGTERM"),
            (31, "SIGSYS"),
            (34, "signal 34"),
            (0, "signal 0"),
            (-1, "signal -1"),
        ] {
            assert_eq!(Signal(number).to_string(), name);
        }
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
    }
}
