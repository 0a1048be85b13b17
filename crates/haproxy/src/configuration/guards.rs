//! `.if`, `.elif`, `.else` and `.endif`: under which conditions a line counts.
//!
//! Conditions are not evaluated here; `haproxy -cc CONDITION` can (since 2.5), with exit status 0 for true, 1 for
//! false and 2 where it does not understand. Blocks do not reach beyond their file.

use std::fmt;
use std::sync::Arc;

/// More than HAProxy nests (16); what lies deeper is treated as if it had no further condition.
const DEEPEST: usize = 16;

/// Whether a condition must be true or false for a line to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The line counts where the condition is true.
    True,
    /// The line counts where the condition is false (it stands behind `.else` or `.elif`).
    False,
}

/// One condition that guards a line. A line counts where all of its guards are as they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The condition with variables expanded and quotes taken away, words joined by one blank.
    pub condition: Arc<str>,
    /// What it must be.
    pub holds: Holds,
}

impl Guard {
    /// The condition as an argument of `haproxy -cc`, which would otherwise read quotes and backslashes again.
    pub fn argument(&self) -> String {
        let mut argument = String::new();
        for c in self.condition.chars() {
            if matches!(c, '\\' | '"' | '\'') {
                argument.push('\\');
            }
            argument.push(c);
        }
        argument
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.holds == Holds::True { "" } else { "not " };
        write!(f, "{not}`{}`", self.condition)
    }
}

/// The blocks that are open at some line.
#[derive(Default)]
pub(super) struct Blocks {
    open: Vec<Vec<Guard>>,
    current: Arc<[Guard]>,
}

impl Blocks {
    /// Takes a line that begins with a dot. False: it is no conditional.
    pub(super) fn take(&mut self, words: &[String]) -> bool {
        let condition = || words.get(1..).unwrap_or_default().join(" ").into();
        match words.first().map(String::as_str) {
            Some(".if") => self.open.push(vec![Guard { condition: condition(), holds: Holds::True }]),
            Some(".elif") => self.turn(Some(Guard { condition: condition(), holds: Holds::True })),
            Some(".else") => self.turn(None),
            Some(".endif") => {
                self.open.pop();
            }
            _ => return false,
        }
        self.current = self.open.iter().take(DEEPEST).flatten().cloned().collect();
        true
    }

    /// The other side of the innermost block.
    fn turn(&mut self, next: Option<Guard>) {
        if let Some(guards) = self.open.last_mut() {
            if let Some(last) = guards.last_mut() {
                last.holds = Holds::False;
            }
            if guards.len() < DEEPEST {
                guards.extend(next);
            }
        }
    }

    /// The guards of the line.
    pub(super) fn current(&self) -> Arc<[Guard]> {
        Arc::clone(&self.current)
    }

    /// The end of a file ends all blocks; HAProxy refuses a file that leaves one open.
    pub(super) fn end_of_file(&mut self) {
        *self = Self::default();
    }
}
