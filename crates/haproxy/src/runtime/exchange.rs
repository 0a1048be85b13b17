//! The bytes of a conversation: a line is written, and the answer read until it ends.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::deadline::Deadline;

/// The longest answer that is read: 16 MiB, some hundred thousand lines of `show stat`.
pub const LONGEST_ANSWER: usize = 16 << 20;

/// How the master CLI says that it has no such worker. It leaves the connection open then, in spite of our having
/// closed our side, in 3.0 and 3.2 (a race; 2.6 always closes), so that this line is an end by itself.
const NO_SUCH_PROCESS: &[u8] = b"Can't find the target PID";

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A worker's `stats socket`: closes after one command.
    Worker,
    /// The master CLI (`-S`): would wait for the next command, so our side of the connection is closed after the
    /// first one. Neither that nor `;quit` ends it after `Can't find the target PID`, which is known as an end.
    Master,
}

/// Writes the line and reads to the end, one byte more than the limit at most.
pub fn exchange(
    connection: &UnixStream,
    line: &[u8],
    channel: Channel,
    deadline: Deadline,
) -> Result<Vec<u8>, Errno> {
    let mut answer = Vec::new();
    let over = |answer: &[u8]| {
        channel == Channel::Master && answer.starts_with(NO_SUCH_PROCESS) && answer.ends_with(b"\n")
    };
    converse(connection, line, channel, deadline, |bytes| {
        answer.extend_from_slice(bytes);
        answer.len() <= LONGEST_ANSWER && !over(&answer)
    })?;
    Ok(answer)
}

/// Writes the line, and reads until the end or until `take` has enough.
pub fn converse(
    connection: &UnixStream,
    mut line: &[u8],
    channel: Channel,
    deadline: Deadline,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<(), Errno> {
    let connection = connection.as_fd();
    while !line.is_empty() {
        deadline.writable(connection)?;
        match send(connection, line, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => line = line.get(sent..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    if channel == Channel::Master {
        shutdown(connection, Shutdown::Write)?;
    }
    let mut buffer = vec![0; 64 << 10];
    let mut begun = false;
    loop {
        deadline.readable(connection)?;
        match recv(connection, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Ok(()),
            Ok((read, _)) => {
                begun = true;
                if !take(buffer.get(..read).unwrap_or_default()) {
                    return Ok(());
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The end, where HAProxy closed with some of our bytes unread.
            Err(Errno::CONNRESET) if begun => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
