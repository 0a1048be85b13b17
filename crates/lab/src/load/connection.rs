//! One connection: from `connect()` to the last byte, and its class.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Ask, Expect};

/// The most that an answer may be long.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The whole answer came, and it was right.
    Ok,
    /// No process listened.
    Refused,
    /// The connection was reset, before or after the answer.
    Reset,
    /// No end within the timeout.
    Timeout,
    /// Closed before the answer was whole.
    Short,
    /// A whole answer that is not what was expected.
    WrongAnswer,
    /// Another error of the operating system, by name.
    Other(String),
}

impl Class {
    /// The class of an error.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            // The last one: the reset came between two calls.
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected => Self::Reset,
            ErrorKind::TimedOut => Self::Timeout,
            kind => match error.raw_os_error() {
                Some(code) => Self::Other(format!("{kind:?} (errno {code})")),
                None => Self::Other(format!("{kind:?}")),
            },
        }
    }
}

/// A connection to be made.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The number of the target in the plan.
    pub(super) target: usize,
    pub(super) to: SocketAddr,
    /// Candidates to come from, in order; none: the kernel chooses.
    pub(super) from: Vec<SocketAddr>,
    /// When the schedule wanted it.
    pub(super) intended: Instant,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) target: usize,
    pub(super) intended: Instant,
    /// How late the generator was with it.
    pub(super) slip: Duration,
    pub(super) class: Class,
    pub(super) answer: String,
    /// From the intended begin to the answer (or to the failure).
    pub(super) latency: Duration,
    /// How long `connect()` took, where it succeeded.
    pub(super) connecting: Option<Duration>,
}

impl Attempt {
    /// Makes the connection; never longer than `timeout` from the intended begin.
    pub(super) async fn run(self, ask: Ask, expect: &Expect, timeout: Duration) -> Outcome {
        let started = Instant::now();
        let mut seen = Seen::default();
        let deadline = tokio::time::Instant::from_std(self.intended + timeout);
        let talk = talk(self.to, &self.from, ask, expect, &mut seen);
        let class = match tokio::time::timeout_at(deadline, talk).await {
            Ok(Ok(class)) => class,
            Ok(Err(error)) => Class::of(&error),
            Err(_) => Class::Timeout,
        };
        let answered = if class == Class::Ok { seen.answered } else { None };
        Outcome {
            target: self.target,
            intended: self.intended,
            slip: started.saturating_duration_since(self.intended),
            class,
            answer: seen.answer,
            latency: answered.unwrap_or_else(Instant::now).saturating_duration_since(self.intended),
            connecting: seen.connected.map(|at| at.saturating_duration_since(started)),
        }
    }
}

/// What a connection has come to; kept outside of it so that a timeout does not lose it.
#[derive(Debug, Default)]
struct Seen {
    connected: Option<Instant>,
    answered: Option<Instant>,
    answer: String,
}

async fn talk(
    to: SocketAddr,
    from: &[SocketAddr],
    ask: Ask,
    expect: &Expect,
    seen: &mut Seen,
) -> io::Result<Class> {
    let mut stream = connect(to, from).await?;
    seen.connected = Some(Instant::now());
    if ask == Ask::Http {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n").await?;
    }
    let own = stream.local_addr()?;
    let mut bytes = Vec::with_capacity(256);
    let mut shut = false;
    loop {
        let whole = whole_answer(ask, &bytes);
        if let (Some(_), None) = (&whole, seen.answered) {
            seen.answered = Some(Instant::now());
        }
        if whole.is_some() && !shut {
            stream.shutdown().await?;
            shut = true;
        }
        if stream.read_buf(&mut bytes).await? == 0 || bytes.len() > LONGEST_ANSWER {
            break;
        }
    }
    let Some(answer) = whole_answer(ask, &bytes) else { return Ok(Class::Short) };
    seen.answer = answer;
    Ok(if is_expected(expect, &seen.answer, own) { Class::Ok } else { Class::WrongAnswer })
}

/// Connects, with another port where one is in use for this very destination.
async fn connect(to: SocketAddr, from: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut candidates = from.iter();
    loop {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        let Some(from) = candidates.next() else { return socket.connect(to).await };
        socket.set_reuseaddr(true)?;
        let connected = match socket.bind(*from) {
            Ok(()) => socket.connect(to).await,
            Err(error) => Err(error),
        };
        match connected {
            Err(error) if in_use(&error) && candidates.len() > 0 => {}
            connected => return connected,
        }
    }
}

fn in_use(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
}

/// The answer in `bytes`, if all of it is there.
pub(super) fn whole_answer(ask: Ask, bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    match ask {
        Ask::Line => text.split_once('\n').map(|(line, _)| line.trim_end().to_owned()),
        Ask::Http => {
            let (head, body) = text.split_once("\r\n\r\n")?;
            let mut lines = head.lines();
            let status = lines.next()?;
            let length = lines.find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() < length.unwrap_or(0) {
                return None;
            }
            let ok = status.split(' ').nth(1) == Some("200");
            Some(if ok { body.trim_end().to_owned() } else { status.to_owned() })
        }
    }
}

/// Whether the answer is right for a connection that came from `own`.
pub(super) fn is_expected(expect: &Expect, answer: &str, own: SocketAddr) -> bool {
    let word = answer.split(' ').next().unwrap_or_default();
    match expect {
        Expect::Anything => true,
        Expect::Peer(address) => word == address.to_string(),
        Expect::OwnAddress => word == own.ip().to_canonical().to_string(),
        Expect::Prefix(prefix) => answer.starts_with(prefix.as_str()),
    }
}

/// Makes one connection from the namespace of the calling thread and gives the answer: for waiting until a
/// balancer serves, or serves something new.
pub fn ask_once(to: SocketAddr, ask: Ask, timeout: Duration) -> Result<String, Class> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Class::of(&error))?;
    let attempt = Attempt { target: 0, to, from: Vec::new(), intended: Instant::now() };
    let timeout = timeout * crate::wait::patience();
    let outcome = runtime.block_on(attempt.run(ask, &Expect::Anything, timeout));
    if outcome.class == Class::Ok { Ok(outcome.answer) } else { Err(outcome.class) }
}
