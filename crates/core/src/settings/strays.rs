//! Variables that look like settings and are none: a mistyped name would be ignored without a word.
//!
//! Kubernetes puts variables of its own into every pod for each Service of its namespace, whatever that is called
//! (`CLEARWAY_SERVICE_HOST`, `CLEARWAY_EDGE_PORT_80_TCP_ADDR`); those are left alone, and so is what our tools and tests use.

use std::fmt;

use super::table::TABLE;
use crate::notice::parts;

/// What every variable of ours begins with, but for those of other images.
const PREFIX: &str = "CLEARWAY_";

/// What `deploy/`, `scripts/` and the tests use: no settings, and not mistyped.
const OF_TOOLS: [&str; 7] = [
    "CLEARWAY_IMAGE",
    "CLEARWAY_ENGINE",
    "CLEARWAY_BIN",
    "CLEARWAY_STEPS_BIN",
    "CLEARWAY_LAB_BIN",
    "CLEARWAY_TEST_",
    "CLEARWAY_KERNEL_",
];

/// How a Service's variables go on behind its name; the first is the address alone.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const DETAILS: [&str; 3] = ["PROTO", "PORT", "ADDR"];

/// A variable without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its name.
    pub name: String,
    /// The setting that is most like it, if one is like it.
    pub nearest: Option<&'static str>,
}

parts! {
    Stray as stray {
        variable: String = stray.name.clone(),
        nearest: Option<String> = stray.nearest.map(str::to_owned),
    }
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable `{}` is no setting of Clearway, and has no effect", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, ": did you mean `{nearest}`?"),
            None => f.write_str("; `clearway run --help` lists all settings"),
        }
    }
}

/// Those of an environment, in its order.
pub fn strays<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Stray> {
    let is_stray = |name: &str, value: &str| {
        let ours = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        ours && TABLE.iter().all(|row| row.variable != name)
            && !OF_TOOLS.iter().any(|tool| name == *tool || tool.ends_with('_') && name.starts_with(tool))
            && !is_of_kubernetes(name, value)
    };
    environment
        .into_iter()
        .filter(|(name, value)| is_stray(name, value))
        .map(|(name, _)| Stray { name: name.to_owned(), nearest: nearest(name) })
        .collect()
}

/// `X_SERVICE_HOST`, `X_SERVICE_PORT`, `X_SERVICE_PORT_HTTP`, `X_PORT=tcp://10.0.0.1:80`, `X_PORT_80_TCP`,
/// `X_PORT_80_TCP_ADDR`, where `X` is the name of the Service.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    // The name of the Service has one word at least, and may have any.
    (1..words.len()).any(|at| match words.get(at..).unwrap_or_default() {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        ["PORT"] => value.contains("://"),
        ["PORT", number, protocol, details @ ..] => {
            number.parse::<u16>().is_ok()
                && PROTOCOLS.contains(protocol)
                && matches!(details, [] | [_])
                && details.iter().all(|one| DETAILS.contains(one))
        }
        _ => false,
    })
}

/// Two letters more or less, or a fifth of the name, are a mistake in typing; `_` is the most common of all.
fn nearest(name: &str) -> Option<&'static str> {
    let bare = |name: &str| {
        let upper = name.to_ascii_uppercase();
        upper.split_once('_').map_or(upper.clone(), |(_, rest)| rest.to_owned())
    };
    let name = bare(name);
    let distances = TABLE.iter().map(|row| (distance(&name, &bare(row.variable)), row.variable));
    let (distance, variable) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 5).max(2)).then_some(variable)
}

/// How many letters are to be put in, taken out or changed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, wanted) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
