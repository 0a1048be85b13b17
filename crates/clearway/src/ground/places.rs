//! The places on this host where HAProxy makes sockets and files when it starts, and where it sends its log: whether
//! they are there, and whether this process may write there.
//!
//! HAProxy's own check (`haproxy -c`) opens what it reads (certificates, error pages) and looks at nothing else: that a
//! directory is missing shows at the start. Relative paths are left alone, and nothing is written. It looks at file
//! systems, which may take as long as they take: not to be called in the loop.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use clearway_haproxy::configuration::{Bind, Configuration, Endpoint, Guard, Span};
use rustix::fs::Access;
use rustix::io::Errno;

/// More than any file needs; a hostile one may name millions.
const MOST: usize = 1000;

/// Something that is not as the configuration needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is wrong, on which line.
    pub saw: String,
    /// What follows from it.
    pub matters: &'static str,
    /// What mends it.
    pub remedy: String,
    /// Whether HAProxy does not start because of it.
    pub stops: bool,
}

/// What HAProxy does not start without.
const NO_START: &str = "HAProxy would not start";

/// All that is missing, each directory once.
pub fn missing(configuration: &Configuration) -> Vec<Missing> {
    let mut seen = BTreeSet::new();
    let mut found: Vec<Missing> = sockets(configuration)
        .take(MOST)
        .filter(|socket| seen.insert(socket.path.parent().map(Path::to_path_buf)))
        .filter_map(|socket| socket.missing())
        .collect();
    found.extend(pid_file(configuration));
    found.extend(stats_file(configuration));
    found.extend(root(configuration));
    found.extend(log_targets(configuration));
    found
}

/// A socket that HAProxy makes.
struct Socket<'a> {
    what: &'static str,
    path: PathBuf,
    span: &'a Span,
    guards: &'a [Guard],
}

impl Socket<'_> {
    fn missing(&self) -> Option<Missing> {
        let place = Place::of(self.path.parent()?)?;
        Some(Missing {
            saw: format!("`{} {}` ({}): {}", self.what, self.path.display(), self.span, place.saw),
            matters: NO_START,
            remedy: place.remedy,
            stops: self.guards.is_empty(),
        })
    }
}

/// The Unix sockets with an absolute path; those of `bind` lines with what `unix-bind prefix` puts before them.
fn sockets(configuration: &Configuration) -> impl Iterator<Item = Socket<'_>> {
    let prefix = configuration.global.unix_prefix().unwrap_or_default();
    let paths = |endpoints: &[Endpoint]| -> Vec<PathBuf> {
        let unix = endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Unix(path) => Some(path.clone()),
            _ => None,
        });
        unix.collect()
    };
    let stats = configuration.stats_sockets.iter().flat_map(move |stats| {
        let sockets = paths(&stats.endpoints).into_iter();
        sockets.map(|path| Socket { what: "stats socket", path, span: &stats.span, guards: &stats.guards })
    });
    let binds = configuration.binds.iter().filter(|bind| bind.namespace.is_none());
    let binds = binds.flat_map(move |bind: &Bind| {
        paths(&bind.endpoints).into_iter().map(move |path| {
            let mut whole = std::ffi::OsString::from(prefix);
            whole.push(path);
            Socket { what: "bind", path: whole.into(), span: &bind.span, guards: &bind.guards }
        })
    });
    stats.chain(binds).filter(|socket| socket.path.is_absolute())
}

fn pid_file(configuration: &Configuration) -> Option<Missing> {
    let setting = configuration.global.pid_files.first()?;
    let path = Path::new(&setting.value);
    let place = no_file(path).filter(|_| path.is_absolute())?;
    Some(Missing {
        saw: format!("`pidfile {}` ({}): {}", setting.value, setting.span, place.saw),
        matters: "Clearway, which writes its own pid there, would not start",
        remedy: format!("{}; or leave `pidfile` out", place.remedy),
        stops: setting.guards.is_empty(),
    })
}

/// HAProxy reads it and starts without it; what is written there is written by Clearway.
fn stats_file(configuration: &Configuration) -> Option<Missing> {
    let setting = configuration.global.stats_files.first()?;
    let path = Path::new(&setting.value);
    let place = no_file(path).filter(|_| path.is_absolute())?;
    Some(Missing {
        saw: format!("`stats-file {}` ({}): {}", setting.value, setting.span, place.saw),
        matters: "Clearway cannot write HAProxy's counters there, so that each HAProxy begins with what is there",
        remedy: place.remedy,
        stops: false,
    })
}

/// Why no file can be written at a path. One that is there is written over, in whatever directory.
pub fn no_file(path: &Path) -> Option<Place> {
    let there = std::fs::symlink_metadata(path).ok();
    if there.as_ref().is_some_and(Metadata::is_dir) {
        return Some(Place {
            saw: format!("{} is a directory", path.display()),
            remedy: "name a file in it".to_owned(),
        });
    }
    if there.is_some_and(|file| file.is_file()) && Place::at(path).is_none() {
        return None;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty())?;
    let error = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(Place::judge(directory, error).unwrap_or_else(|| Place {
        saw: format!("{}: {}", directory.display(), std::io::Error::from(error)),
        remedy: "name a path that can be written".to_owned(),
    }))
}

