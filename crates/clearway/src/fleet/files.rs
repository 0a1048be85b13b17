//! Files of a configuration, and what they looked like when they were last looked at: for the watch ([`crate::fleet::watch`])
//! and for what is told of the files that it names ([`crate::fleet::named`]).
//!
//! A file is told from its former self by a digest of its content, which is made anew only if its [`Stamp`] has changed.
//! Large files are not read: there, the stamp decides.

mod scan;
mod sighting;
mod stamp;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::{self, Configuration, Need, Reference};

pub use scan::open;
pub use sighting::{FileChanges, Sighting, absolute};
pub use stamp::Stamp;

use scan::{LARGE, Scan};

/// What is looked at.
#[derive(Debug, Default)]
pub struct FileSet(Vec<FileSetEntry>);

#[derive(Debug)]
enum FileSetEntry {
    /// A file given with `-f`.
    Configuration(PathBuf),
    /// A directory given with `-f`.
    Directory(PathBuf),
    /// A file or directory that the configuration names.
    Named(Reference),
}

impl FileSetEntry {
    fn path(&self) -> &Path {
        match self {
            Self::Configuration(path) | Self::Directory(path) => path,
            Self::Named(reference) => &reference.path,
        }
    }

    /// Whether HAProxy would not start without it.
    fn is_required(&self) -> bool {
        match self {
            Self::Configuration(_) | Self::Directory(_) => true,
            Self::Named(reference) => reference.need == Need::Required,
        }
    }
}

impl FileSet {
    /// The files of a configuration and those that it names.
    pub fn of(configuration: &Configuration, invocation: &Invocation) -> Self {
        let base = invocation.working_directory.as_deref();
        let given = invocation.configuration.iter().map(|name| {
            let path = absolute(&base.map_or_else(|| name.clone(), |base| base.join(name)));
            if path.is_dir() { FileSetEntry::Directory(path) } else { FileSetEntry::Configuration(path) }
        });
        Self(given.chain(Self::named(configuration).0).collect())
    }

    /// Only those that it names.
    pub fn named(configuration: &Configuration) -> Self {
        let named = configuration.all_references().into_iter();
        Self(named.map(|one| FileSetEntry::Named(Reference { path: absolute(&one.path), ..one })).collect())
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(FileSetEntry::path)
    }

    /// Looks at all of them. One that has not changed since `before` is not read.
    pub fn look(&self, before: &Sighting) -> Sighting {
        let mut scan = Scan::beside(before);
        for entry in &self.0 {
            match entry {
                FileSetEntry::Configuration(path) => scan.at(path, configuration::LIMIT),
                FileSetEntry::Directory(path) => scan.inside(path, configuration::LIMIT, &|path| {
                    path.file_name().is_some_and(configuration::is_source_name)
                }),
                FileSetEntry::Named(reference) if reference.path.is_dir() => {
                    scan.inside(&reference.path, LARGE, &|_| true);
                }
                FileSetEntry::Named(reference) => {
                    scan.at(&reference.path, LARGE);
                    for companion in reference.companions() {
                        scan.at(&companion, LARGE);
                    }
                }
            }
        }
        scan.done()
    }

    /// What is different between two looks at them.
    pub fn difference(&self, before: &Sighting, now: &Sighting) -> FileChanges {
        before.difference(now, &self.required())
    }

    /// Those without which HAProxy would not start.
    fn required(&self) -> BTreeSet<&Path> {
        self.0.iter().filter(|entry| entry.is_required()).map(FileSetEntry::path).collect()
    }
}
