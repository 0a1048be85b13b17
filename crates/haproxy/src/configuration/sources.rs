//! Reading the files of a configuration, never anything else (but for a `crt-list`, when it is asked for).
//!
//! Order and choice are HAProxy's (`cfgfiles_expand_directories`): files as given; of a directory the regular
//! files `*.cfg` that do not begin with a dot, in byte order, not recursively. Never blocks: a FIFO or device is
//! refused by name, because Clearway reads the configuration and HAProxy reads it again at each reload.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many bytes all files of a configuration may have together: 64 MiB, far above what HAProxy is used with.
pub const LIMIT: u64 = 64 << 20;

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The file as HAProxy names it in its messages, relative to `-C` where the user named it so.
    pub name: PathBuf,
    /// The path under which it was opened.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file or directory does not exist or may not be read.
    #[error("reading the configuration `{}`: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A FIFO, device or socket.
    #[error(
        "reading the configuration `{}`: it is {kind}, and a configuration is read again at each reload; use a \
         file", path.display()
    )]
    Special {
        /// Which.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// More than [`LIMIT`] bytes.
    #[error("reading the configuration `{}`: the files have more than {} MiB together", path.display(), LIMIT >> 20)]
    TooLarge {
        /// The file with which the limit was passed.
        path: PathBuf,
    },
    /// Only directories, and none of them holds a configuration.
    #[error("reading the configuration `{}`: the directory has no file `*.cfg`", path.display())]
    NoFiles {
        /// The first directory.
        path: PathBuf,
    },
}

/// Reads files and directories as they are given with `-f`, relative to `base`.
pub(super) fn read_files(
    names: &[PathBuf],
    base: Option<&Path>,
) -> Result<Vec<SourceFile>, ConfigurationError> {
    let mut files = Vec::new();
    let mut room = LIMIT;
    for name in names {
        let path = base.map_or_else(|| name.clone(), |base| base.join(name));
        let metadata = fs::metadata(&path).map_err(|source| unreadable(&path, source))?;
        if metadata.is_dir() {
            for entry in entries(&path)? {
                // As HAProxy puts it together, so that messages name the same file.
                let mut inside = name.clone().into_os_string();
                inside.push("/");
                inside.push(&entry);
                files.push(read_file(inside.into(), path.join(&entry), &mut room)?);
            }
        } else {
            files.push(read_file(name.clone(), path, &mut room)?);
        }
    }
    match names.first() {
        Some(path) if files.is_empty() => Err(ConfigurationError::NoFiles { path: path.clone() }),
        _ => Ok(files),
    }
}

/// The names of the configuration files in a directory, in order.
fn entries(directory: &Path) -> Result<Vec<std::ffi::OsString>, ConfigurationError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let name = entry.map_err(|source| unreadable(directory, source))?.file_name();
        if !is_source_name(&name) {
            continue;
        }
        let path = directory.join(&name);
        if fs::metadata(&path).map_err(|source| unreadable(&path, source))?.is_file() {
            names.push(name);
        }
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}

/// Whether a file of this name counts in a directory that is given with `-f`.
pub fn is_source_name(name: &OsStr) -> bool {
    // HAProxy looks at the first `.cfg` in the name: `a.cfg.cfg` is none of its files.
    let bytes = name.as_bytes();
    let first = bytes.windows(4).position(|window| window == b".cfg");
    bytes.first() != Some(&b'.') && first.is_some_and(|at| at + 4 == bytes.len())
}

fn read_file(name: PathBuf, path: PathBuf, room: &mut u64) -> Result<SourceFile, ConfigurationError> {
    let failed = |source| unreadable(&path, source);
    // Looked at before it is opened: opening a device may have effects.
    refuse_special(&path, &fs::metadata(&path).map_err(failed)?)?;
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .map_err(failed)?;
    refuse_special(&path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(*room + 1).read_to_end(&mut bytes).map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > *room {
        return Err(ConfigurationError::TooLarge { path });
    }
    *room -= length;
    Ok(SourceFile { name, path, bytes })
}

/// Reads a file that is no part of the configuration but named by it, by the same rules.
pub(super) fn read_aside(path: &Path) -> Result<Vec<u8>, ConfigurationError> {
    read_file(path.to_path_buf(), path.to_path_buf(), &mut LIMIT.clone()).map(|file| file.bytes)
}

fn refuse_special(path: &Path, metadata: &Metadata) -> Result<(), ConfigurationError> {
    let kind = metadata.file_type();
    let kind = if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() && path != Path::new("/dev/null") {
        "a device"
    } else if kind.is_dir() {
        "a directory"
    } else {
        return Ok(());
    };
    Err(ConfigurationError::Special { path: path.to_path_buf(), kind })
}

fn unreadable(path: &Path, source: io::Error) -> ConfigurationError {
    ConfigurationError::Unreadable { path: path.to_path_buf(), source }
}
