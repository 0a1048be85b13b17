//! What the HAProxy that runs can change at run time: its version, and the commands that its `help` offers.

use crate::version::Version;

/// What the HAProxy that runs can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Its version, as `show info` says it: of the process that serves, not of the program on the disk.
    pub version: Version,
    /// The lines of `help`, without the blanks before them.
    offers: Vec<String>,
}

impl Capabilities {
    /// `help`: the answer to that command at the private socket. An empty one offers nothing.
    pub fn new(version: Version, help: &str) -> Self {
        Self { version, offers: help.lines().map(|line| line.trim().to_owned()).collect() }
    }

    /// Whether its help has a command that begins with these words.
    pub fn offers(&self, words: &str) -> bool {
        let begins = |line: &String| {
            line.strip_prefix(words)
                .is_some_and(|rest| rest.chars().next().is_none_or(|c| !c.is_alphanumeric()))
        };
        self.offers.iter().any(begins)
    }

    /// Whether it is of that version or later.
    pub fn since(&self, major: u16, minor: u16) -> bool {
        (self.version.major, self.version.minor) >= (major, minor)
    }
}
