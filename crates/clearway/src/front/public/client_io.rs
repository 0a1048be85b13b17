//! A connection of a client, and what it does: when it last sent or took a byte, and whether it waits for an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::front::patience::Stall;

/// How long a client may take to read a piece of an answer.
const READS_WITHIN: Duration = Duration::from_secs(30);

/// What a client does.
#[derive(Debug)]
pub struct ClientActivity {
    begun: Instant,
    /// Milliseconds from the beginning to the last byte.
    last: AtomicU64,
    /// How many of its requests are being answered.
    asked: AtomicUsize,
}

impl ClientActivity {
    /// It has just come.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), last: AtomicU64::new(0), asked: AtomicUsize::new(0) })
    }

    fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Since when it has been silent; unset while a handler works for it.
    pub fn silent_since(&self) -> Option<Instant> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        (self.asked.load(Ordering::Relaxed) == 0).then(|| self.begun + last)
    }

    /// A request of it is being answered until this is dropped.
    pub fn ask(self: &Arc<Self>) -> AskedByClient {
        self.asked.fetch_add(1, Ordering::Relaxed);
        AskedByClient(Arc::clone(self))
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct AskedByClient(Arc<ClientActivity>);

impl Drop for AskedByClient {
    fn drop(&mut self) {
        self.0.touch();
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection itself.
#[derive(Debug)]
pub enum ClientStream {
    /// Over a path.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

/// A connection that is closed if its client does not read.
#[derive(Debug)]
pub struct ClientIo {
    stream: ClientStream,
    activity: Arc<ClientActivity>,
    stall: Stall,
}

impl ClientIo {
    /// The connection of a client.
    pub fn new(stream: ClientStream, activity: Arc<ClientActivity>) -> Self {
        Self { stream, activity, stall: Stall::new(READS_WITHIN) }
    }

    /// Counts how long nothing could be written.
    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.activity.touch();
        }
        self.stall.judged(written, cx)
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            ClientStream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            ClientStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            self.activity.touch();
        }
        read
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            ClientStream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            ClientStream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.wrote(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ClientStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            ClientStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
