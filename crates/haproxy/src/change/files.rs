//! Files that a configuration names, and that have another content: maps, patterns of ACLs, certificates.
//!
//! HAProxy is asked which of them it has, under which names ([`FilesOfHaproxy`]); what it does not have, or not as one of
//! these, is a reload. A map or a list of patterns is written as a new version and taken at once, so it is never empty in
//! between; a certificate is taken with its key as one transaction. What HAProxy has afterwards is compared ([`FileCheck`]).

use std::path::Path;

use super::capabilities::Capabilities;
use super::plan::{Reason, Step};

mod certificate;
mod names;
mod patterns;

use certificate::{TrustFile, certificate, trust};
use patterns::{acl, map};

/// A file that has changed.
#[derive(Clone, Debug)]
pub struct ChangedFile<'a> {
    /// As HAProxy names it.
    pub path: &'a Path,
    /// What it says now.
    pub content: &'a [u8],
    /// Whether there is a file beside it that HAProxy reads together with it: `.key`, `.ocsp`, `.issuer`, `.sctl`.
    pub has_companions: bool,
}

/// The files that the HAProxy which serves has: its answers to [`FilesOfHaproxy::QUESTIONS`].
#[derive(Clone, Debug, Default)]
pub struct FilesOfHaproxy {
    maps: Vec<String>,
    acls: Vec<String>,
    certificates: Vec<String>,
    authorities: Vec<String>,
    revocations: Vec<String>,
}

/// What HAProxy must answer when all is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// `show map FILE`, `show acl FILE`, `show ssl cert FILE`
    pub command: String,
    answer: FileAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FileAnswer {
    /// These entries, without where they are in memory.
    Entries(Vec<String>),
    /// With this line. Up to 3.0 a certificate is `Unused` after the CA file of its `bind` line was changed at run time, and what is
    /// committed then reaches no client although HAProxy says `Success!` (2.6.12, 3.0.11; not 3.2.26).
    With(&'static str),
}

const USED: &str = "Status: Used";

/// What is to be done about files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesPlan {
    /// A step for each file.
    pub steps: Vec<Step>,
    /// What needs a reload; empty if all can be done.
    pub reasons: Vec<Reason>,
    /// What is to be asked afterwards.
    pub checks: Vec<FileCheck>,
}

/// Plans for all of them. `longest`: bytes that a payload may have, less than `tune.bufsize`.
pub fn plan(
    changed: &[ChangedFile<'_>],
    has: &FilesOfHaproxy,
    can: &Capabilities,
    longest: usize,
) -> FilesPlan {
    let mut plan = FilesPlan::default();
    for file in changed {
        match one(file, has, can, longest) {
            Ok((step, check)) => {
                plan.steps.push(step);
                plan.checks.push(check);
            }
            Err(what) => {
                plan.reasons.push(Reason { place: file.path.display().to_string(), what: what.to_owned() });
            }
        }
    }
    plan
}

fn one(
    file: &ChangedFile<'_>,
    has: &FilesOfHaproxy,
    can: &Capabilities,
    longest: usize,
) -> Result<(Step, FileCheck), &'static str> {
    let name = file.path.to_str().filter(|name| is_plain(name)).ok_or("its name has unusual characters")?;
    let text = std::str::from_utf8(file.content).map_err(|_| "it has bytes that are no UTF-8")?;
    let lists = [&has.maps, &has.acls, &has.certificates, &has.authorities, &has.revocations];
    if names::has_another(name, lists.into_iter().flatten()) {
        return Err("HAProxy may have it under another name, too");
    }
    let uses = lists.map(|list| list.iter().any(|one| one == name));
    match uses {
        [true, false, false, false, false] => map(name, text, longest),
        [false, true, false, false, false] => acl(name, text),
        [false, false, true, false, false] if file.has_companions => {
            Err("a certificate with files beside it (`.key`, `.ocsp` ...) is read by a reload alone")
        }
        [false, false, true, false, false] => certificate(name, text, longest),
        [false, false, false, true, false] => trust(TrustFile::Authorities, name, text, can, longest),
        [false, false, false, false, true] => trust(TrustFile::Revocations, name, text, can, longest),
        [false, false, false, false, false] => Err("a file of this kind is read by a reload alone"),
        _ => Err("it is used in more than one way"),
    }
}

impl FilesOfHaproxy {
    /// What it is asked, in this order.
    pub const QUESTIONS: [&'static str; 5] =
        ["show map", "show acl", "show ssl cert", "show ssl ca-file", "show ssl crl-file"];

    /// From the answers.
    pub fn of(answers: [&str; 5]) -> Self {
        let [maps, acls, certificates, authorities, revocations] = answers;
        Self {
            maps: in_parentheses(maps),
            acls: in_parentheses(acls),
            certificates: names(certificates),
            authorities: names(authorities),
            revocations: names(revocations),
        }
    }
}

/// `/etc/haproxy/ca.pem - 2 certificate(s)`; `*` before a name is a transaction that is under way.
fn names(answer: &str) -> Vec<String> {
    let lines = answer.lines().filter(|line| !line.starts_with(['#', '*']) && !line.is_empty());
    lines.map(|line| line.split(" - ").next().unwrap_or(line).to_owned()).collect()
}

/// `0 (/etc/haproxy/a.map) pattern loaded from file ...`
fn in_parentheses(answer: &str) -> Vec<String> {
    let name = |line: &str| {
        let (number, rest) = line.split_once(" (")?;
        let (name, _) = rest.split_once(')')?;
        (number.parse::<u64>().is_ok() && !name.is_empty()).then(|| name.to_owned())
    };
    answer.lines().filter_map(name).collect()
}

/// Whether the runtime API takes it for one word, as it is.
fn is_plain(word: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, ';' | '\\' | '"' | '\'' | '<' | '#' | '@' | '$');
    !word.is_empty() && word.chars().all(plain)
}

impl FileCheck {
    /// Whether this is what HAProxy answers.
    pub fn is_met(&self, answer: &str) -> bool {
        let entry = |line: &str| line.split_once(' ').map_or("", |(_, entry)| entry).trim_end().to_owned();
        let mut lines = answer.lines().filter(|line| !line.is_empty());
        match &self.answer {
            FileAnswer::Entries(entries) => lines.map(entry).eq(entries.iter().cloned()),
            FileAnswer::With(line) => lines.any(|one| one.trim() == *line),
        }
    }
}

#[cfg(test)]
mod tests;
