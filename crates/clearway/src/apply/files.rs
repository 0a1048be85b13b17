//! Files that the configuration names, and that have another content than the HAProxy that serves has read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clearway_haproxy::change::files::{self, ChangedFile, FilesOfHaproxy, FilesPlan};
use clearway_haproxy::change::transaction::Wire;
use clearway_haproxy::change::{Capabilities, FileCheck, ReloadReason};
use clearway_haproxy::configuration::{Configuration, Reference};
use clearway_haproxy::drift::FileDifference;

use crate::apply::asked::ANSWERING;
use crate::fleet::files::{absolute, open};

/// A longer file is read by a reload: a map of 50,000 entries has some MiB.
const LONGEST: u64 = 64 << 20;

/// How long a line of HAProxy's runtime API may be, with its payload, if `tune.bufsize` is unsaid.
const BUFFER: usize = 16 << 10;

/// What of a buffer is left to commands, names, and to what HAProxy keeps free of it.
const SPARE: usize = 2 << 10;

/// Plans for these, between two configurations.
pub fn plan(
    changed: &[FileDifference],
    (was, is): (&Configuration, &Configuration),
    can: &Capabilities,
    wire: &mut impl Wire,
) -> Result<FilesPlan, ReloadReason> {
    // Which files lists of certificates name is read from them.
    if changed.is_empty() {
        return Ok(FilesPlan::default());
    }
    let (before, now) = (was.all_references(), is.all_references());
    let mut read = Vec::new();
    let mut reasons = Vec::new();
    for difference in changed {
        match difference {
            FileDifference::Changed(path) => match content(path) {
                Ok(bytes) => read.push((name(path, &now), bytes, has_companions(path, &now))),
                Err(error) => {
                    reasons.push(ReloadReason::at(path.display(), format!("reading it: {error}")));
                }
            },
            // A line that is new names it, or one that is gone has: what becomes of that line says what becomes of the file.
            FileDifference::Added(path) if !is_named(path, &before) => {}
            FileDifference::Removed(path) if !is_named(path, &now) => {}
            FileDifference::Added(path) => reasons.push(ReloadReason::at(path.display(), "it is new")),
            FileDifference::Removed(path) => reasons.push(ReloadReason::at(path.display(), "it is gone")),
        }
    }
    if read.is_empty() || !reasons.is_empty() {
        return Ok(FilesPlan { reasons, ..FilesPlan::default() });
    }
    let has = asked(wire)
        .map_err(|error| ReloadReason::anywhere(format!("asking HAProxy for its files: {error}")))?;
    let files: Vec<ChangedFile<'_>> = read
        .iter()
        .map(|(path, content, has_companions)| ChangedFile { path, content, has_companions: *has_companions })
        .collect();
    Ok(files::plan(&files, &has, can, longest(is)))
}

/// What HAProxy must say of files, and does not; in words. Blocks.
pub fn unmet(wire: &mut impl Wire, checks: &[FileCheck]) -> Option<String> {
    checks.iter().find_map(|check| {
        let answer = match wire.ask(&[check.command.as_str()], ANSWERING) {
            Ok(answers) => answers.concat(),
            Err(error) => return Some(format!("`{}`: {error}", check.command)),
        };
        let what = "HAProxy does not answer as it would after a start with this file";
        (!check.is_met(&answer)).then(|| format!("`{}`: {what}", check.command))
    })
}

fn asked(wire: &mut impl Wire) -> Result<FilesOfHaproxy, String> {
    let mut answers = Vec::new();
    for question in FilesOfHaproxy::QUESTIONS {
        answers.push(wire.ask(&[question], ANSWERING)?.concat());
    }
    let answers: [String; FilesOfHaproxy::QUESTIONS.len()] =
        answers.try_into().map_err(|_| "an answer is missing".to_owned())?;
    Ok(FilesOfHaproxy::of(answers.each_ref().map(String::as_str)))
}

/// As HAProxy names it: as the line does, which may be relative.
fn name(path: &Path, references: &[Reference]) -> PathBuf {
    let is_it = |one: &&Reference| absolute(&one.path) == path;
    if let Some(reference) = references.iter().find(is_it) {
        return reference.path.clone();
    }
    // One of a directory of certificates.
    let directory = references.iter().find(|one| path.parent() == Some(&absolute(&one.path)));
    let inside = directory.zip(path.file_name()).map(|(directory, name)| directory.path.join(name));
    inside.unwrap_or_else(|| path.to_owned())
}

/// Whether a line names it, its directory, or what it lies beside.
fn is_named(path: &Path, references: &[Reference]) -> bool {
    references.iter().any(|one| {
        let named = absolute(&one.path);
        path == named
            || path.parent() == Some(&named)
            || one.companions().any(|beside| absolute(&beside) == path)
    })
}

/// Whether there is a file beside it that HAProxy reads with it.
fn has_companions(path: &Path, references: &[Reference]) -> bool {
    let is_it = |one: &&Reference| absolute(&one.path) == path || path.parent() == Some(&absolute(&one.path));
    let found = references.iter().find(is_it);
    let itself = found.map(|one| Reference { path: path.to_owned(), ..one.clone() });
    itself.is_some_and(|one| one.companions().any(|beside| beside.exists()))
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let small = open(path)?.filter(|(_, metadata)| metadata.len() <= LONGEST);
    let Some((file, _)) = small else {
        let what = format!("it is no file of at most {} MiB", LONGEST >> 20);
        return Err(io::Error::other(what));
    };
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How many bytes a payload may have: what the smallest `tune.bufsize` of the files leaves.
fn longest(configuration: &Configuration) -> usize {
    let size = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "tune.bufsize").then(|| words.next()?.parse::<usize>().ok())
    };
    let texts = configuration.files.iter().map(|file| String::from_utf8_lossy(&file.bytes));
    let smallest = texts.flat_map(|text| text.lines().filter_map(size).collect::<Vec<_>>());
    // One that is not a number is not understood.
    smallest.map(Option::unwrap_or_default).fold(BUFFER, usize::min).saturating_sub(SPARE)
}

#[cfg(test)]
mod tests;
