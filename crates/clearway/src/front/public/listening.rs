//! A socket at which the API listens.
//!
//! It is Clearway's own and not in custody: it is closed when another Clearway takes over, which then listens itself. What is
//! in use is in use, also by another Clearway: no `SO_REUSEPORT`, and no file is taken from a process that listens there.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::settings::{AdminAddress, AdminPath};
use clearway_kernel::listeners;
use rustix::fs::Mode;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::front::public::client_io::ClientStream;
use crate::ground::accounts;
use crate::ground::credentials::Credentials;
use crate::ground::own_file::OwnFile;

/// How many clients wait to be let in, at most.
const BACKLOG: i32 = 128;

/// A socket that listens.
#[derive(Debug)]
pub struct ApiListener {
    socket: ApiSocket,
    _file: Option<ApiSocketFile>,
    /// Whether only root and our own user are let in.
    is_for_us: bool,
}

#[derive(Debug)]
enum ApiSocket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A client that has connected.
#[derive(Debug)]
pub enum Arrived {
    /// It may ask.
    Welcome(ClientStream),
    /// It is of another user.
    Foreign(u32),
}

/// The file of a socket; goes with it, unless another process has put another one there.
#[derive(Debug)]
struct ApiSocketFile(OwnFile);

impl Drop for ApiSocketFile {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

impl ApiListener {
    /// Begins to listen.
    pub fn open(address: &AdminAddress) -> io::Result<Self> {
        match address {
            AdminAddress::Unix(admin) => Self::at_path(admin),
            AdminAddress::Tcp(address) => Self::at_address(*address),
        }
    }

    fn at_path(admin: &AdminPath) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // The file gets the mode of the socket from its birth on; without this it would be that of the process's mask.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
        let at = SockAddr::unix(&admin.path)?;
        let bound = socket.bind(&at);
        if matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse)
            && is_dead(&at, &admin.path)
        {
            std::fs::remove_file(&admin.path)?;
            socket.bind(&at)?;
        } else {
            bound?;
        }
        let file = Some(ApiSocketFile(OwnFile::at(admin.path.clone())?));
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        dress(&admin.path, admin)?;
        let socket = ApiSocket::Unix(UnixListener::from_std(OwnedFd::from(socket).into())?);
        Ok(Self { socket, _file: file, is_for_us: admin.is_for_us() })
    }

    fn at_address(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // After a restart: connections of before may still be ending.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = ApiSocket::Tcp(TcpListener::from_std(OwnedFd::from(socket).into())?);
        Ok(Self { socket, _file: None, is_for_us: false })
    }

    /// The next client. May be dropped at any time.
    pub async fn accept(&self) -> io::Result<Arrived> {
        let stream = match &self.socket {
            ApiSocket::Tcp(listener) => {
                return Ok(Arrived::Welcome(ClientStream::Tcp(listener.accept().await?.0)));
            }
            ApiSocket::Unix(listener) => listener.accept().await?.0,
        };
        if self.is_for_us {
            let client = Credentials::from(stream.peer_cred()?);
            if !client.is_trusted() {
                return Ok(Arrived::Foreign(client.uid));
            }
        }
        Ok(Arrived::Welcome(ClientStream::Unix(stream)))
    }
}

/// Whether no process listens on a socket file any more. Does not wait for one whose queue is full.
fn is_dead(at: &SockAddr, path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let asked = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(at)
    });
    is_socket && asked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Owner first, which may take bits of the mode away.
fn dress(path: &Path, admin: &AdminPath) -> io::Result<()> {
    let number = |name: &Option<String>, find: fn(&str) -> Option<u32>, what: &str| match name {
        None => Ok(None),
        Some(name) => find(name).map(Some).ok_or_else(|| {
            io::Error::other(format!("the {what} `{name}` is not known here; a number is as good"))
        }),
    };
    let user = number(&admin.user, accounts::user, "user")?;
    let group = number(&admin.group, accounts::group, "group")?;
    if user.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, user, group)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(admin.file_mode()))
}

/// Why it cannot listen, and what has the address instead, as far as that can be seen: that may take a second.
pub fn not_listening(address: &AdminAddress, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => ExitCode::AddressInUse,
        io::ErrorKind::PermissionDenied => ExitCode::Rights,
        _ => ExitCode::Usage,
    };
    let failure = Failure::new(code, format!("the API does not listen at {address} yet: {error}"));
    let hints = match address {
        AdminAddress::Tcp(at) if error.kind() == io::ErrorKind::AddrInUse => {
            let held = listeners::holders(at.port(), Some(at.ip())).unwrap_or_default();
            held.iter().map(ToString::to_string).collect()
        }
        AdminAddress::Unix(_) if error.kind() == io::ErrorKind::AddrInUse => {
            vec!["another process listens there, or a file that is no socket stands in its place".to_owned()]
        }
        _ => Vec::new(),
    };
    hints
        .into_iter()
        .fold(failure, Failure::hint)
        .hint("it is tried again; CLEARWAY_ADMIN names another place")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn listen(path: &Path, mode: Option<u32>, user: Option<&str>) -> Result<ApiListener, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let user = user.map(str::to_owned);
        let address = AdminAddress::Unix(AdminPath { path: path.to_owned(), mode, user, group: None });
        ApiListener::open(&address).map_err(|error| not_listening(&address, &error))
    }

    #[test]
    fn a_file_has_the_mode_that_was_wanted_and_goes_with_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        for (mode, wanted) in [(None, 0o600), (Some(0o666), 0o666), (Some(0o640), 0o640)] {
            let listener = listen(&path, mode, None).unwrap();
            let file = std::fs::symlink_metadata(&path).unwrap();
            assert!(file.file_type().is_socket());
            assert_eq!(file.mode() & 0o7777, wanted);
            assert_eq!(listener.is_for_us, mode.is_none());
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_is_in_use_is_left_alone_and_what_is_dead_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let failure = listen(&path, None, None).unwrap_err();
        assert_eq!(failure.code, ExitCode::AddressInUse);
        assert!(failure.message.contains("api.sock yet: "), "{}", failure.message);
        drop(other);
        let listener = listen(&path, None, None).unwrap();
        drop(listener);
        std::fs::write(&path, "no socket").unwrap();
        assert!(listen(&path, None, None).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no socket");
    }

    #[test]
    fn an_unknown_user_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let failure = listen(&path, None, Some("nosuchuser")).unwrap_err();
        assert!(failure.message.contains("the user `nosuchuser` is not known here"), "{}", failure.message);
        assert!(!path.exists());
    }
}
