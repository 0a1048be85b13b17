//! Where the admin socket is, and that an instance name is used once.
//!
//! ```text
//! named `web`    /run/clearway/web.sock           and the abstract @clearway/web, bound in any case:
//!                                                 it is the lock of the name in this network namespace
//! private        /run/clearway/_1f2e3d4c.sock     or the abstract @clearway/_1f2e3d4c
//! ```
//!
//! An abstract name dies with its process. A socket file does not, after `SIGKILL`: the Clearway that comes next
//! finds that no process listens on it and removes it. The underscore keeps the two kinds apart: no
//! instance name has one.
//!
//! ```text
//! of a name, beside it      /run/clearway/web_5a6b7c8d.sock   or @clearway/web_5a6b7c8d: was superseded, has sessions left
//!                           /run/clearway/web_hold.sock       or @clearway/web_hold: holds the listening sockets
//! ```

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::InstanceName;
use rustix::fs::Mode;

use crate::ground::credentials::Credentials;
use crate::ground::own_file::OwnFile;
use crate::peers::names::{self, ABSTRACT_PREFIX, connect_abstract};

/// Made by whichever Clearway comes first, removed by whichever is last.
const DEFAULT_DIRECTORY: &str = "/run/clearway";

/// The admin socket of this process, and the lock of its name.
#[derive(Debug)]
pub struct AdminSocket {
    name: Option<InstanceName>,
    /// The socket file.
    path: Option<OwnFile>,
    /// Whether the directory is ours to remove.
    made_directory: bool,
    file: Option<UnixListener>,
    lock: Option<UnixListener>,
}

impl AdminSocket {
    /// Takes the name, and makes the socket in `directory` or, where that cannot be written, an
    /// abstract one.
    pub fn take(instance: Option<&InstanceName>, directory: &Path) -> Result<Self, Failure> {
        let name = instance.map_or_else(|| format!("_{:08x}", names::nonce()), ToString::to_string);
        let lock = match listen_abstract(&name) {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(taken(&name, None)),
            Err(error) => return Err(cannot(&name, &error)),
        };
        let mut made = Self::nowhere(instance);
        match made.make_file(&name, directory) {
            // The lock of a private name is of no use.
            Ok(()) => made.lock = instance.map(|_| lock),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(taken(&name, Some(&directory.join(format!("{name}.sock")))));
            }
            Err(error) => {
                crate::debug!(
                    "no admin socket below {}: {error}; an abstract one serves",
                    directory.display()
                );
                made.lock = Some(lock);
            }
        }
        Ok(made)
    }

    /// Beside a Clearway that has the name and will give it: a socket file where it has none, or where it is not
    /// seen from here.
    pub fn beside(&mut self, directory: &Path) {
        let Some(name) = self.name.clone() else { return };
        if let Err(error) = self.make_file(name.as_str(), directory) {
            crate::debug!("no admin socket below {} yet: {error}", directory.display());
        }
    }

    /// A socket beside the name, which another one has: see [`names`].
    pub fn aside(stem: &str, directory: &Path) -> io::Result<(Self, UnixListener)> {
        let mut made = Self::nowhere(None);
        if made.make_file(stem, directory).is_ok()
            && let Some(file) = made.file.take()
        {
            return Ok((made, file));
        }
        Ok((made, listen_abstract(stem)?))
    }

    /// Nothing yet.
    pub fn nowhere(instance: Option<&InstanceName>) -> Self {
        Self { name: instance.cloned(), path: None, made_directory: false, file: None, lock: None }
    }

    fn make_file(&mut self, name: &str, directory: &Path) -> io::Result<()> {
        self.made_directory = std::fs::create_dir(directory).is_ok();
        let (path, listener) = listen_at(name, directory)?;
        (self.path, self.file) = (Some(OwnFile::at(path)?), Some(listener));
        Ok(())
    }

    /// The predecessor has left the name without giving it: takes it, if no other process was faster. Unset for a private
    /// instance.
    pub fn take_the_name(&mut self) -> Result<Option<UnixListener>, Failure> {
        let Some(name) = &self.name else { return Ok(None) };
        match listen_abstract(name.as_str()) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(taken(name.as_str(), None)),
            Err(error) => Err(cannot(name.as_str(), &error)),
        }
    }

    /// The name is ours: puts a socket file in the place of a predecessor's, if there is none of ours yet.
    pub fn replace_file(&mut self, directory: &Path) -> Option<UnixListener> {
        let name = self.name.clone().filter(|_| self.path.is_none())?;
        let aside = format!("_{:08x}", names::nonce());
        let (path, listener) = listen_at(&aside, directory).ok()?;
        let file = OwnFile::at(path.clone()).ok()?;
        let Ok(file) = file.rename(directory.join(format!("{name}.sock"))) else {
            let _ = std::fs::remove_file(&path);
            return None;
        };
        self.path = Some(file);
        Some(listener)
    }

    /// The socket file, once. It is open as long as it is served.
    pub fn file(&mut self) -> Option<UnixListener> {
        self.file.take()
    }

    /// The lock of the name, once, which is an admin socket too: another container in this network namespace sees
    /// only it. It holds the name as long as it is open.
    pub fn lock(&mut self) -> Option<UnixListener> {
        self.lock.take()
    }

    /// Removes the socket file, and the directory if it was made for it and nothing else uses it.
    pub fn leave(&mut self) {
        if let Some(file) = self.path.take() {
            // A successor may have put its own there.
            let _ = file.remove();
            let directory = file.path().parent();
            if self.made_directory || directory == Some(Path::new(DEFAULT_DIRECTORY)) {
                // Goes only if it is empty: no other instance is there. The default one is ours, whichever of
                // us has made it.
                let _ = directory.map(std::fs::remove_dir);
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.leave();
    }
}

fn listen_abstract(name: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("{ABSTRACT_PREFIX}{name}"))?)
}

