//! Standard error and standard output, such that a reader that is slow, or gone, does no harm.
//!
//! Clearway's loop never writes to standard error itself: a pipe that is not read would stop the loop,
//! a broken one would end it, and HAProxy may have made it non-blocking (with `log stdout` and `2>&1` it is
//! the same file). One thread writes; what comes while its queue is full is dropped and counted, and the
//! count is written when there is room again.
//!
//! HAProxy's standard output is its own, and goes straight out; where the log is JSON, a thread for each generation
//! passes it on ([`pass_to_stdout`]). That thread waits for the reader, as HAProxy would have to: its pipe fills up
//! meanwhile, and a log line that finds no room is HAProxy's own to drop and to count, as ever.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use crate::tell::notices::TellNotice;
use crate::tell::rendered;
use crate::tell::voice::Voice;

/// How many pieces (lines of ours, reads of HAProxy's) may wait.
const QUEUE: usize = 512;

/// How many bytes may wait: short lines become long ones in JSON.
const MOST_BYTES: usize = 4 << 20;

/// How large a pipe for HAProxy's standard output is, if the kernel lets us: so much may come while the thread waits.
const PIPE: usize = 1 << 20;

/// What a pipe that has room for anything takes at once (`PIPE_BUF`).
const PIPE_BUF: usize = 4096;

/// The writing thread needs little.
const STACK: usize = 64 << 10;

static QUEUED: OnceLock<SyncSender<Piece>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// How many threads pass something to standard output; they write whole lines, one after the other.
static PASSING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
static STDOUT: Mutex<()> = Mutex::new(());

enum Piece {
    Bytes(Vec<u8>),
    /// Everything before it is written: say so.
    Flush(SyncSender<()>),
}

/// Queues bytes for standard error. Never blocks and never fails.
pub fn to_stderr(bytes: &[u8]) {
    let queue = QUEUED.get_or_init(start);
    let waiting = WAITING.fetch_add(bytes.len(), Ordering::Relaxed);
    // One piece has room in any case.
    let has_room = waiting == 0 || waiting.saturating_add(bytes.len()) <= MOST_BYTES;
    let sent = if has_room {
        queue.try_send(Piece::Bytes(bytes.to_vec()))
    } else {
        Err(TrySendError::Full(Piece::Bytes(Vec::new())))
    };
    let Err(error) = sent else { return };
    WAITING.fetch_sub(bytes.len(), Ordering::Relaxed);
    // There can be no thread: the reason for which Clearway leaves must not be lost with it.
    let no_thread = matches!(error, TrySendError::Disconnected(_));
    if !(no_thread && write_what_fits(io::stderr().as_fd(), bytes)) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pipe for what a HAProxy says on standard output: passed on as events, by a thread that ends when the last process is
/// gone that has the pipe. Unset if there can be no thread: it goes straight out then.
pub fn pass_to_stdout(mut voice: Voice) -> io::Result<Option<OwnedFd>> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // More than the kernel lets this user have, or not on this kernel: it is smaller.
    let _ = rustix::pipe::fcntl_setpipe_size(&ours, PIPE);
    *PASSING.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    let passing = Passing;
    let thread = std::thread::Builder::new().name("stdout".to_owned());
    let spawned = thread.spawn(move || {
        let _passing = passing;
        let (mut ours, mut buffer) = (File::from(ours), vec![0; 64 << 10]);
        loop {
            let out = match ours.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break write_lines(&voice.end()),
                Ok(length) => voice.hear(buffer.get(..length).unwrap_or_default()),
            };
            write_lines(&out);
        }
    });
    Ok(spawned.is_ok().then_some(theirs))
}

fn write_lines(lines: &[u8]) {
    let _alone = STDOUT.lock().unwrap_or_else(PoisonError::into_inner);
    write(io::stdout().as_fd(), lines);
}

/// As long as a thread passes something on.
struct Passing;

impl Drop for Passing {
    fn drop(&mut self) {
        *PASSING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        PASSING.1.notify_all();
    }
}

/// Waits until everything is passed on that HAProxy has said on standard output, but not longer than `limit`.
pub fn wait_for_stdout(limit: Duration) {
    let passing = PASSING.0.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = PASSING.1.wait_timeout_while(passing, limit, |passing| *passing > 0);
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

fn start() -> SyncSender<Piece> {
    let (sender, receiver) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("stderr".to_owned()).stack_size(STACK);
    // Without the thread nothing is received, and what has room in the reader's pipe is written at once.
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
                    let lost = rendered::rendered(&TellNotice::Lost { pieces: dropped });
                    write(stderr.as_fd(), lost.as_bytes());
                }
                write(stderr.as_fd(), &bytes);
                WAITING.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            Piece::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
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

/// Writes as long as that does not block, and says whether it was everything.
fn write_what_fits(to: BorrowedFd<'_>, bytes: &[u8]) -> bool {
    // A pipe that has room takes so much at once.
    bytes.chunks(PIPE_BUF).all(|some| {
        let mut asked = [PollFd::new(&to, PollFlags::OUT)];
        let ready = rustix::event::poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        ready && rustix::io::write(to, some).is_ok_and(|written| written == some.len())
    })
}

#[cfg(test)]
mod tests;
