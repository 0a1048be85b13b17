//! The environment that HAProxy's parser sees: the one it is started with, and what the file makes of it.
//!
//! A change inside an `.if` block counts only where nothing else gives the variable a value: whether the block
//! counts is not known here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// What the file changes: a value, or that the variable is gone.
pub type Changes = BTreeMap<String, Option<String>>;

/// What variables may bring into one line, in bytes. HAProxy's own environment has less in one variable, mostly.
const LONGEST: usize = 64 << 10;

/// What they may bring into all lines, beside four times what the files have: a hostile file doubles a value line by line.
const MOST: usize = 1 << 20;

/// Looks variables up, changes first.
pub(crate) struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    changes: Changes,
    /// How many bytes they may still bring into this line, and into this one and all that follow.
    room: Cell<(usize, usize)>,
    /// After `resetenv`: the only variables left of the environment at start.
    kept: Option<Vec<String>>,
    /// What the environment at start was asked for, and had.
    asked: RefCell<Changes>,
}

impl<'a> Variables<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            changes: Changes::new(),
            room: Cell::new((LONGEST, MOST)),
            kept: None,
            asked: RefCell::default(),
        }
    }

    /// A file of so many bytes begins.
    pub(crate) fn file(&self, bytes: usize) {
        let (line, all) = self.room.get();
        self.room.set((line, all.saturating_add(bytes.saturating_mul(4))));
    }

    /// A line begins.
    pub(crate) fn line(&self) {
        let (_, all) = self.room.get();
        self.room.set((LONGEST, all));
    }

    /// The value for a line. One for which there is no room counts as unset.
    pub(super) fn take(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let (line, all) = self.room.get();
        let left = (line.checked_sub(value.len())?, all.checked_sub(value.len())?);
        self.room.set(left);
        Some(value)
    }

    fn get(&self, name: &str) -> Option<String> {
        if let Some(change) = self.changes.get(name) {
            return change.clone();
        }
        let kept = self.kept.as_ref().is_none_or(|kept| kept.iter().any(|known| known == name));
        kept.then(|| self.at_start(name)).flatten()
    }

    fn at_start(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name);
        if let Ok(mut asked) = self.asked.try_borrow_mut()
            && !asked.contains_key(name)
        {
            asked.insert(name.to_owned(), value.clone());
        }
        value
    }

    /// Takes over a line of `global`, given as words. False: it is none of ours.
    pub(crate) fn apply(&mut self, words: &[String], guarded: bool) -> bool {
        let (Some(keyword), values) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return false;
        };
        match (keyword.as_str(), values) {
            ("setenv", [name, value, ..]) => {
                if !guarded || self.get(name).is_none() {
                    self.changes.insert(name.clone(), Some(value.clone()));
                }
            }
            ("presetenv", [name, value, ..]) => {
                if self.get(name).is_none() {
                    self.changes.insert(name.clone(), Some(value.clone()));
                }
            }
            ("unsetenv", names) if !guarded => {
                self.changes.extend(names.iter().map(|name| (name.clone(), None)));
            }
            ("resetenv", names) if !guarded => {
                self.changes.retain(|name, _| names.contains(name));
                self.kept = Some(names.to_vec());
            }
            ("setenv" | "presetenv" | "unsetenv" | "resetenv", _) => {}
            _ => return false,
        }
        true
    }

    /// `$NAME` and `${NAME}` in an address, which HAProxy expands there also outside quotes (`env_expand`).
    /// An unknown variable is empty.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (brace, after) = after.strip_prefix('{').map_or((false, after), |after| (true, after));
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, after) = after.split_at_checked(end).unwrap_or((after, ""));
            expanded.push_str(&self.take(name).unwrap_or_default());
            rest = if brace { after.strip_prefix('}').unwrap_or(after) } else { after };
        }
        expanded.push_str(rest);
        expanded
    }

    /// What the files change, and what they asked the environment at start for.
    pub(super) fn into_changes(self) -> (Changes, Changes) {
        (self.changes, self.asked.into_inner())
    }
}
