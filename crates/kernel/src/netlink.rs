//! A small synchronous netlink client: one request, its answers, done.
//!
//! It owns one close-on-exec socket per protocol (netlink-sys opens them with `SOCK_CLOEXEC`), connected
//! to the kernel, so that no other process can answer. It promises that every call ends ([`PATIENCE`] per
//! answer, [`DEADLINE`] in all), that answers to another request are skipped by their sequence number,
//! that an interrupted or overrun dump is asked for again, and that a refusal carries the kernel's own
//! words (extended ack, Linux 4.12). It hands out raw payloads, which the callers decode: a single odd object of
//! another program must not spoil a whole dump.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout, set_socket_timeout};

pub(crate) mod attributes;
mod batch;
mod error;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod protocol;

pub use batch::{BatchError, Feature, Step};
pub use error::NetlinkError;
pub use frame::Reply;
use frame::{Frame, FrameContent, frames};
pub use protocol::Protocol;

/// How long one answer is waited for. The kernel answers within the `send` itself, so this is never
/// reached unless something is badly wrong.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long one call may take in all, repeated dumps included.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Larger than any datagram the kernel sends to us: dumps are cut at 32 KiB.
const BUFFER: usize = 64 * 1024;

/// A connection to the kernel for one protocol.
#[derive(Debug)]
pub struct NetlinkClient {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl NetlinkClient {
    /// Opens a socket, close-on-exec, connected to the kernel.
    ///
    /// The socket's netlink address is what owns an nftables table, so it is bound here and not by the
    /// first message.
    pub fn open(protocol: Protocol) -> Result<Self, NetlinkError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(protocol.number())?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.connect(&SocketAddr::new(0, 0))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
            set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
            Ok(socket)
        };
        let socket = open().map_err(|source| NetlinkError::Open { protocol, source })?;
        // Options of newer kernels (4.3, 4.12, 4.20): without them Clearway filters by itself and says less.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Sends one request and waits for its acknowledgement.
    pub fn request<M: NetlinkSerializable>(
        &mut self,
        what: &str,
        message: M,
        flags: u16,
    ) -> Result<(), NetlinkError> {
        let sequence = self.next_sequence();
        self.send(what, &serialize(message, flags | NLM_F_REQUEST | NLM_F_ACK, sequence))?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            for answer in self.receive(what, deadline, RecvFlags::empty())? {
                let (FrameContent::Ended(ack), true) = (answer.content, answer.sequence == sequence) else {
                    continue;
                };
                return ack.into_result(what);
            }
        }
    }

    /// Sends one message for which no answer is wanted. The kernel has done what it says when this returns; a refusal
    /// comes as a message that is not read.
    pub(crate) fn tell<M: NetlinkSerializable>(
        &mut self,
        what: &str,
        message: M,
    ) -> Result<(), NetlinkError> {
        let sequence = self.next_sequence();
        self.send(what, &serialize(message, NLM_F_REQUEST, sequence))
    }

    /// The socket, for unsolicited messages.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Asks for a dump and returns all of it.
    ///
    /// A dump during which the objects changed (`NLM_F_DUMP_INTR`), or with lost answers, is asked for again until
    /// [`DEADLINE`]: rules must not be removed by half a dump.
    pub fn dump<M: NetlinkSerializable + Clone>(
        &mut self,
        what: &str,
        message: &M,
    ) -> Result<Vec<Reply>, NetlinkError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.dump_once(what, message.clone(), deadline) {
                Ok(Some(replies)) => return Ok(replies),
                Ok(None) => {}
                Err(NetlinkError::Overrun { .. }) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `None` when the dump was interrupted.
    fn dump_once<M: NetlinkSerializable>(
        &mut self,
        what: &str,
        message: M,
        deadline: Instant,
    ) -> Result<Option<Vec<Reply>>, NetlinkError> {
        let sequence = self.next_sequence();
        self.send(what, &serialize(message, NLM_F_REQUEST | NLM_F_DUMP, sequence))?;
        let mut replies = Vec::new();
        let mut interrupted = false;
        loop {
            for answer in self.receive(what, deadline, RecvFlags::empty())? {
                if answer.sequence != sequence {
                    continue;
                }
                interrupted |= answer.interrupted;
                match answer.content {
                    FrameContent::Data(reply) => replies.push(reply),
                    FrameContent::Ended(ack) => {
                        ack.into_result(what)?;
                        return Ok((!interrupted).then_some(replies));
                    }
                    FrameContent::Overrun => return Err(NetlinkError::Overrun { what: what.to_owned() }),
                }
            }
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, what: &str, bytes: &[u8]) -> Result<(), NetlinkError> {
        self.make_room_for(bytes.len());
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(NetlinkError::Io { what: what.to_owned(), source }),
            }
        }
    }

    /// The kernel refuses what is longer than the send buffer (`EMSGSIZE`; 212,992 bytes by default, some 6,000
    /// elements).
    fn make_room_for(&self, length: usize) {
        let socket = self.socket.as_fd();
        let wanted = length.saturating_add(32);
        if sockopt::socket_send_buffer_size(socket).is_ok_and(|size| size < wanted)
            // Beyond `net.core.wmem_max` only with NET_ADMIN; without room the kernel says why.
            && sockopt::set_socket_send_buffer_size_force(socket, wanted).is_err()
        {
            let _ = sockopt::set_socket_send_buffer_size(socket, wanted);
        }
    }

    /// The messages of the next datagram.
    fn receive(
        &mut self,
        what: &str,
        deadline: Instant,
        flags: RecvFlags,
    ) -> Result<Vec<Frame>, NetlinkError> {
        let flags = (flags | RecvFlags::TRUNC).bits().cast_signed();
        loop {
            if Instant::now() >= deadline {
                return Err(NetlinkError::Silent { what: what.to_owned() });
            }
            self.buffer.clear();
            let length = match self.socket.recv(&mut self.buffer, flags) {
                Ok(length) => length,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => continue,
                    Some(Errno::AGAIN) => return Err(NetlinkError::Silent { what: what.to_owned() }),
                    Some(Errno::NOBUFS) => return Err(NetlinkError::Overrun { what: what.to_owned() }),
                    _ => return Err(NetlinkError::Io { what: what.to_owned(), source: error }),
                },
            };
            if length > self.buffer.len() {
                let why = format!("{length} bytes do not fit into {}", self.buffer.len());
                return Err(NetlinkError::Malformed { what: what.to_owned(), why });
            }
            return frames(&self.buffer)
                .map_err(|why| NetlinkError::Malformed { what: what.to_owned(), why });
        }
    }
}

/// The messages of an unsolicited datagram, such as those of a multicast group.
pub(crate) fn replies(datagram: &[u8]) -> Result<Vec<Reply>, String> {
    let data = |frame: Frame| match frame.content {
        FrameContent::Data(reply) => Ok(reply),
        FrameContent::Ended(_) | FrameContent::Overrun => Err("it tells of an error".to_owned()),
    };
    frames(datagram)?.into_iter().map(data).collect()
}

/// One message as bytes, padded to the next message.
fn serialize<M: NetlinkSerializable>(message: M, flags: u16, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests;
