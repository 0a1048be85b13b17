//! A long session: a connection that lives through reloads and stops, beaten like a drum and watched.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use socket2::{Domain, Socket, Type};

use crate::namespace::Namespace;

/// How a session stands after something was tried on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The line came back.
    Alive,
    /// The other side closed properly.
    Closed,
    /// The other side reset it.
    Reset,
    /// Nothing came within the timeout.
    Silent,
    /// Another line came back, or another error.
    Wrong(String),
}

/// One connection to a [`crate::server::Mode::Line`] server, through whatever is between.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
    greeting: String,
    echoes: u64,
}

impl Session {
    /// Connects from inside `host` (from `source`, where given) and reads the greeting.
    pub fn open(host: &Namespace, to: SocketAddr, source: Option<IpAddr>) -> Result<Self> {
        let timeout = Duration::from_secs(5) * crate::wait::patience();
        Self::begin(host, to, timeout, || connect(to, source, timeout))
    }

    /// The same from an address that need not be one of the host's, as a transparent proxy connects. The error has the
    /// kernel's as its cause.
    pub fn open_foreign(
        host: &Namespace,
        to: SocketAddr,
        source: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<Self> {
        Self::begin(host, to, timeout, || {
            let socket = foreign(to, source)?;
            socket.connect_timeout(&to.into(), timeout)?;
            Ok(socket.into())
        })
    }

    fn begin(
        host: &Namespace,
        to: SocketAddr,
        timeout: Duration,
        connect: impl FnOnce() -> std::io::Result<TcpStream> + Send,
    ) -> Result<Self> {
        let stream = host
            .enter(connect)?
            .with_context(|| format!("opening a session to {to} from {}", host.name()))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let mut stream = BufReader::new(stream);
        let mut greeting = String::new();
        stream.read_line(&mut greeting).map_err(|error| match state_of(&error) {
            State::Silent => {
                anyhow!(error).context(format!("{to} accepted, but no greeting came within {timeout:?}"))
            }
            _ => anyhow!("waiting for the greeting of {to}: {error}"),
        })?;
        if !greeting.ends_with('\n') {
            return Err(anyhow!("{to} closed the session before its greeting was complete"));
        }
        Ok(Self { stream, greeting: greeting.trim_end().to_owned(), echoes: 0 })
    }

    /// The address that the server saw.
    pub fn peer_seen(&self) -> &str {
        self.greeting.split(' ').next().unwrap_or_default()
    }

    /// The name of the server.
    pub fn server(&self) -> &str {
        self.greeting.split(' ').nth(1).unwrap_or_default()
    }

    /// How many lines have come back.
    pub fn echoes(&self) -> u64 {
        self.echoes
    }

    /// Our own address and port.
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.stream.get_ref().local_addr().context("asking for our own address")
    }

    /// How long [`Session::beat`] waits for its line.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience)).context("setting a read timeout")
    }

    /// Sends a line that was never sent before and waits for it.
    pub fn beat(&mut self) -> State {
        let line = format!("beat {}\n", self.echoes);
        if let Err(error) = self.stream.get_mut().write_all(line.as_bytes()) {
            return state_of(&error);
        }
        let mut back = String::new();
        match self.stream.read_line(&mut back) {
            Err(error) => state_of(&error),
            Ok(0) => State::Closed,
            Ok(_) if back == line => {
                self.echoes += 1;
                State::Alive
            }
            Ok(_) => State::Wrong(back),
        }
    }

    /// Closes our side and waits for the other: [`State::Closed`] is a proper end.
    pub fn close(mut self) -> State {
        if let Err(error) = self.stream.get_ref().shutdown(Shutdown::Write) {
            return state_of(&error);
        }
        let mut rest = String::new();
        match self.stream.read_line(&mut rest) {
            Ok(0) => State::Closed,
            Ok(_) => State::Wrong(rest),
            Err(error) => state_of(&error),
        }
    }

    /// Lets a thread beat the session every `interval` until it is told to finish or the session ends.
    pub fn keep(self, interval: Duration) -> KeptSession {
        let stop = Arc::new(AtomicBool::new(false));
        let beats = Arc::new(AtomicU64::new(0));
        let (stopping, counting) = (Arc::clone(&stop), Arc::clone(&beats));
        let thread = std::thread::spawn(move || drum(self, interval, &stopping, &counting));
        KeptSession { stop, beats, thread: Some(thread) }
    }
}

/// A session that a thread keeps busy.
#[derive(Debug)]
pub struct KeptSession {
    stop: Arc<AtomicBool>,
    beats: Arc<AtomicU64>,
    thread: Option<JoinHandle<SessionReport>>,
}

/// What became of a kept session.
#[derive(Debug, Clone)]
pub struct SessionReport {
    /// Lines that came back.
    pub echoes: u64,
    /// The longest that one line took.
    pub slowest: Duration,
    /// [`State::Closed`] after our own close, or what ended it before.
    pub ending: State,
    /// Whether the ending was ours.
    pub ended_by_us: bool,
}

impl KeptSession {
    /// Lines that have come back so far.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Whether the thread still beats.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Closes the session properly and reports.
    pub fn finish(mut self) -> Result<SessionReport> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or_else(|| anyhow!("the session was finished before"))?;
        thread.join().map_err(|_| anyhow!("the thread that kept the session panicked"))
    }
}

impl Drop for KeptSession {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn drum(mut session: Session, every: Duration, stop: &AtomicBool, beats: &AtomicU64) -> SessionReport {
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let state = session.beat();
        slowest = slowest.max(begun.elapsed());
        if state != State::Alive {
            return SessionReport { echoes: session.echoes, slowest, ending: state, ended_by_us: false };
        }
        beats.fetch_add(1, Ordering::Relaxed);
        sleep(every);
    }
    let echoes = session.echoes;
    SessionReport { echoes, slowest, ending: session.close(), ended_by_us: true }
}

/// Connects, from a chosen address where one is given.
pub(crate) fn connect(to: SocketAddr, from: Option<IpAddr>, timeout: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), timeout)?;
    Ok(socket.into())
}

/// A socket that is about to connect, from an address that need not be one of this host's.
pub fn foreign(to: SocketAddr, from: Option<IpAddr>) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    let Some(from) = from else { return Ok(socket) };
    let address = SocketAddr::new(from, 0).into();
    // Local clients are not transparent.
    if socket.bind(&address).is_err() {
        match from {
            IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
        }
        socket.bind(&address)?;
    }
    Ok(socket)
}

fn state_of(error: &std::io::Error) -> State {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => State::Reset,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => State::Silent,
        _ => State::Wrong(error.to_string()),
    }
}
