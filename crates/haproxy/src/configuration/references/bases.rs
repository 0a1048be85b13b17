//! From where relative names count: the directory of the start, `default-path`, `crt-base` and its kin.

use std::path::{Path, PathBuf};

/// No path is longer (`PATH_MAX`).
pub(super) const LONGEST: usize = 4096;

// An absolute name wins over any directory before it: that is what `Path::join` does, too.

/// The directories before relative names, as they are at some line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    /// Where HAProxy is started (`-C`), nothing if that is where we are.
    start: PathBuf,
    /// Where `default-path` has led it, the same without.
    here: PathBuf,
    policy: DefaultPath,
    ca: PathBuf,
    crt: PathBuf,
    key: PathBuf,
}

/// Which files a directory of `global` or of a `crt-store` is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    /// `ca-base`
    Authorities,
    /// `crt-base`
    Certificates,
    /// `key-base`
    Keys,
}

/// `default-path`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum DefaultPath {
    #[default]
    Current,
    Config,
    Parent,
    Origin(PathBuf),
}

impl Bases {
    /// At the beginning of the first file.
    pub(super) fn new(start: Option<&Path>) -> Self {
        let start = start.map(Path::to_path_buf).unwrap_or_default();
        Self { here: start.clone(), start, ..Self::default() }
    }

    /// `default-path POLICY [DIRECTORY]` in a file.
    pub(super) fn follow(&mut self, words: &[String], file: &Path) {
        let word = |index: usize| words.get(index).map_or("", String::as_str);
        self.policy = match word(1) {
            "current" => DefaultPath::Current,
            "config" => DefaultPath::Config,
            "parent" => DefaultPath::Parent,
            "origin" if word(2).len() <= LONGEST => DefaultPath::Origin(word(2).into()),
            _ => return,
        };
        self.enter(file);
    }

    /// `ca-base`, `crt-base` or `key-base`.
    pub(super) fn set(&mut self, base: Base, directory: &str) {
        if directory.len() > LONGEST {
            return;
        }
        let slot = match base {
            Base::Authorities => &mut self.ca,
            Base::Certificates => &mut self.crt,
            Base::Keys => &mut self.key,
        };
        *slot = directory.into();
    }

    /// A file begins.
    pub(super) fn enter(&mut self, file: &Path) {
        let directory = file.parent().unwrap_or(Path::new(""));
        self.here = match &self.policy {
            DefaultPath::Current => self.start.clone(),
            DefaultPath::Config => self.start.join(directory),
            DefaultPath::Parent => self.start.join(directory).join(".."),
            DefaultPath::Origin(path) => self.start.join(path),
        };
    }

    /// A name as it counts for what is read together with its line.
    pub(super) fn plain(&self, name: &str) -> PathBuf {
        self.here.join(name)
    }

    /// The two places of what is read when all files are: up to 2.6 HAProxy is back where it was started then, in
    /// 3.0 still where the last file has led it (measured with 2.6.12 and 3.0.11).
    pub(super) fn late(&self, path: &Path) -> [PathBuf; 2] {
        [self.start.join(path), self.here.join(path)]
    }

    /// `crt`; none where the name means no file (`@store/name`).
    pub(super) fn certificate(&self, name: &str) -> Option<PathBuf> {
        (!name.starts_with('@')).then(|| self.here.join(self.crt.join(name)))
    }

    /// `crt` of a server, which is loaded after all files were read: from where it counts, [`Bases::late`] knows.
    pub(super) fn client_certificate(&self, name: &str) -> Option<PathBuf> {
        (!name.starts_with('@')).then(|| self.crt.join(name))
    }

    /// `ca-file` and its kin; none for `@system-ca`.
    pub(super) fn authority(&self, name: &str) -> Option<PathBuf> {
        (!name.starts_with('@')).then(|| self.here.join(self.ca.join(name)))
    }

    /// `key` in a `crt-store` or a `crt-list`.
    pub(super) fn private_key(&self, name: &str) -> PathBuf {
        self.here.join(self.key.join(name))
    }
}
