//! A number with its noun, for people: `1 session`, `2 sessions`.

use std::fmt;

/// So many of what the noun says, in the singular.
#[derive(Clone, Copy, Debug)]
pub struct Count<N>(pub N, pub &'static str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Count<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        if *number == N::from(1) {
            return write!(f, "{number} {noun}");
        }
        match noun.strip_suffix('y') {
            Some(stem) => write!(f, "{number} {stem}ies"),
            None if noun.ends_with('s') => write!(f, "{number} {noun}es"),
            None => write!(f, "{number} {noun}s"),
        }
    }
}

/// The first of them, and how many more there are.
pub fn some(items: &[String], most: usize) -> String {
    let named = items.get(..most).unwrap_or(items).join(", ");
    match items.len().saturating_sub(most) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// How many sessions, as far as that is known.
pub fn sessions(number: Option<u64>) -> String {
    number.map_or_else(
        || "an unknown number of sessions".to_owned(),
        |number| Count(number, "session").to_string(),
    )
}

#[cfg(test)]
mod tests;
