//! What is different between the files on disk and those that a generation was started from, line by line: `clearway diff`.
//!
//! Only the files of the configuration itself are remembered with their content. Of what they name (certificates, maps) it is known
//! that it is different, and not how. What is shown is bounded: [`LARGEST`] bytes of a file are compared line by line, and
//! [`SHOWN`] bytes of differences are kept.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::{Configuration, SourceFile};
use clearway_haproxy::drift::{Drift, FileDifference, FileMount, FilesOnDisk};
use similar::TextDiff;

use crate::fleet::chosen::StartedFrom;
use crate::ground::aside::Single;

/// How long the files may take to be read and compared; less than a client waits.
const COMPARING: Duration = Duration::from_secs(3);

/// After this time the lines are compared less thoroughly: what is said of them stays true, and may be longer.
const THOROUGHLY: Duration = Duration::from_secs(1);

/// A larger file is not compared line by line.
const LARGEST: usize = 4 << 20;

/// How many bytes of differences are kept of all files together.
const SHOWN: usize = 512 << 10;

/// How many lines that are the same stand around a difference.
const AROUND: usize = 3;

/// What the files on disk are compared with.
#[derive(Debug)]
pub struct DifferenceQuestion {
    /// The generation whose files they are.
    pub generation: Generation,
    /// Those.
    pub from: StartedFrom,
    /// Where the files are.
    pub invocation: Invocation,
    /// What is shared with others that compare.
    pub comparing: Single,
}

/// What is different.
#[derive(Debug, Default)]
pub struct Difference {
    /// The files of the configuration, in its order; new ones last.
    pub files: Vec<DifferentFile>,
    /// Files that it names.
    pub named: Vec<FileDifference>,
    /// Files that were replaced on the host, where this container cannot see it.
    pub replaced: Vec<FileMount>,
}

/// A file of the configuration.
#[derive(Debug)]
pub struct DifferentFile {
    /// What has become of it, as HAProxy names it.
    pub what: FileDifference,
    /// Where it is.
    pub path: PathBuf,
    /// The lines, in the unified format, from those that the generation was started from to those on disk.
    pub lines: String,
    /// How many more lines there would be.
    pub left_out: usize,
}

impl DifferenceQuestion {
    /// Compares on a thread that may hang; not to be called in the loop. Fails with the reason if the files cannot be read.
    pub fn ask(self) -> Result<Difference, String> {
        let Self { generation, from, invocation, comparing } = self;
        let compared =
            comparing.outcome_within("comparing the configuration line by line", COMPARING, move || {
                compare(generation, &from, &invocation)
            });
        compared.unwrap_or_else(|| Err(format!("its files do not answer within {} s", COMPARING.as_secs())))
    }
}

fn compare(
    generation: Generation,
    from: &StartedFrom,
    invocation: &Invocation,
) -> Result<Difference, String> {
    let now = Configuration::sources(invocation).map_err(|error| error.to_string())?;
    let mut drift = Drift { files: FilesOnDisk::Same, named: Vec::new(), replaced: Vec::new() };
    if let Some(named) = &from.named {
        named.compare(&mut drift);
    }
    let files = Pages::of(generation).compare(&from.configuration.files, &now);
    Ok(Difference { files, named: drift.named, replaced: drift.replaced })
}

/// Differences under way.
struct Pages {
    generation: Generation,
    until: Instant,
    /// How many more bytes are kept.
    room: usize,
}

impl Pages {
    fn of(generation: Generation) -> Self {
        Self { generation, until: Instant::now() + THOROUGHLY, room: SHOWN }
    }

    fn compare(mut self, before: &[SourceFile], now: &[SourceFile]) -> Vec<DifferentFile> {
        let mut different = Vec::new();
        for old in before {
            let new = find(now, old);
            if new.is_none_or(|new| new.bytes != old.bytes) {
                different.push(self.page(Some(old), new));
            }
        }
        let added = now.iter().filter(|new| find(before, new).is_none());
        different.extend(added.map(|new| self.page(None, Some(new))));
        different
    }

    fn page(&mut self, old: Option<&SourceFile>, new: Option<&SourceFile>) -> DifferentFile {
        let path = new.or(old).map(|file| file.path.clone()).unwrap_or_default();
        let name = new.or(old).map(|file| file.name.clone()).unwrap_or_default();
        let what = match (old, new) {
            (None, _) => FileDifference::Added(name),
            (_, None) => FileDifference::Removed(name),
            _ => FileDifference::Changed(name),
        };
        let all = self.lines(&path, old, new);
        let lines = self.as_many_as_fit(&all);
        let left_out = all.get(lines.len()..).map_or(0, |rest| rest.lines().count());
        DifferentFile { what, path, lines, left_out }
    }

    /// All lines, in the unified format.
    fn lines(&self, path: &Path, old: Option<&SourceFile>, new: Option<&SourceFile>) -> String {
        let path = path.display();
        let header = |file: Option<&SourceFile>, which: &str| match file {
            Some(_) => format!("{path}\t{which}"),
            None => "/dev/null".to_owned(),
        };
        let (from, to) = (header(old, &format!("generation {}", self.generation)), header(new, "on disk"));
        let size = |file: Option<&SourceFile>| file.map_or(0, |file| file.bytes.len());
        if size(old).max(size(new)) > LARGEST {
            return format!(
                "Files {path} differ, and are too large to be shown: {} bytes in generation {}, {} bytes on disk\n",
                size(old),
                self.generation,
                size(new)
            );
        }
        let (old, new) = (text(old), text(new));
        if old == new {
            return format!("Files {path} differ, in bytes that are no UTF-8\n");
        }
        let diff = TextDiff::configure().deadline(self.until).diff_lines(&*old, &*new);
        diff.unified_diff().context_radius(AROUND).header(&from, &to).to_string()
    }

    /// The first of these lines, whole ones.
    fn as_many_as_fit(&mut self, lines: &str) -> String {
        let mut fits = lines.len();
        if fits > self.room {
            fits = lines.bytes().take(self.room).rposition(|byte| byte == b'\n').map_or(0, |at| at + 1);
        }
        self.room -= fits;
        lines.get(..fits).unwrap_or_default().to_owned()
    }
}

/// The file with the same name.
fn find<'a>(files: &'a [SourceFile], like: &SourceFile) -> Option<&'a SourceFile> {
    files.iter().find(|file| file.name == like.name)
}

fn text(file: Option<&SourceFile>) -> Cow<'_, str> {
    file.map_or(Cow::Borrowed(""), |file| String::from_utf8_lossy(&file.bytes))
}

#[cfg(test)]
mod tests;
