//! HAProxy's last words, explained.
//!
//! Owns the reading of what HAProxy 2.4 to 3.5 write on standard error when they do not start (or start in a way
//! that will not work). Every line is kept verbatim: HAProxy's words come first, ours are at most one line of help
//! for causes that are known ([`ComplaintCause`]). Decides nothing and looks nothing up; what holds a port and whether a
//! directory is there, the shell finds out.
//!
//! The texts were collected by making 2.6.12, 3.0.11 and 3.2.26 fail (see the tests); 2.4 and 2.5 put other words
//! before them, which is why only the middle of a line is looked at.

use std::borrow::Cow;

mod cause;
mod cited;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod remedy;

use crate::configuration::Configuration;

pub use cause::ComplaintCause;

/// As much of standard error as is looked at: a HAProxy that repeats itself for 64 KiB will not become clearer.
const ENOUGH: usize = 64 << 10;

/// What HAProxy wrote, and what is known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaint {
    /// All lines as they came (invalid UTF-8 replaced), without the empty ones at the end.
    pub lines: Vec<String>,
    /// The known causes in the order of the lines, each once.
    pub causes: Vec<ComplaintCause>,
}

impl Complaint {
    /// Reads standard error.
    pub fn read(stderr: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stderr.get(..ENOUGH).unwrap_or(stderr));
        let lines: Vec<String> = text.trim_end().lines().map(str::to_owned).collect();
        let mut causes = Vec::new();
        for line in &lines {
            if let Some(cause) = ComplaintCause::of(line)
                && !causes.contains(&cause)
            {
                causes.push(cause);
            }
        }
        Self { lines, causes }
    }

    /// The lines that say what is wrong: alerts, and warnings that are no mere consequence of one. All lines if
    /// none is such.
    pub fn essence(&self) -> Vec<&str> {
        const CONSEQUENCES: [&str; 4] =
            ["exit-on-failure", "All workers exited", "Failed to load worker", "Current worker"];
        let essential: Vec<&str> = self
            .lines
            .iter()
            .map(String::as_str)
            .filter(|line| line.contains("[ALERT]") || line.contains("[WARNING]"))
            .filter(|line| !CONSEQUENCES.iter().any(|consequence| line.contains(consequence)))
            .collect();
        if essential.is_empty() { self.lines.iter().map(String::as_str).collect() } else { essential }
    }

    /// The line that tells most, for a message of one line: the first alert, else the first line that matters.
    pub fn headline(&self) -> Option<&str> {
        let essence = self.essence();
        essence.iter().find(|line| line.contains("[ALERT]")).or(essence.first()).copied()
    }

    /// The lines of these files that it is about, as they were read: `haproxy.cfg:5: bind :80 nonsense`. Some at most; one
    /// that may have a secret is only named.
    pub fn cited(&self, configuration: &Configuration) -> Vec<String> {
        cited::lines(&self.essence(), configuration)
    }

    /// One line of help for each known cause, where the files may be known that HAProxy was started with. `is_root`: whether
    /// it was started as root.
    pub fn remedies(
        &self,
        configuration: Option<&Configuration>,
        is_root: bool,
    ) -> impl Iterator<Item = Cow<'static, str>> {
        self.causes.iter().map(move |cause| {
            let as_a_user = (!is_root).then(|| cause.remedy_as_a_user()).flatten();
            as_a_user.map_or_else(|| cause.remedy(configuration), Cow::Owned)
        })
    }
}

#[cfg(test)]
mod tests;
