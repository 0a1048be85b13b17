//! Signals by their number, with the names that everybody knows.

use std::fmt;

/// The names of signals 1 to 31, without `SIG`: `include/uapi/asm-generic/signal.h` of Linux, which counts for `x86_64`,
/// `aarch64` and all newer architectures (alpha, mips and sparc have others, and no Clearway).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

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
        let index = usize::try_from(self.0).ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| NAMES.get(index)) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
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
