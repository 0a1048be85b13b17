//! An HTTP client that keeps its connection: each request on the one before, as browsers and proxies do.
//!
//! Such a client meets the end of a connection between two requests. It is orderly if the last answer announced it
//! (`Connection: close`), or if it was there before the next request was sent. Everything else is a lost request, even
//! if the client might try again.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::namespace::Namespace;
use crate::session::connect;

/// The request but for its last line.
const MOST: &[u8] = b"GET / HTTP/1.1\r\nhost: lab\r\n";

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A whole 200; the connection stays.
    Answered,
    /// A whole 200 that announced the end of the connection, which then was closed.
    Last,
    /// The connection had been closed before the request was sent.
    ClosedBefore,
    /// No whole answer, or no orderly end after it.
    Lost(String),
}

/// A connection that stays from request to request.
#[derive(Debug)]
pub struct KeepAlive {
    stream: BufReader<TcpStream>,
    begun: bool,
}

impl KeepAlive {
    /// Connects from inside `host`.
    pub fn open(host: &Namespace, to: SocketAddr) -> Result<Self> {
        let opened = host.enter(|| Self::open_here(to))?;
        opened.with_context(|| format!("connecting to {to} from {}", host.name()))
    }

    /// Connects from the namespace of the calling thread.
    fn open_here(to: SocketAddr) -> std::io::Result<Self> {
        let timeout = Duration::from_secs(5) * crate::wait::patience();
        let stream = connect(to, None, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream: BufReader::new(stream), begun: false })
    }

    /// Sends a request but for its end, which [`KeepAlive::ask`] sends.
    pub fn begin(&mut self) -> Result<()> {
        self.begun = true;
        self.stream.get_mut().write_all(MOST).context("sending a part of a request")
    }

    /// Sends a request, or the rest of it, and waits for its answer.
    pub fn ask(&mut self) -> Heard {
        if !std::mem::take(&mut self.begun) {
            match self.is_closed() {
                Ok(false) => {}
                Ok(true) => return Heard::ClosedBefore,
                Err(error) => return Heard::Lost(format!("{error}, before the request was sent")),
            }
            if let Err(error) = self.stream.get_mut().write_all(MOST) {
                return Heard::Lost(format!("{error}, when the request was sent"));
            }
        }
        self.answer().unwrap_or_else(|error| Heard::Lost(format!("{error}, when it was to be answered")))
    }

    /// Whether the other side has closed, properly.
    pub fn is_closed(&self) -> std::io::Result<bool> {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        match peeked {
            Ok(0) => Ok(true),
            Ok(_) => Err(std::io::Error::other("an answer without a request")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn answer(&mut self) -> std::io::Result<Heard> {
        self.stream.get_mut().write_all(b"\r\n")?;
        let (mut line, mut status, mut length, mut last) = (String::new(), String::new(), 0, false);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Ok(Heard::Lost("closed before the whole answer".to_owned()));
            }
            let word = line.trim_end().to_ascii_lowercase();
            if word.is_empty() {
                break;
            }
            if status.is_empty() {
                status.clone_from(&word);
            }
            last |= word == "connection: close";
            if let Some(number) = word.strip_prefix("content-length:") {
                length = number.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut body = Vec::new();
        self.stream.by_ref().take(length).read_to_end(&mut body)?;
        if !status.starts_with("http/1.1 200 ") || (body.len() as u64) < length {
            return Ok(Heard::Lost(format!("`{status}` with {} of {length} bytes", body.len())));
        }
        // A server that announces the end closes.
        match last.then(|| self.stream.read(&mut [0])).transpose()? {
            None => Ok(Heard::Answered),
            Some(0) => Ok(Heard::Last),
            Some(_) => Ok(Heard::Lost("more came after the last answer".to_owned())),
        }
    }
}

/// Clients that ask all the time, each on a thread of its own.
#[derive(Debug)]
pub struct Asking {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<std::io::Result<AskingReport>>>,
}

/// What they have heard.
#[derive(Debug, Clone, Default)]
pub struct AskingReport {
    /// Whole answers, [`Heard::Last`] included.
    pub answered: u64,
    /// Connections that ended with an answer that said so.
    pub last: u64,
    /// Connections that were closed before a request was sent.
    pub closed_before: u64,
    /// What became of the others, and of connections that could not be made.
    pub lost: Vec<String>,
}

impl Asking {
    /// Lets so many clients of each target ask from inside `host`, with a pause between two requests.
    pub fn start(host: &Namespace, targets: &[SocketAddr], each: usize, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let all = targets.iter().flat_map(|to| std::iter::repeat_n(*to, each));
        let threads = all.map(|to| {
            let stopping = Arc::clone(&stop);
            host.thread(move || ask_on(to, pause, &stopping))
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Lets them finish the request that they are at, and reports.
    pub fn finish(mut self) -> Result<AskingReport> {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = AskingReport::default();
        for thread in std::mem::take(&mut self.threads) {
            let one = thread.join().map_err(|_| anyhow!("a client panicked"))?;
            let one = one.context("entering the namespace of the client")?;
            total.answered += one.answered;
            total.last += one.last;
            total.closed_before += one.closed_before;
            total.lost.extend(one.lost);
        }
        Ok(total)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask_on(to: SocketAddr, pause: Duration, stop: &AtomicBool) -> AskingReport {
    let mut report = AskingReport::default();
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let mut open = match connection.take().map_or_else(|| KeepAlive::open_here(to), Ok) {
            Ok(open) => open,
            Err(error) => {
                report.lost.push(format!("{error}, when connecting to {to}"));
                sleep(pause);
                continue;
            }
        };
        match open.ask() {
            Heard::Answered => {
                report.answered += 1;
                connection = Some(open);
            }
            Heard::Last => {
                report.answered += 1;
                report.last += 1;
            }
            Heard::ClosedBefore => report.closed_before += 1,
            Heard::Lost(why) => report.lost.push(why),
        }
        sleep(pause);
    }
    report
}
