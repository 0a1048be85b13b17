//! Standard error and standard output, such that nobody who reads them slowly, or no more, can hurt.
//!
//! Clearway's loop never writes to standard error itself: a pipe that nobody reads would stop the loop,
//! a broken one would end it, and HAProxy may have made it non-blocking (with `log stdout` and `2>&1` it is
//! the same file). One thread writes; what comes while its queue is full is dropped and counted, and the
//! count is written when there is room again.
//!
//! The subcommands write directly, by `say!` and `complain!`, which ignore a reader that is gone where
//! `println!` would panic.

use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

/// How many pieces (lines of ours, reads of HAProxy's) may wait: at 8 KiB each at most 4 MiB.
const QUEUE: usize = 512;

/// The writing thread needs little.
const STACK: usize = 64 << 10;

static QUEUED: OnceLock<SyncSender<Piece>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Piece {
    Bytes(Vec<u8>),
    /// Everything before it is written: say so.
    Flush(SyncSender<()>),
}

/// A line to standard output; a reader that is gone is no reason to fail.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// A line to standard error, likewise.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

/// Queues bytes for standard error. Never blocks and never fails.
pub fn to_stderr(bytes: &[u8]) {
    let queue = QUEUED.get_or_init(start);
    if queue.try_send(Piece::Bytes(bytes.to_vec())).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until everything queued so far is written, but not longer than `limit`.
pub fn flush(limit: Duration) {
    let (sender, receiver) = sync_channel(1);
    if let Some(queue) = QUEUED.get()
        && queue.try_send(Piece::Flush(sender)).is_ok()
    {
        let _ = receiver.recv_timeout(limit);
    }
}

/// The log's way to the queue.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        to_stderr(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start() -> SyncSender<Piece> {
    let (sender, receiver) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("stderr".to_owned()).stack_size(STACK);
    // Without the thread every piece is dropped and counted: silence is better than an end.
    let _ = thread.spawn(move || write_all(&receiver));
    sender
}

fn write_all(queue: &Receiver<Piece>) {
    let stderr = io::stderr();
    for piece in queue {
        match piece {
            Piece::Bytes(bytes) => {
                let dropped = DROPPED.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    write(stderr.as_fd(), lost(dropped).as_bytes());
                }
                write(stderr.as_fd(), &bytes);
            }
            Piece::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn lost(pieces: u64) -> String {
    format!(
        "clearway: {pieces} piece(s) of the log were lost here: standard error was not read fast enough\n"
    )
}

/// Writes everything, however long it takes; gives up only where no reader will ever come.
fn write(to: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes).map_err(io::Error::from) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = rustix::event::poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
