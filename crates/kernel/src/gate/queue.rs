//! A netfilter queue, in which SYNs wait (`nfnetlink_queue`).
//!
//! It promises that no packet is left waiting: a full queue lets packets pass (`fail-open`), so does a full receive
//! buffer, and [`NetfilterQueue::release`] accepts every packet in the queue, in order, whether its message was read or
//! not. The queue ends with its socket: the kernel drops the packets in it, and a rule with `bypass` lets others pass.
//! Only the numbers of packets are read, not the packets.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{DefaultNla, NlasIterator};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

use super::GateError;
use super::error::of_queue;
use crate::netlink::{self, NetlinkClient, NetlinkError, Protocol, Reply};
use crate::nft::nonce;

/// `NFNL_SUBSYS_QUEUE`, and its messages.
const SUBSYSTEM: u8 = 3;
const PACKET: u8 = 0;
const CONFIG: u8 = 2;
const VERDICT_BATCH: u8 = 3;
/// Attributes of `CONFIG` (`NFQA_CFG_*`), and the command to bind.
const COMMAND: u16 = 1;
const PARAMETERS: u16 = 2;
const MAXIMUM: u16 = 3;
const MASK: u16 = 4;
const FLAGS: u16 = 5;
const BIND: u8 = 1;
/// `NFQA_CFG_F_FAIL_OPEN` (Linux 3.6).
const FAIL_OPEN: u32 = 1;
/// `NFQNL_COPY_META`: not the packet itself.
const COPY_META: u8 = 1;
/// `NFQA_PACKET_HDR` of a packet, `NFQA_VERDICT_HDR` of a verdict.
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// `sizeof(struct nfgenmsg)`.
const HEADER: usize = 4;

/// Numbers that people write into rules are low ones.
const LOWEST: u16 = 0x4000;
/// How many numbers are tried, if other processes have them.
const ATTEMPTS: u32 = 16;
/// For some ten thousand messages; the kernel counts about 800 bytes for each.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// A message has some hundred bytes.
const BUFFER: usize = 16 * 1024;
/// Added to the number of the last packet that was read, so that a verdict is for every packet in the queue by now.
/// Numbers count up and wrap around, and the kernel compares them by the sign of their difference.
const AHEAD: u32 = 1 << 30;

/// The queue: its socket, close-on-exec.
#[derive(Debug)]
pub(super) struct NetfilterQueue {
    client: NetlinkClient,
    number: u16,
    /// How many packets fit.
    length: u64,
    /// How many packets have come so far; none leaves before the end.
    held: u64,
    /// The number of the last packet that was read.
    last: u32,
}

/// What a read of the socket has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueRead {
    /// How many packets have come to wait.
    pub packets: u64,
    /// Whether some have passed because there was no room.
    pub passed: bool,
}

impl NetfilterQueue {
    /// Binds a free number.
    pub(super) fn bind(length: u32) -> Result<Self, GateError> {
        let client = NetlinkClient::open(Protocol::Netfilter).map_err(of_queue)?;
        // Not more than `net.core.rmem_max` without `NET_ADMIN` in the first user namespace: then more will pass.
        if sockopt::set_socket_recv_buffer_size_force(client.socket(), RECEIVE_BUFFER).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(client.socket(), RECEIVE_BUFFER);
        }
        let mut queue = Self { client, number: LOWEST, length: length.into(), held: 0, last: 0 };
        let first = nonce();
        let mut refused = None;
        for attempt in 0..ATTEMPTS {
            let [low, high, ..] = first.wrapping_add(attempt).to_ne_bytes();
            queue.number = u16::from_ne_bytes([low, high]) | LOWEST;
            match queue.configure(length) {
                Ok(()) => return Ok(queue),
                // Another process has it; `EPERM` also without `NET_ADMIN`.
                Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::BUSY)) => {
                    refused = Some(error);
                }
                Err(error) => return Err(of_queue(error)),
            }
        }
        Err(refused.map_or(GateError::NoNumber { attempts: ATTEMPTS }, of_queue))
    }

    fn configure(&mut self, length: u32) -> Result<(), NetlinkError> {
        let big = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().to_vec());
        let attributes = vec![
            // Command, padding, and a protocol family that no kernel looks at any more.
            DefaultNla::new(COMMAND, vec![BIND, 0, 0, 0]),
            DefaultNla::new(PARAMETERS, vec![0, 0, 0, 0, COPY_META]),
            big(MAXIMUM, length),
            big(MASK, FAIL_OPEN),
            big(FLAGS, FAIL_OPEN),
        ];
        let what = format!("binding the netfilter queue {}", self.number);
        self.client.request(&what, self.message(CONFIG, attributes), 0)
    }

    /// For the rules.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Reads what has come. Never blocks.
    pub(super) fn hear(&mut self) -> Result<QueueRead, Errno> {
        let mut heard = QueueRead::default();
        let mut buffer = [0; BUFFER];
        loop {
            match recv(self.client.socket(), &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    for id in packets(buffer.get(..length).unwrap_or_default()) {
                        self.last = id;
                        heard.packets = heard.packets.saturating_add(1);
                        self.held = self.held.saturating_add(1);
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => heard.passed = true,
                Err(errno) => return Err(errno),
            }
        }
        // The kernel does not say that a packet passed a full queue.
        heard.passed |= self.held >= self.length;
        Ok(heard)
    }

    /// Accepts all packets that wait, in the order in which they came. An empty queue is no error.
    pub(super) fn release(&mut self) -> Result<(), GateError> {
        let mut header = ACCEPT.to_be_bytes().to_vec();
        header.extend(self.last.wrapping_add(AHEAD).to_be_bytes());
        let message = self.message(VERDICT_BATCH, vec![DefaultNla::new(VERDICT_HEADER, header)]);
        let what = format!("letting go the packets that wait in the netfilter queue {}", self.number);
        self.client.tell(&what, message).map_err(GateError::Release)
    }

    fn message(&self, message_type: u8, attributes: Vec<DefaultNla>) -> NetfilterMessage {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, self.number);
        let subsys = NetfilterSubsystem::Other(SUBSYSTEM);
        NetfilterMessage::new(header, NetfilterMessageInner::Other { subsys, message_type, attributes })
    }
}

impl AsFd for NetfilterQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.socket()
    }
}

/// The numbers of the packets that a datagram announces.
pub(super) fn packets(datagram: &[u8]) -> Vec<u32> {
    // Such as the answer to a verdict on an empty queue.
    let Ok(replies) = netlink::replies(datagram) else { return Vec::new() };
    replies.iter().filter_map(packet).collect()
}

fn packet(reply: &Reply) -> Option<u32> {
    if reply.kind != u16::from_be_bytes([SUBSYSTEM, PACKET]) {
        return None;
    }
    let mut attributes = NlasIterator::new(reply.payload.get(HEADER..)?).map_while(Result::ok);
    let header = attributes.find(|attribute| attribute.kind() == PACKET_HEADER)?;
    Some(u32::from_be_bytes(*header.value().first_chunk()?))
}
