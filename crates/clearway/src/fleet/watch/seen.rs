//! What the files looked like when they were last looked at.
//!
//! A file is told from its former self by a digest of its content, which is made anew only if its inode, size or
//! times have changed. Large files are not read: there, inode, size and times decide.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::{self, Configuration, Need, Reference, SourceFile};
use clearway_haproxy::drift::{self, Digest};

/// More files than this are not watched.
const MOST_FILES: usize = 20_000;

/// A larger file that is no configuration is not read.
const LARGE: u64 = 1 << 20;

/// How much of such files is read in one look.
const AT_ONCE: u64 = 16 << 20;

/// Two writes within a tick of the kernel's clock may leave the same times. Whoever was written so recently is
/// read again at the next look.
const SETTLED: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Debug, Default)]
pub struct Subjects(Vec<Subject>);

#[derive(Debug)]
enum Subject {
    /// A file given with `-f`.
    Configuration(PathBuf),
    /// A directory given with `-f`.
    Directory(PathBuf),
    /// A file or directory that the configuration names.
    Named(Reference),
}

impl Subject {
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

/// What there was at the last look. What is not in it was not there.
#[derive(Debug, Default)]
pub struct Seen {
    files: BTreeMap<PathBuf, State>,
    /// Those that are gone and must come back, kept as they were.
    missing: BTreeSet<PathBuf>,
    /// There were more than [`MOST_FILES`].
    pub left_out: bool,
}

/// One file.
#[derive(Clone, Debug)]
struct State {
    identity: Option<Identity>,
    digest: Option<Digest>,
    /// Nobody can have written it since without a change of its times.
    settled: bool,
}

/// What changes with a file although nobody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is different between two looks.
#[derive(Debug, Default)]
pub struct Difference {
    /// What HAProxy would read otherwise now.
    pub changed: Vec<PathBuf>,
    /// What HAProxy would not start without, and is gone.
    pub missing: Vec<PathBuf>,
    /// What was gone like this, and is there again.
    pub back: Vec<PathBuf>,
}

impl Subjects {
    /// The files of a configuration and those that it names.
    pub fn of(configuration: &Configuration, invocation: &Invocation) -> Self {
        let base = invocation.working_directory.as_deref();
        let given = invocation.configuration.iter().map(|name| {
            let path = absolute(&base.map_or_else(|| name.clone(), |base| base.join(name)));
            if path.is_dir() { Subject::Directory(path) } else { Subject::Configuration(path) }
        });
        Self(given.chain(Self::named(configuration).0).collect())
    }

    /// Only those that it names.
    pub fn named(configuration: &Configuration) -> Self {
        let named = configuration.all_references().into_iter();
        Self(named.map(|one| Subject::Named(Reference { path: absolute(&one.path), ..one })).collect())
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(Subject::path)
    }

    /// Looks at all of them. Who has not changed since `before` is not read.
    pub fn look(&self, before: &Seen) -> Seen {
        let mut look = Look { before, now: Seen::default(), room: AT_ONCE };
        for subject in &self.0 {
            match subject {
                Subject::Configuration(path) => look.at(path, configuration::LIMIT),
                Subject::Directory(path) => look.inside(path, configuration::LIMIT, &|path| {
                    path.file_name().is_some_and(configuration::is_source_name)
                }),
                Subject::Named(reference) if reference.path.is_dir() => {
                    look.inside(&reference.path, LARGE, &|_| true);
                }
                Subject::Named(reference) => {
                    look.at(&reference.path, LARGE);
                    for companion in reference.companions() {
                        look.at(&companion, LARGE);
                    }
                }
            }
        }
        look.now
    }

    fn required(&self) -> BTreeSet<&Path> {
        self.0.iter().filter(|subject| subject.is_required()).map(Subject::path).collect()
    }
}

impl Seen {
    /// Where the files are that were seen, those in directories included.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Their numbers: device and inode.
    pub fn inodes(&self) -> HashSet<(u64, u64)> {
        self.files.values().filter_map(|state| Some(state.identity.as_ref()?.inode)).collect()
    }

    /// What each file that is otherwise now has become.
    pub fn changes(&self, now: &Self) -> Vec<drift::FileDifference> {
        let appeared = now.files.iter().filter_map(|(path, new)| match self.files.get(path) {
            None => Some(drift::FileDifference::Added(path.clone())),
            Some(old) => (!old.is_like(new)).then(|| drift::FileDifference::Changed(path.clone())),
        });
        let gone = self.files.keys().filter(|path| !now.files.contains_key(*path));
        appeared.chain(gone.map(|path| drift::FileDifference::Removed(path.clone()))).collect()
    }

