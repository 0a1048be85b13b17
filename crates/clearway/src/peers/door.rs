//! Where conversations of a name are begun: at the door of the Clearway that has it, and at that of its holder.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::InstanceName;
use clearway_core::settings::Settings;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::ground::credentials::Credentials;
use crate::peers::admin_socket::for_us_alone;
use crate::peers::names::ABSTRACT_PREFIX;
use crate::peers::wire::Wire;

/// How many conversations may wait at a door that was just made.
const BACKLOG: i32 = 16;

/// A socket that takes packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// An abstract name, seen by the whole network namespace.
    Abstract(String),
    /// A file.
    File(PathBuf),
}

impl Door {
    /// Where the Clearway that has a name is asked for its sockets.
    pub fn of_balancer(name: &InstanceName, settings: &Settings) -> Self {
        Self::of(name.as_str(), "takeover", settings.takeover_directory.as_deref())
    }

    /// Where the holder of an instance is.
    pub fn of_holder(name: &InstanceName, settings: &Settings) -> Self {
        Self::of(name.as_str(), "hold", settings.takeover_directory.as_deref())
    }

    fn of(instance: &str, what: &str, directory: Option<&Path>) -> Self {
        match directory {
            Some(directory) => Self::File(directory.join(format!("{instance}.{what}"))),
            None => Self::Abstract(format!("{ABSTRACT_PREFIX}{instance}/{what}")),
        }
    }

    fn address(&self) -> rustix::io::Result<SocketAddrUnix> {
        match self {
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
            Self::File(path) => SocketAddrUnix::new(path.as_path()),
        }
    }

    /// Listens, for root and our own user where it is a file. A file at which no process listens is replaced.
    pub fn listen(&self) -> io::Result<OwnedFd> {
        let address = self.address()?;
        let socket = new_socket()?;
        for_us_alone(|| {
            let bound = rustix::net::bind(&socket, &address);
            if let Self::File(path) = self
                && bound == Err(Errno::ADDRINUSE)
                && self.connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            {
                return std::fs::remove_file(path)
                    .map_err(|_| Errno::ADDRINUSE)
                    .and_then(|()| rustix::net::bind(&socket, &address));
            }
            bound
        })?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// Connects, without waiting.
    fn connect(&self) -> io::Result<Wire> {
        let socket = new_socket()?;
        rustix::net::connect(&socket, &self.address()?)?;
        Ok(Wire::of(socket))
    }

    /// Connects, if the process that has it is one of ours. Unset if no process listens there.
    pub fn knock(&self) -> Result<Option<Wire>, Failure> {
        let Ok(wire) = self.connect() else { return Ok(None) };
        let owner =
            wire.socket().try_clone_to_owned().ok().and_then(|socket| Credentials::of(&socket.into()));
        match owner {
            Some(owner) if owner.is_trusted() => Ok(Some(wire)),
            owner => {
                let uid =
                    owner.map_or_else(|| "an unknown user".to_owned(), |owner| format!("uid {}", owner.uid));
                let message = format!(
                    "{self} belongs to a process of {uid}, which is no Clearway of ours: nothing is taken from it"
                );
                Err(Failure::new(ExitCode::InstanceTaken, message)
                    .hint("end that process, or choose another CLEARWAY_INSTANCE"))
            }
        }
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_opens_once_and_a_dead_one_is_replaced() {
        let directory = std::env::temp_dir().join(format!("clearway-door-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let doors = [
            Door::of(&format!("door{}", std::process::id()), "takeover", None),
            Door::of("web", "takeover", Some(&directory)),
        ];
        for door in doors {
            let listening = door.listen().unwrap();
            assert_eq!(door.listen().unwrap_err().kind(), io::ErrorKind::AddrInUse, "{door}");
            let _connected = door.connect().unwrap();
            drop(listening);
            assert!(door.connect().is_err());
            drop(door.listen().unwrap());
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
