//! A connection of which the other end has to read.
//!
//! What a client does not read stays in the kernel, and, when that is full, here: HTTP holds some pieces back and asks for no more.
//! So a client that reads nothing costs little, but it would cost that for ever. A connection on which nothing could be written
//! for [`PATIENCE`], although something was to be, fails, and is closed with all that belongs to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::front::notices::FrontNotice;
use crate::ground::notice::tell;

/// How long a client may read nothing while there is something for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Counts how long nothing could be written that was to be.
#[derive(Debug)]
pub struct Stall {
    limit: Duration,
    /// Set while something waits to be written.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Nothing waits yet.
    pub fn new(limit: Duration) -> Self {
        Self { limit, waits: None }
    }

    /// What has come of a try to write; one that has been waiting for longer than the limit fails, with `TimedOut`.
    pub fn judged<R>(
        &mut self,
        tried: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if tried.is_ready() {
            self.waits = None;
            return tried;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        ready!(waits.as_mut().poll(context));
        self.waits = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A connection to a client.
#[derive(Debug)]
pub struct Patient<T> {
    inner: T,
    /// The client's process, if it is in our PID namespace.
    client: Option<i32>,
    stall: Stall,
}

impl<T> Patient<T> {
    /// On which nothing was written yet.
    pub fn new(inner: T, client: Option<i32>) -> Self {
        Self { inner, client, stall: Stall::new(PATIENCE) }
    }

    /// The client's process, if it is in our PID namespace.
    pub fn client(&self) -> Option<i32> {
        self.client
    }

    /// What has come of a try to write; one that has been waiting for too long fails.
    fn judged<R>(&mut self, tried: Poll<io::Result<R>>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        let waits = tried.is_pending();
        let judged = self.stall.judged(tried, context);
        if waits && judged.is_ready() {
            let pid = self.client.and_then(|pid| u32::try_from(pid).ok());
            tell(&FrontNotice::NotRead { pid, waited: PATIENCE });
        }
        judged
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judged(tried, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.judged(tried, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    fn in_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    /// A connection that is as good as full for so long, and the other end.
    fn full_for(waited: Duration) -> (Patient<UnixStream>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        while ours.try_write(&[0; 4096]).is_ok() {}
        let mut patient = Patient::new(ours, Some(1));
        patient.stall.waits = Some(Box::pin(sleep(PATIENCE.checked_sub(waited).unwrap())));
        (patient, theirs)
    }

    #[test]
    fn a_client_that_reads_nothing_for_too_long_is_given_up() {
        in_runtime(async {
            let (mut patient, _theirs) = full_for(PATIENCE);
            let begun = Instant::now();
            let failed = patient.write_all(b"more").await.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() < PATIENCE, "it had waited before");
        });
    }

    #[test]
    fn one_that_goes_on_reading_begins_anew() {
        in_runtime(async {
            let (mut patient, mut theirs) = full_for(PATIENCE / 2);
            let reads = tokio::spawn(async move {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).await.unwrap();
                all
            });
            patient.write_all(b"the end").await.unwrap();
            assert!(patient.stall.waits.is_none());
            drop(patient);
            assert!(reads.await.unwrap().ends_with(b"the end"));
        });
    }
}
