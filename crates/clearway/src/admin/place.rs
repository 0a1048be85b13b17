//! Where the admin socket is, and that an instance name is used once.
//!
//! ```text
//! named `web`    /run/clearway/web.sock           and the abstract @clearway/web, bound in any case:
//!                                                 it is the lock of the name in this network namespace
//! private        /run/clearway/_1f2e3d4c.sock     or the abstract @clearway/_1f2e3d4c
//! ```
//!
//! An abstract name dies with its process. A socket file does not, after `SIGKILL`: whoever comes next
//! finds that nobody listens on it and removes it. The underscore keeps the two kinds apart: no
//! instance name has one.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::names::InstanceName;
use clearway_core::supervisor::Failure;
use rustix::fs::Mode;

/// What every abstract name of ours begins with.
pub const ABSTRACT_PREFIX: &str = "clearway/";

/// The admin socket of this process, and the lock of its name.
#[derive(Debug)]
pub struct Place {
    path: Option<PathBuf>,
    /// Whether the directory is ours to remove.
    made_directory: bool,
    listener: Option<UnixListener>,
    /// Held until the end; for a named instance with a socket file it is nothing but a lock.
    _lock: Option<UnixListener>,
}

impl Place {
    /// Takes the name, and makes the socket in `directory` or, where that cannot be written, an
    /// abstract one.
    pub fn take(instance: Option<&InstanceName>, directory: &Path) -> Result<Self, Failure> {
        let name = match instance {
            Some(name) => name.to_string(),
            None => format!("_{:08x}", nonce()),
        };
        let abstract_listener = match listen_abstract(&name) {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(taken(&name, None)),
            Err(error) => return Err(cannot(&name, &error)),
        };
        let made_directory = std::fs::create_dir(directory).is_ok();
        match listen_at(&name, directory) {
            Ok((path, listener)) => {
                let lock = instance.is_some().then_some(abstract_listener);
                Ok(Self { path: Some(path), made_directory, listener: Some(listener), _lock: lock })
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(taken(&name, Some(&directory.join(format!("{name}.sock")))))
            }
            Err(error) => {
                tracing::debug!(
                    "no admin socket below {}: {error}; an abstract one serves",
                    directory.display()
                );
                Ok(Self { path: None, made_directory, listener: Some(abstract_listener), _lock: None })
            }
        }
    }

    /// The listening socket, once.
    pub fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }

    /// Removes the socket file, and the directory if it was made for it and nobody else uses it.
    pub fn leave(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = std::fs::remove_file(&path);
            if self.made_directory {
                // Goes only if it is empty: no other instance is there.
                let _ = path.parent().map(std::fs::remove_dir);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

fn nonce() -> u32 {
    let mut bytes = [0_u8; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => u32::from_ne_bytes(bytes),
        _ => std::process::id(),
    }
}

fn listen_abstract(name: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("{ABSTRACT_PREFIX}{name}"))?)
}

/// Listens on a socket file, mode 0600 from birth; a file that nobody listens on is replaced.
fn listen_at(name: &str, directory: &Path) -> io::Result<(PathBuf, UnixListener)> {
    let old_mask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let path = directory.join(format!("{name}.sock"));
    let mut bound = UnixListener::bind(&path);
    if matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse) && !is_alive(&path) {
        bound = std::fs::remove_file(&path).and_then(|()| UnixListener::bind(&path));
    }
    rustix::process::umask(old_mask);
    bound.map(|listener| (path, listener))
}

/// Whether somebody listens on a socket file.
pub fn is_alive(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

fn taken(name: &str, path: Option<&Path>) -> Failure {
    let holder = holder(name, path).map_or_else(String::new, |pid| format!(" (pid {pid})"));
    Failure::new(
        ExitCode::InstanceTaken,
        format!("the instance name `{name}` is taken by another Clearway that is running{holder}"),
    )
    .hint("stop that one first, or give this one another CLEARWAY_INSTANCE")
}

/// The process that holds the name, where it can be seen from here.
fn holder(name: &str, path: Option<&Path>) -> Option<i32> {
    let stream = if let Some(path) = path {
        UnixStream::connect(path).ok()?
    } else {
        let address = SocketAddr::from_abstract_name(format!("{ABSTRACT_PREFIX}{name}")).ok()?;
        UnixStream::connect_addr(&address).ok()?
    };
    peer_pid(&stream)
}

/// The process at the other end of a connection, if it is in our PID namespace (the kernel says 0
/// otherwise, which `rustix::net::sockopt::socket_peercred` has no room for; tokio's does).
///
/// Leaves the connection non-blocking; without a tokio runtime nothing is found.
pub fn peer_pid(stream: &UnixStream) -> Option<i32> {
    tokio::runtime::Handle::try_current().ok()?;
    stream.set_nonblocking(true).ok()?;
    let stream = tokio::net::UnixStream::from_std(stream.try_clone().ok()?).ok()?;
    stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0)
}

fn cannot(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        ExitCode::Internal,
        format!("no socket could be bound to the abstract name `@{ABSTRACT_PREFIX}{name}`: {error}"),
    )
}

#[cfg(test)]
mod tests;