    /// The same, but the configuration as it was read for a generation.
    pub fn with(mut self, files: &[SourceFile]) -> Self {
        for file in files {
            let digest = Some(Digest::of(&file.bytes));
            self.files.insert(absolute(&file.path), State { identity: None, digest, settled: false });
        }
        self
    }

    /// The same, but what is missing as it was before.
    pub fn keeping(mut self, before: &Self, missing: &[PathBuf]) -> Self {
        for path in missing {
            if let Some(state) = before.files.get(path) {
                self.files.insert(path.clone(), state.clone());
            }
        }
        self.missing = missing.iter().cloned().collect();
        self
    }

    /// What is different now.
    pub fn difference(&self, now: &Self, subjects: &Subjects) -> Difference {
        let mut difference = Difference::default();
        for (path, state) in &now.files {
            if self.missing.contains(path) {
                difference.back.push(path.clone());
            }
            if !self.files.get(path).is_some_and(|before| before.is_like(state)) {
                difference.changed.push(path.clone());
            }
        }
        let required = subjects.required();
        // Of a directory that is not there at the moment nothing is known.
        let without = |path: &Path| path.parent().is_some_and(|at| required.contains(at) && !at.is_dir());
        for path in self.files.keys().filter(|path| !now.files.contains_key(*path)) {
            let must_be_there = required.contains(&**path) || without(path);
            let which = if must_be_there { &mut difference.missing } else { &mut difference.changed };
            which.push(path.clone());
        }
        difference
    }
}

impl State {
    fn of(identity: Identity, digest: Option<Digest>) -> Self {
        let settled = identity.is_settled();
        Self { identity: Some(identity), digest, settled }
    }

    fn is_like(&self, other: &Self) -> bool {
        match (self.digest, other.digest) {
            (Some(one), Some(other)) => one == other,
            _ => self.identity.is_some() && self.identity == other.identity,
        }
    }
}

/// A look under way.
struct Look<'a> {
    before: &'a Seen,
    now: Seen,
    room: u64,
}

impl Look<'_> {
    /// Looks at a file. What is neither that nor a link to one is not there.
    fn at(&mut self, path: &Path, read_up_to: u64) {
        let Ok(metadata) = fs::metadata(path) else { return };
        if !metadata.is_file() || self.now.files.contains_key(path) {
            return;
        }
        if self.now.files.len() >= MOST_FILES {
            self.now.left_out = true;
            return;
        }
        let identity = Identity::of(&metadata);
        let before = self.before.files.get(path);
        let state = match before.filter(|one| one.settled && one.identity.as_ref() == Some(&identity)) {
            Some(before) => before.clone(),
            None => self.read(path, identity, read_up_to),
        };
        self.now.files.insert(path.to_path_buf(), state);
    }

    /// Looks at the files in a directory that begin with no dot.
    fn inside(&mut self, directory: &Path, read_up_to: u64, counts: &dyn Fn(&Path) -> bool) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.take(MOST_FILES).flatten() {
            let path = entry.path();
            if !entry.file_name().as_encoded_bytes().starts_with(b".") && counts(&path) {
                self.at(&path, read_up_to);
            }
        }
    }

    fn read(&mut self, path: &Path, identity: Identity, read_up_to: u64) -> State {
        let of_configuration = read_up_to == configuration::LIMIT;
        if identity.size > read_up_to || (!of_configuration && identity.size > self.room) {
            return State::of(identity, None);
        }
        if !of_configuration {
            self.room -= identity.size;
        }
        match read(path, read_up_to) {
            Some((identity, digest)) => State::of(identity, Some(digest)),
            None => State::of(identity, None),
        }
    }
}

/// The content, and whose it is. Never waits for a pipe that has come to be there.
fn read(path: &Path, up_to: u64) -> Option<(Identity, Digest)> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(up_to).read_to_end(&mut bytes).ok()?;
    Some((Identity::of(&metadata), Digest::of(&bytes)))
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed.saturating_add(1));
        changed.elapsed().is_ok_and(|age| age > SETTLED)
    }
}

/// As the process sees it, without looking at links.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests;
