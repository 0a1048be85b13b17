//! Cuts datagrams of the kernel into messages. Pure, and trusts no byte.
//!
//! It promises an error instead of a panic for any bytes, and does not look into the messages beyond what
//! every netlink protocol has in common.

use netlink_packet_core::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
    NetlinkBuffer, NlasIterator,
};
use rustix::io::Errno;

use super::error::NetlinkError;

/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`: the explanation as text.
const EXPLANATION: u16 = 1;
/// `sizeof(struct nlmsghdr)`.
const HEADER: usize = 16;
/// `MAX_ERRNO`.
const MOST: i32 = 4095;

/// One message of an answer: its type and what follows the netlink header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `nlmsg_type`.
    pub kind: u16,
    /// Family header and attributes, unchecked.
    pub payload: Vec<u8>,
}

/// One message, and the request that it belongs to.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) sequence: u32,
    pub(super) interrupted: bool,
    pub(super) content: FrameContent,
}

/// What a message says.
#[derive(Debug)]
pub(super) enum FrameContent {
    Data(Reply),
    Ended(Ack),
    Overrun,
}

/// `NLMSG_ERROR` (an acknowledgement where the number is 0) or `NLMSG_DONE`.
#[derive(Debug, Default)]
pub(super) struct Ack {
    pub(super) errno: Option<Errno>,
    pub(super) words: Option<String>,
}

impl Ack {
    pub(super) fn into_result(self, what: &str) -> Result<(), NetlinkError> {
        match self.errno {
            None => Ok(()),
            Some(errno) => Err(NetlinkError::Refused { what: what.to_owned(), errno, words: self.words }),
        }
    }
}

/// The messages of one datagram, those without meaning left out.
pub(super) fn frames(datagram: &[u8]) -> Result<Vec<Frame>, String> {
    let mut frames = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(&rest).map_err(|error| error.to_string())?;
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        let Some(payload) = rest.get(HEADER..length) else {
            return Err(format!("a message says that it has {length} of {} bytes", rest.len()));
        };
        let content = match message.message_type() {
            NLMSG_NOOP => None,
            NLMSG_OVERRUN => Some(FrameContent::Overrun),
            NLMSG_ERROR => Some(FrameContent::Ended(error(payload, message.flags())?)),
            NLMSG_DONE => Some(FrameContent::Ended(done(payload))),
            kind => Some(FrameContent::Data(Reply { kind, payload: payload.to_vec() })),
        };
        if let Some(content) = content {
            let interrupted = message.flags() & NLM_F_DUMP_INTR != 0;
            frames.push(Frame { sequence: message.sequence_number(), interrupted, content });
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(frames)
}

/// `struct nlmsgerr`: the number, the header of the request, its payload unless capped, attributes.
fn error(payload: &[u8], flags: u16) -> Result<Ack, String> {
    let Some(errno) = number(payload) else {
        return Err(format!("an error message has only {} bytes", payload.len()));
    };
    let request = if flags & NLM_F_CAPPED != 0 { HEADER } else { echoed(payload) };
    let attributes = payload.get(4usize.saturating_add(request)..).unwrap_or_default();
    let words = (flags & NLM_F_ACK_TLVS != 0).then(|| explanation(attributes)).flatten();
    Ok(Ack { errno: to_errno(errno), words })
}

/// The end of a dump: a number (none at all before Linux 2.6.25) and attributes.
fn done(payload: &[u8]) -> Ack {
    let errno = number(payload).and_then(to_errno);
    Ack { errno, words: explanation(payload.get(4..).unwrap_or_default()) }
}

fn number(payload: &[u8]) -> Option<i32> {
    payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

/// The kernel's numbers are negative, 4095 at most; 0 is success.
fn to_errno(number: i32) -> Option<Errno> {
    // 1 to 4095 are all there are: any other number is unknown, and must not cause a panic.
    let errno = number.checked_abs().filter(|number| *number <= MOST).unwrap_or(MOST);
    (number != 0).then(|| Errno::from_raw_os_error(errno))
}

/// How long the echoed request is, by its own header.
fn echoed(payload: &[u8]) -> usize {
    let length =
        payload.get(4..8).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    usize::try_from(length).unwrap_or(usize::MAX).checked_next_multiple_of(4).unwrap_or(usize::MAX)
}

fn explanation(attributes: &[u8]) -> Option<String> {
    let text = NlasIterator::new(attributes).flatten().find(|nla| nla.kind() == EXPLANATION)?;
    let text = String::from_utf8_lossy(text.value());
    Some(text.trim_end_matches('\0').to_owned()).filter(|text| !text.is_empty())
}
