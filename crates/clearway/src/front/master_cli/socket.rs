//! A socket at which the master CLI listens.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener as StdUnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_haproxy::configuration::Endpoint;
use clearway_haproxy::master_cli::address::{Account, MasterCliAddress};
use clearway_haproxy::sockpair;
use clearway_kernel::listeners;
use rustix::io::FdFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::front::master_cli::session::ClientHost;
use crate::ground::own_file::OwnFile;
use crate::ground::{accounts, places};
use crate::peers::admin_socket::for_us_alone;

/// How many clients wait, at most, while others are served.
const BACKLOG: i32 = 1024;

/// A pause where descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the master CLI listens.
#[derive(Clone, Debug)]
pub struct MasterCliPlace {
    address: MasterCliAddress,
    /// What was given to this process with the number that it names.
    given: Option<Arc<OwnedFd>>,
}

impl MasterCliPlace {
    /// Reads the values of `-S`, and takes the descriptors that they name. To be called once, before anything is opened: the
    /// numbers are believed.
    pub fn take(values: &[OsString]) -> Result<Vec<Self>, Failure> {
        let mut taken = BTreeSet::new();
        values.iter().map(|value| Self::take_one(&value.to_string_lossy(), &mut taken)).collect()
    }

    fn take_one(text: &str, taken: &mut BTreeSet<i32>) -> Result<Self, Failure> {
        let address = MasterCliAddress::parse(text);
        let address = address.map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
        let given = match &address.endpoint {
            Endpoint::Inherited(number) | Endpoint::Sockpair(number) => {
                Some(Arc::new(given(text, number, taken)?))
            }
            _ => None,
        };
        Ok(Self { address, given })
    }

    /// What listens there instead, as far as that can be seen. It may take a second: not to be called in the loop.
    pub fn holders(&self) -> Vec<listeners::Holder> {
        let address = self.address.endpoint.socket_addresses().next();
        let held = address.and_then(|at| listeners::holders(at.port(), Some(at.ip())).ok());
        held.unwrap_or_default()
    }
}

/// The descriptor that this process was given with a number.
fn given(text: &str, number: &str, taken: &mut BTreeSet<i32>) -> Result<OwnedFd, Failure> {
    let not_there = |why: String| Failure::new(ExitCode::Usage, format!("`-S {text}`: {why}"));
    let number: i32 = number.parse().unwrap_or(-1);
    let is_socket = |path: PathBuf| path.to_string_lossy().starts_with("socket:");
    if number < 3 || !std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(is_socket) {
        return Err(not_there(format!("no socket was given to this process with the number {number}")));
    }
    if !taken.insert(number) {
        return Err(not_there("that descriptor is named twice".to_owned()));
    }
    // SAFETY: it is open, it was given to this process to be used here, and each number is taken once.
    let given = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&given, FdFlags::CLOEXEC).map_err(|error| not_there(error.to_string()))?;
    Ok(given)
}

/// A socket that listens, and what clients may do there.
#[derive(Debug)]
pub struct MasterCliSocket {
    address: MasterCliPlace,
    listener: CliListener,
    _file: Option<CliSocketFile>,
}

#[derive(Debug)]
enum CliListener {
    Unix(UnixListener),
    Tcp(TcpListener),
    /// Our end of a pair, over which connections come.
    Pair(UnixStream),
}

/// A client that has come.
enum CliStream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl From<UnixStream> for CliStream {
    fn from(client: UnixStream) -> Self {
        Self::Unix(client)
    }
}

impl From<TcpStream> for CliStream {
    fn from(client: TcpStream) -> Self {
        Self::Tcp(client)
    }
}

/// The file of a socket; goes with it, unless another process has put another one there.
#[derive(Debug)]
struct CliSocketFile(OwnFile);

impl Drop for CliSocketFile {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

impl MasterCliSocket {
    /// Begins to listen.
    pub fn open(address: &MasterCliPlace) -> Result<Self, Failure> {
        let opened = Self::try_open(address);
        opened.map_err(|error| {
            let code = match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => ExitCode::AddressInUse,
                _ => ExitCode::ConfigurationRefused,
            };
            let message = format!("listening for the master CLI (`-S {}`): {error}", address.address.text);
            let failure = Failure::new(code, message);
            let Endpoint::Unix(path) = &address.address.endpoint else { return failure };
            let hint = path.parent().and_then(places::owner);
            hint.into_iter().fold(failure, Failure::hint)
        })
    }