fn root(configuration: &Configuration) -> Option<Missing> {
    let setting = configuration.global.chroot.as_ref()?;
    let path = Path::new(&setting.value);
    if !path.is_absolute() || path.is_dir() {
        return None;
    }
    Some(Missing {
        saw: format!("`chroot {}` ({}): there is no such directory", setting.value, setting.span),
        matters: NO_START,
        remedy: "create it, or mount one there".to_owned(),
        stops: setting.guards.is_empty(),
    })
}

/// A log that is sent to a socket that is not there is lost, and HAProxy says so once, without the path.
fn log_targets(configuration: &Configuration) -> Vec<Missing> {
    let chroot = configuration.global.chroot.as_ref().filter(|setting| setting.guards.is_empty());
    let mut seen = BTreeSet::new();
    let targets = configuration.log_targets.iter().filter(|target| target.path.is_absolute());
    let targets = targets.filter(|target| seen.insert(&target.path)).take(MOST);
    let missing = targets.filter_map(|target| {
        let inside = target.path.strip_prefix("/").ok()?;
        let path = chroot.map_or(target.path.clone(), |root| Path::new(&root.value).join(inside));
        if std::fs::metadata(&path).is_ok_and(|file| file.file_type().is_socket()) {
            return None;
        }
        let below = match chroot {
            Some(_) => format!(" (below the `chroot`, {})", path.display()),
            None => String::new(),
        };
        Some(Missing {
            saw: format!("`log {}` ({}): there is no such socket{below}", target.path.display(), target.span),
            matters: "what HAProxy logs there is lost; it serves all the same",
            remedy: "in a container write `log stdout format raw local0`, which `docker logs` shows; or mount the \
                     socket of a log daemon there"
                .to_owned(),
            stops: false,
        })
    });
    missing.collect()
}

/// What is wrong with a directory or a file, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is wrong.
    pub saw: String,
    /// What mends it.
    pub remedy: String,
}

impl Place {
    /// A directory in which something is to be made; nothing where that can be, or where it cannot be told.
    pub fn of(directory: &Path) -> Option<Self> {
        Self::judge(directory, rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?)
    }

    /// A file that is to be written.
    fn at(file: &Path) -> Option<Self> {
        Self::judge(file, rustix::fs::access(file, Access::WRITE_OK).err()?)
    }

    fn judge(path: &Path, error: Errno) -> Option<Self> {
        let shown = path.display();
        Some(match error {
            Errno::NOENT => Self {
                saw: format!("the directory {shown} does not exist"),
                remedy: format!(
                    "create it, or mount one, for example with `--tmpfs {shown}` at `docker run`"
                ),
            },
            Errno::ROFS => Self {
                saw: format!("{shown} is on a file system that is read-only"),
                remedy: format!(
                    "mount one that can be written, for example with `--tmpfs {shown}` at `docker run`"
                ),
            },
            Errno::ACCESS | Errno::PERM => Self {
                saw: belongs(path)?,
                remedy: format!(
                    "`chown {} {shown}`, or mount a directory that it may write, or name another path",
                    rustix::process::geteuid().as_raw()
                ),
            },
            _ => return None,
        })
    }
}

/// The owner of the nearest directory or file on the way, if this process may not write to it.
pub fn owner(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|path| std::fs::symlink_metadata(path).is_ok())?;
    let denied = rustix::fs::access(there, Access::WRITE_OK).is_err_and(|error| error == Errno::ACCESS);
    if denied { belongs(there) } else { None }
}

/// The owner of a directory or file, and the user that HAProxy is started as.
fn belongs(path: &Path) -> Option<String> {
    let file = std::fs::metadata(path).ok();
    let Some(file) = file else {
        let parent = path.parent()?;
        return belongs(parent);
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let we = rustix::process::geteuid().as_raw();
    let rights = if we == 0 { ", without the right to write where root may not (DAC_OVERRIDE)" } else { "" };
    Some(format!(
        "{} belongs to {}, group {}, mode {}; HAProxy is started as {}{rights}",
        path.display(),
        named(&users, file.uid()),
        named(&groups, file.gid()),
        mode(&file),
        named(&users, we),
    ))
}

fn mode(file: &Metadata) -> String {
    format!("{:04o}", file.mode() & 0o7777)
}

/// `haproxy (99)`, or the number alone: a line of /etc/passwd and /etc/group has the number as its third field.
fn named(table: &str, number: u32) -> String {
    let wanted = number.to_string();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then_some(name)
    });
    name.map_or(wanted.clone(), |name| format!("{name} ({wanted})"))
}

#[cfg(test)]
mod tests;
