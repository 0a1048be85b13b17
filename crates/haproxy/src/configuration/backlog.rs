//! How many clients may wait at a listening socket, as far as the files say it.
//!
//! HAProxy passes to `listen` the first of these that is not zero (`listener_backlog`, the same from 2.4 to 3.4):
//! `backlog` of the `bind` line, `backlog` of the section, `maxconn` of the `bind` line, `maxconn` of the section,
//! and where the section has none, what the process may have. A frontend inherits both from its `defaults`, a
//! `log-forward` from nothing. What a condition (`.if`) or a `default-bind` leaves open stays [`Backlog::Unknown`].

use std::collections::HashMap;
use std::sync::Arc;

use super::guards::Guard;

/// What `log-forward` begins with.
const LOG_FORWARD: BindLimits = BindLimits { backlog: LimitValue::Nothing, maxconn: LimitValue::Number(10) };

/// How many clients may wait at the socket of a `bind` line. The kernel cuts it at `net.core.somaxconn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// This many.
    Number(u32),
    /// Nothing is said: as many as a frontend takes, `-N` of the command line, else `Hard_maxconn` of `show info`.
    Default,
    /// It depends on what the scanner does not know.
    Unknown,
}

/// What one word says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LimitValue {
    /// It is not there, or 0, which is the same.
    #[default]
    Nothing,
    Number(u32),
    Unclear,
}

impl LimitValue {
    /// As `atol` reads it: digits, and whatever follows them.
    fn read(text: &str) -> Self {
        let text = text.trim_start().trim_start_matches('+');
        if text.starts_with('-') {
            return Self::Unclear;
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
        match digits.parse() {
            Ok(0) => Self::Nothing,
            Ok(number) => Self::Number(number),
            Err(_) if digits.is_empty() => Self::Nothing,
            Err(_) => Self::Unclear,
        }
    }
}

/// `backlog` and `maxconn`, of a line or of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BindLimits {
    backlog: LimitValue,
    maxconn: LimitValue,
}

impl BindLimits {
    const UNCLEAR: Self = Self { backlog: LimitValue::Unclear, maxconn: LimitValue::Unclear };

    /// Takes note of a keyword and its value, if it is one of both.
    pub(super) fn take(&mut self, keyword: &str, value: &str) {
        if let Some(slot) = self.slot(keyword) {
            *slot = LimitValue::read(value);
        }
    }

    fn slot(&mut self, keyword: &str) -> Option<&mut LimitValue> {
        match keyword {
            "backlog" => Some(&mut self.backlog),
            "maxconn" => Some(&mut self.maxconn),
            _ => None,
        }
    }

    /// What a line with these limits has in a section with those.
    fn within(self, section: Self) -> Backlog {
        for said in [self.backlog, section.backlog, self.maxconn, section.maxconn] {
            match said {
                LimitValue::Nothing => {}
                LimitValue::Number(number) => return Backlog::Number(number),
                LimitValue::Unclear => return Backlog::Unknown,
            }
        }
        Backlog::Default
    }
}

/// The sections with `bind` lines, and those that they inherit from.
#[derive(Default)]
enum BacklogSection {
    Defaults {
        name: String,
    },
    #[default]
    Other,
}

/// Collects while the lines go by. A section's own words count for the `bind` lines before them, too, so each is
/// decided when its section is over.
#[derive(Default)]
pub(super) struct BacklogFinder {
    /// Of the last `defaults`.
    last: BindLimits,
    named: HashMap<String, BindLimits>,
    kind: BacklogSection,
    guards: Arc<[Guard]>,
    section: BindLimits,
    open: Vec<BindLimits>,
    decided: Vec<Backlog>,
}

impl BacklogFinder {
    /// A section begins with these words.
    pub(super) fn section(&mut self, words: &[String], guards: Arc<[Guard]>) {
        self.end_section();
        let word = |index: usize| words.get(index).map_or("", String::as_str);
        let base = |name: &str| self.named.get(name).copied().unwrap_or(BindLimits::UNCLEAR);
        self.kind = BacklogSection::Other;
        self.section = match (word(0), word(1), word(2)) {
            ("defaults", "from", name) if words.len() == 3 => {
                self.kind = BacklogSection::Defaults { name: String::new() };
                base(name)
            }
            ("defaults", name, from) => {
                self.kind = BacklogSection::Defaults { name: name.to_owned() };
                if from == "from" { base(word(3)) } else { BindLimits::default() }
            }
            ("frontend" | "listen", _, "from") => base(word(3)),
            ("frontend" | "listen", ..) => self.last,
            ("log-forward", ..) => LOG_FORWARD,
            // `peers` has `default-bind`, and a limit that depends on how many peers there are.
            _ => BindLimits::UNCLEAR,
        };
        self.guards = guards;
    }

    /// A line of the section.
    pub(super) fn line(&mut self, words: &[String], guards: &Arc<[Guard]>) {
        let [keyword, value, ..] = words else { return };
        if *guards == self.guards {
            self.section.take(keyword, value);
        } else if let Some(slot) = self.section.slot(keyword) {
            *slot = LimitValue::Unclear;
        }
    }

    /// A `bind` line of the section.
    pub(super) fn bind(&mut self, own: BindLimits) {
        self.open.push(own);
    }

    fn end_section(&mut self) {
        let section = self.section;
        self.decided.extend(self.open.drain(..).map(|own| own.within(section)));
        if let BacklogSection::Defaults { name } = std::mem::take(&mut self.kind) {
            // Whether it counts at all is open if a condition stands before it.
            self.last = if self.guards.is_empty() { section } else { BindLimits::UNCLEAR };
            self.named.insert(name, self.last);
        }
    }

    /// One for each `bind` line, in their order.
    pub(super) fn into_backlogs(mut self) -> Vec<Backlog> {
        self.end_section();
        self.decided
    }
}

#[cfg(test)]
mod tests;