    fn try_open(address: &MasterCliPlace) -> io::Result<Self> {
        let (listener, file) = match (&address.address.endpoint, &address.given) {
            (Endpoint::Unix(path), _) => {
                let (listener, file) = listen_at(path, &address.address)?;
                (CliListener::Unix(UnixListener::from_std(listener)?), Some(file))
            }
            (Endpoint::Abstract(name), _) => {
                let listener = StdUnixListener::bind_addr(&UnixAddress::from_abstract_name(name)?)?;
                listener.set_nonblocking(true)?;
                (CliListener::Unix(UnixListener::from_std(listener)?), None)
            }
            (Endpoint::Sockpair(_), Some(given)) => {
                let end = std::os::unix::net::UnixStream::from(given.try_clone()?);
                end.set_nonblocking(true)?;
                (CliListener::Pair(UnixStream::from_std(end)?), None)
            }
            (_, Some(given)) => (listening_already(given)?, None),
            (endpoint, None) => {
                let at = endpoint.socket_addresses().next();
                (listen_on(at.ok_or(io::ErrorKind::AddrNotAvailable)?)?, None)
            }
        };
        Ok(Self { address: address.clone(), listener, _file: file })
    }

    /// Lets clients in until it is aborted.
    pub async fn serve(self, host: ClientHost) {
        let level = self.address.address.level;
        loop {
            let room = host.room().await;
            let accepted = match &self.listener {
                CliListener::Unix(listener) => listener.accept().await.map(|(client, _)| Some(client.into())),
                CliListener::Tcp(listener) => listener.accept().await.map(|(client, _)| Some(client.into())),
                CliListener::Pair(end) => accept(end).await.map(|client| client.map(CliStream::from)),
            };
            match accepted {
                Ok(Some(CliStream::Unix(client))) => host.serve(client, level, room),
                Ok(Some(CliStream::Tcp(client))) => host.serve(client, level, room),
                // The other end of a pair is gone: no client will come.
                Ok(None) => return,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// The next connection over a pair; unset at its end.
async fn accept(end: &UnixStream) -> io::Result<Option<UnixStream>> {
    use sockpair::SockpairError;
    loop {
        end.readable().await?;
        let accepted =
            end.try_io(Interest::READABLE, || match sockpair::accept(end.as_fd(), Duration::ZERO) {
                Ok(client) => Ok(Some(client)),
                Err(SockpairError::TimedOut(_)) => Err(io::ErrorKind::WouldBlock.into()),
                Err(SockpairError::Ended) => Ok(None),
                Err(error) => Err(io::Error::other(error)),
            });
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Some(client)) => {
                client.set_nonblocking(true)?;
                return UnixStream::from_std(client).map(Some);
            }
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// A socket that listens already, as it was given.
fn listening_already(given: &OwnedFd) -> io::Result<CliListener> {
    let socket = Socket::from(given.try_clone()?);
    if !socket.is_listener()? {
        return Err(io::Error::other(format!("the descriptor {} does not listen", given.as_raw_fd())));
    }
    socket.set_nonblocking(true)?;
    if socket.domain()? == Domain::UNIX {
        return UnixListener::from_std(OwnedFd::from(socket).into()).map(CliListener::Unix);
    }
    TcpListener::from_std(OwnedFd::from(socket).into()).map(CliListener::Tcp)
}

/// As HAProxy does it, with `SO_REUSEPORT`: a predecessor may listen there until it is relieved.
fn listen_on(address: SocketAddr) -> io::Result<CliListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(OwnedFd::from(socket).into()).map(CliListener::Tcp)
}

/// Where a socket is made that takes the place of the one at a path.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

/// A socket with a file, which takes the place of the one that is there when it is as it should be.
fn listen_at(path: &Path, address: &MasterCliAddress) -> io::Result<(StdUnixListener, CliSocketFile)> {
    let beside = beside(path);
    let _ = std::fs::remove_file(&beside);
    let bind = || StdUnixListener::bind(&beside);
    let is_restricted = address.mode.is_some() || address.user.is_some() || address.group.is_some();
    let listener = if is_restricted { for_us_alone(bind) } else { bind() }?;
    let made = dress(&beside, address)
        .and_then(|()| OwnFile::at(beside.clone()))
        .and_then(|file| file.rename(path.to_owned()));
    if made.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    listener.set_nonblocking(true)?;
    Ok((listener, CliSocketFile(made?)))
}

fn dress(path: &Path, address: &MasterCliAddress) -> io::Result<()> {
    let number = |account: &Option<Account>, find: fn(&str) -> Option<u32>| match account {
        None => Ok(None),
        Some(Account::Number(number)) => Ok(Some(*number)),
        Some(Account::Name(name)) => {
            find(name).map(Some).ok_or_else(|| io::Error::other(format!("`{name}` is not known here")))
        }
    };
    let (user, group) = (number(&address.user, accounts::user)?, number(&address.group, accounts::group)?);
    if user.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, user, group)?;
    }
    if address.mode.is_some() || user.is_some() || group.is_some() {
        let mode = address.mode.unwrap_or(0o755);
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}
