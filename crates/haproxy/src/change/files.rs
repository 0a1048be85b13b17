//! Files that a configuration names, and that have another content: maps, patterns of ACLs, certificates.
//!
//! HAProxy is asked which of them it has, under which names ([`FilesOfHaproxy`]); what it does not have, or not as one of
//! these, is a reload. A map or a list of patterns is written as a new version and taken at once, so it is never empty in
//! between; a certificate is taken with its key as one transaction. What HAProxy has afterwards is compared ([`FileCheck`]).

use std::path::Path;

use super::capabilities::Capabilities;
use super::plan::{PlanStep, ReloadReason};

mod certificate;
mod check;
mod names;
mod patterns;

use certificate::{TrustFile, certificate, trust};
pub use check::FileCheck;
use patterns::{acl, is_plain, map};

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

/// What is to be done about files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesPlan {
    /// A step for each file.
    pub steps: Vec<PlanStep>,
    /// What needs a reload; empty if all can be done.
    pub reasons: Vec<ReloadReason>,
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
                plan.reasons.push(ReloadReason::at(file.path.display(), what));
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
) -> Result<(PlanStep, FileCheck), &'static str> {
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

#[cfg(test)]
mod tests;
