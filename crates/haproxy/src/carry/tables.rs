//! Stick tables: from what `show table` tells of one HAProxy to what sets the same in another.
//!
//! ```text
//! # table: t, type: string, size:102400, used:2
//! 0x5576642d7360: key=a;b\ c use=0 exp=3584968 server_id=1 gpc0=7 gpc0_rate(10000)=2 conn_cur=1 http_req_cnt=9
//!     --> set table t key a\;b\ c data.server_id 1 data.gpc0 7 data.http_req_cnt 9
//! ```
//!
//! Counters, `gpt0` and `server_id` pass. `conn_cur` does not: the sessions that it counts stay with the former process. Rates do
//! not: what is set counts for a whole period beside what comes meanwhile, so that a client that has done nothing new would be
//! above its limit. When an entry expires cannot be set: that begins anew.
//!
//! Owns no connection. What a HAProxy refuses (it differs between versions) is found out by trying, so the caller tries each
//! value of the first entry by itself.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use crate::runtime::state::ServersState;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

/// The types of keys that `set table` takes.
const SETTABLE: [&str; 4] = ["ip", "ipv6", "integer", "string"];

/// What a line says that is no data.
const NO_DATA: [&str; 3] = ["use", "exp", "shard"];

/// What is not carried, beside rates. `server_key` is the name behind `server_id`, which HAProxy falls back to.
const NOT_CARRIED: [&str; 2] = ["conn_cur", "server_key"];

/// More data in one command would be more words than HAProxy takes (64).
const MOST_DATA: usize = 28;

/// What a table is: the line that begins an answer to `show table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHeading {
    /// Its name.
    pub name: String,
    /// The type of its keys.
    pub keys: String,
    /// How many entries it may have.
    pub size: usize,
    /// How many it has.
    pub used: usize,
}

impl TableHeading {
    /// Reads the line; none if it is another one.
    pub fn of(line: &str) -> Option<Self> {
        let mut heading = Self { name: String::new(), keys: String::new(), size: 0, used: 0 };
        for part in line.strip_prefix("# ")?.split(", ") {
            let (what, value) = part.split_once(':')?;
            match (what, value.trim()) {
                ("table", name) => name.clone_into(&mut heading.name),
                ("type", keys) => keys.clone_into(&mut heading.keys),
                ("size", number) => heading.size = number.parse().ok()?,
                ("used", number) => heading.used = number.parse().ok()?,
                _ => {}
            }
        }
        Some(heading).filter(|heading| !heading.name.is_empty())
    }

    /// All tables of an answer to `show table`.
    pub fn all(answer: &str) -> Vec<Self> {
        answer.lines().filter_map(Self::of).collect()
    }

    /// Why nothing of it can be set in a table of the same name, if so.
    pub fn cannot_become(&self, new: Option<&Self>) -> Option<String> {
        let Some(new) = new else { return Some("it is not in the new file".to_owned()) };
        if new.keys != self.keys {
            return Some(format!("its keys are `{}` now, and were `{}`", new.keys, self.keys));
        }
        let settable = SETTABLE.contains(&self.keys.as_str());
        (!settable).then(|| format!("HAProxy takes no keys of the type `{}`", self.keys))
    }
}

/// Why an entry cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettable {
    /// Its key is the empty string.
    #[error("an empty key cannot be written as a command")]
    Empty,
    /// Its key has a control character, or bytes that are no text.
    #[error("a key with control characters, or that is no text, cannot be written as a command")]
    NoText,
}

/// An entry, as HAProxy has written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry<'a> {
    key: &'a str,
    data: Vec<(&'a str, &'a str)>,
}

impl<'a> TableEntry<'a> {
    /// Reads a line; none if it is another one.
    pub fn of(line: &'a str) -> Option<Self> {
        let mut words = words(line.strip_prefix("0x")?).skip(1);
        let key = words.next()?.strip_prefix("key=")?;
        let data = words.filter_map(|word| word.split_once('='));
        let data = data.filter(|(name, _)| !NO_DATA.contains(name) && !NOT_CARRIED.contains(name));
        let data = data.filter(|(name, _)| !name.split('(').next().unwrap_or_default().ends_with("_rate"));
        // All that can be set is a number. Anything else would not be one word of a command.
        let is_number = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let is_name =
            |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_[]()".contains(&byte));
        let data = data.filter(|(name, value)| is_name(name) && is_number(value));
        Some(Self { key, data: data.take(MOST_DATA).collect() })
    }

    /// Its data that may be set, each by itself: its name, and a command that sets only that.
    pub fn each(&self, table: &str) -> Result<Vec<(&'a str, String)>, Unsettable> {
        let begin = self.begin(table)?;
        Ok(self.data.iter().map(|(name, value)| (*name, format!("{begin} data.{name} {value}"))).collect())
    }

    /// What sets it, but for what is refused. A value of 0 is what an entry begins with.
    pub fn command(&self, table: &str, refused: &BTreeSet<String>) -> Result<String, Unsettable> {
        let mut command = self.begin(table)?;
        for (name, value) in &self.data {
            if *value != "0" && !refused.contains(*name) {
                let _ = write!(command, " data.{name} {value}");
            }
        }
        Ok(command)
    }

    fn begin(&self, table: &str) -> Result<String, Unsettable> {
        Ok(format!("set table {table} key {}", as_word(self.key)?))
    }
}

/// The words of a line, in which a backslash takes the meaning from what follows it.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let mut escaped = false;
        let end = rest.bytes().position(|byte| {
            let is_end = byte == b' ' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        });
        let (word, left) = rest.split_at(end.unwrap_or(rest.len()));
        rest = left.strip_prefix(' ').unwrap_or_default();
        Some(word).filter(|word| !word.is_empty())
    })
}

/// A key that HAProxy has written (`\xC3`, `\ `), as a word of a command, where a backslash takes the meaning from a blank, a
/// semicolon and itself, and nothing else.
fn as_word(written: &str) -> Result<String, Unsettable> {
    let text = String::from_utf8(unescaped(written)).map_err(|_| Unsettable::NoText)?;
    let mut word = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' | '\t' | ';' | '\\' => word.extend(['\\', c]),
            c if c.is_control() => return Err(Unsettable::NoText),
            c => word.push(c),
        }
    }
    if word.is_empty() { Err(Unsettable::Empty) } else { Ok(word) }
}

fn unescaped(written: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'\\', [b'x', high, low, left @ ..]) => {
                let digit =
                    |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(high).unwrap_or(0) << 4 | digit(low).unwrap_or(0));
                rest = left;
            }
            (b'\\', [escaped, left @ ..]) => {
                bytes.push(match escaped {
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'e' => 0x1b,
                    other => *other,
                });
                rest = left;
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

/// Whether a number of a server (`server_id`) means the same server in both generations, wherever both have it.
pub fn same_numbers(old: ServersState<'_>, new: ServersState<'_>) -> bool {
    let new: HashMap<_, _> = new.numbers().collect();
    old.numbers().all(|(number, name)| new.get(&number).is_none_or(|now| *now == name))
}

#[cfg(test)]
mod tests;
