//! nftables transactions: several messages, all or nothing.
//!
//! `nfnetlink` takes a batch in one datagram, applies it, and queues its answers before `send` returns:
//! one per message that failed or asked for an acknowledgement, and one with the number of the opening
//! message where the batch as a whole was refused (`EPERM` without `NET_ADMIN`, `EOPNOTSUPP` without
//! `nf_tables`). The opening and closing messages must not ask for an acknowledgement: kernels before 6.10
//! answer that in odd ways (docs/facts n1).

use std::time::Instant;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use rustix::net::RecvFlags;

use super::frame::FrameContent;
use super::{DEADLINE, NetlinkClient, NetlinkError, serialize};

/// `NFNL_SUBSYS_NFTABLES`: for which subsystem the batch is.
const NFTABLES: u16 = 10;

/// What a message needs of the kernel that not every kernel has: what its refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// No more than nftables itself.
    Basics,
    /// Chains of family `inet`.
    Chain,
    /// Those of type `route`.
    RouteChain,
    /// Those of type `nat`.
    NatChain,
    /// Sets with elements that time out.
    Timeouts,
    /// The expression `socket`.
    Socket,
    /// Its key `wildcard`.
    Wildcard,
    /// The expression `ct`.
    Conntrack,
    /// The expression `reject`.
    Reject,
    /// The expression `tproxy`.
    Tproxy,
    /// The expression `fib`.
    Fib,
    /// The expression `nat`.
    Nat,
    /// The expression `queue`, or what is used instead.
    Queue,
    /// The expression `counter`.
    Counter,
}

/// One message of a batch.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does, for the error message.
    pub what: String,
    /// What it needs.
    pub needs: Feature,
    /// The message; its family is the batch's.
    pub message: NfTablesMessage,
    /// `NLM_F_CREATE` and the like.
    pub flags: u16,
}

/// What becomes of a batch that the kernel accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BatchEnd {
    Commit,
    Abort,
}

/// A batch was not applied; nothing of it has happened.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct BatchError {
    /// What the first message that was refused needs; none if it was the batch as a whole.
    pub needs: Option<Feature>,
    /// Why.
    pub error: NetlinkError,
}

impl NetlinkClient {
    /// Sends the steps as one transaction.
    pub fn batch(&mut self, what: &str, steps: &[Step]) -> Result<(), BatchError> {
        self.transact(what, NetfilterProtoFamily::Inet, steps, BatchEnd::Commit)
    }

    /// Asks whether the kernel would take the steps, and changes nothing: without its end a batch is undone. Modules
    /// that it needs, the kernel loads all the same.
    pub fn check(&mut self, what: &str, steps: &[Step]) -> Result<(), BatchError> {
        self.transact(what, NetfilterProtoFamily::Inet, steps, BatchEnd::Abort)
    }

    /// [`NetlinkClient::check`] for family `ip`.
    pub fn check_ipv4(&mut self, what: &str, steps: &[Step]) -> Result<(), BatchError> {
        self.transact(what, NetfilterProtoFamily::IPv4, steps, BatchEnd::Abort)
    }

    fn transact(
        &mut self,
        what: &str,
        family: NetfilterProtoFamily,
        steps: &[Step],
        ending: BatchEnd,
    ) -> Result<(), BatchError> {
        let whole = |error| BatchError { needs: None, error };
        let first = self.next_sequence();
        let mut bytes = serialize(control(ControlMessage::BatchBegin), NLM_F_REQUEST, first);
        for step in steps {
            let header = NetfilterHeader::new(family, 0, 0);
            let message = NetfilterMessage::new(header, step.message.clone());
            let flags = step.flags | NLM_F_REQUEST | NLM_F_ACK;
            bytes.extend(serialize(message, flags, self.next_sequence()));
        }
        if ending == BatchEnd::Commit {
            bytes.extend(serialize(control(ControlMessage::BatchEnd), NLM_F_REQUEST, self.next_sequence()));
        }
        self.send(what, &bytes).map_err(whole)?;
        self.collect(what, steps, first)
    }

    /// Reads answers until every step has its own or the whole was refused.
    fn collect(&mut self, what: &str, steps: &[Step], first: u32) -> Result<(), BatchError> {
        let deadline = Instant::now() + DEADLINE;
        let mut waiting = steps.len();
        let mut refused: Option<BatchError> = None;
        while waiting > 0 {
            // After a refusal the rest is already queued; what is not there will not come.
            let flags = if refused.is_some() { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            let answers = match self.receive(what, deadline, flags) {
                Ok(answers) => answers,
                Err(_) if refused.is_some() => break,
                Err(error) => return Err(BatchError { needs: None, error }),
            };
            for answer in answers {
                let FrameContent::Ended(ack) = answer.content else { continue };
                let Ok(place) = usize::try_from(answer.sequence.wrapping_sub(first)) else { continue };
                if place > steps.len() {
                    continue;
                }
                let step = place.checked_sub(1).and_then(|step| steps.get(step));
                waiting = waiting.saturating_sub(usize::from(step.is_some()));
                let named = step.map_or_else(|| what.to_owned(), |step| format!("{what}: {}", step.what));
                if let Err(error) = ack.into_result(&named) {
                    refused.get_or_insert(BatchError { needs: step.map(|step| step.needs), error });
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES), message)
}
