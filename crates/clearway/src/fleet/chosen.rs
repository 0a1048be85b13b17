//! What a generation is started from: which files HAProxy reads, and what is known of them.

use std::ffi::OsString;
use std::sync::Arc;

use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::{FileMount, Imprint};
use clearway_kernel::paths::MovedPath;

use crate::fleet::named::NamedFiles;
use crate::ground::failure;

/// What a generation is started from.
#[derive(Clone, Debug)]
pub struct StartedFrom {
    /// What the files say.
    pub configuration: Arc<Configuration>,
    /// What tells later whether they still do.
    pub imprint: Arc<Imprint>,
    /// The files that it names, as they were seen just before; unset if they did not answer.
    pub named: Option<Arc<NamedFiles>>,
}

impl StartedFrom {
    /// Reads the files, with the environment that HAProxy will have.
    pub fn read(invocation: &Invocation) -> Result<Self, Failure> {
        let configuration = read_with(invocation, |name| std::env::var_os(name))?;
        let imprint = Arc::new(Imprint::of(&configuration.files));
        Ok(Self { configuration: Arc::new(configuration), imprint, named: None })
    }
}

/// Which files HAProxy reads.
#[derive(Debug)]
pub enum ReadFrom {
    /// Those that the user named.
    Paths,
    /// Copies of what they said when they were read before.
    Copies(Arc<Configuration>),
}

/// What a generation will be started from.
#[derive(Debug)]
pub struct Chosen {
    generation: Generation,
    files: ReadFrom,
    from: StartedFrom,
    /// The sockets in custody whose path leads elsewhere.
    moved: Vec<MovedPath>,
    /// Of the files themselves, those that were replaced on the host, where this container cannot see it.
    replaced: Vec<FileMount>,
}

impl Chosen {
    /// This is chosen, and nothing was looked at yet.
    pub fn new(generation: Generation, files: ReadFrom, from: StartedFrom, replaced: Vec<FileMount>) -> Self {
        Self { generation, files, from, moved: Vec::new(), replaced }
    }

    /// For which generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What it says.
    pub fn configuration(&self) -> &Arc<Configuration> {
        &self.from.configuration
    }

    /// What tells it from others.
    pub fn imprint(&self) -> &Arc<Imprint> {
        &self.from.imprint
    }

    /// The sockets in custody whose path leads elsewhere.
    pub fn moved(&self) -> &[MovedPath] {
        &self.moved
    }

    /// Which files HAProxy reads, and what they said.
    pub fn into_parts(self) -> (ReadFrom, StartedFrom) {
        (self.files, self.from)
    }

    /// Whether HAProxy reads the files that the user named.
    pub fn is_at_its_paths(&self) -> bool {
        matches!(self.files, ReadFrom::Paths)
    }

    /// These sockets in custody have a path that leads elsewhere.
    pub fn has_moved(&mut self, moved: Vec<MovedPath>) {
        self.moved = moved;
    }

    /// The files that it names were seen.
    pub fn names(&mut self, named: NamedFiles) {
        self.from.named = Some(Arc::new(named));
    }

    /// The files that it names, as they were seen; unset if they do not answer.
    pub fn named(&self) -> Option<&Arc<NamedFiles>> {
        self.from.named.as_ref()
    }

    /// What was replaced on the host where this container cannot see it, a line for each.
    pub fn replaced(&self) -> Vec<String> {
        let named = self.from.named.iter().flat_map(|named| &named.replaced);
        let mut replaced: Vec<&FileMount> = self.replaced.iter().chain(named).collect();
        replaced.dedup_by_key(|mount| mount.id);
        replaced.into_iter().map(FileMount::replaced).collect()
    }
}

/// Reads the files with the environment that HAProxy will have, or that of another process: what `check` and `doctor` look
/// at.
pub fn read_with(
    invocation: &Invocation,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Configuration, Failure> {
    let lookup = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    Configuration::read(invocation, &lookup).map_err(|error| failure::unreadable(&error))
}