/// Listens on a socket file, mode 0600 from birth; a file that no process listens on is replaced.
fn listen_at(name: &str, directory: &Path) -> io::Result<(PathBuf, UnixListener)> {
    let path = directory.join(format!("{name}.sock"));
    let bound = for_us_alone(|| {
        let bound = UnixListener::bind(&path);
        if matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse) && is_dead(&path) {
            return std::fs::remove_file(&path).and_then(|()| UnixListener::bind(&path));
        }
        bound
    });
    bound.map(|listener| (path, listener))
}

/// Makes files of mode 0600 at most. The mask is the process's, so one at a time.
pub fn for_us_alone<T>(make: impl FnOnce() -> T) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let old_mask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let result = make();
    rustix::process::umask(old_mask);
    result
}

/// Whether no process listens on a socket file any more. Any doubt (no right to connect, no descriptor left, no
/// socket at all) means that it stays.
pub fn is_dead(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(|error| refused(&error))
}

/// Removes the socket files of ours that no process listens on, and says which.
pub fn remove_dead(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| names::is_ours(path) && is_dead(path) && std::fs::remove_file(path).is_ok())
        .map(|path| path.display().to_string())
        .collect()
}

fn taken(name: &str, path: Option<&Path>) -> Failure {
    let stream = match path {
        Some(path) => UnixStream::connect(path).ok(),
        None => connect_abstract(name).ok(),
    };
    let holder = stream.as_ref().and_then(Credentials::of);
    match holder {
        Some(holder) if !holder.is_trusted() => Failure::new(
            ExitCode::InstanceTaken,
            format!(
                "the instance name `{name}` is occupied by a process of uid {}, which is no Clearway of ours",
                holder.uid
            ),
        )
        .hint("end that process, or choose another CLEARWAY_INSTANCE"),
        _ => {
            let pid =
                holder.and_then(|holder| holder.pid).map_or_else(String::new, |pid| format!(" (pid {pid})"));
            Failure::new(
                ExitCode::InstanceTaken,
                format!("the instance name `{name}` is taken by another Clearway that is running{pid}"),
            )
            .hint("stop that one first, or give this one another CLEARWAY_INSTANCE")
        }
    }
}

fn cannot(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        ExitCode::Internal,
        format!("no socket could be bound to the abstract name `@{ABSTRACT_PREFIX}{name}`: {error}"),
    )
}

#[cfg(test)]
mod tests;
