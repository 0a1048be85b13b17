//! Making and removing our rules.

use clearway_core::intercept::PortRange;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange};
use netlink_packet_route::{IpProtocol, RouteNetlinkMessage};
use rustix::io::Errno;

use super::PolicyRule;
use crate::netlink::NetlinkClient;
use crate::routing::RoutingError;
use crate::routing::terms::{Effect, address_family, host_length};

impl PolicyRule {
    /// Makes the rule; `EEXIST` means that it is there.
    pub(in crate::routing) fn apply(&self, client: &mut NetlinkClient) -> Result<Effect, RoutingError> {
        let what = format!("making the {} rule `{self}`", self.family);
        let message = RouteNetlinkMessage::NewRule(self.message());
        Effect::of(client.request(&what, message, NLM_F_CREATE | NLM_F_EXCL), &[Errno::EXIST], self.family)
    }

    /// Removes the rule; `ENOENT` means that it is not there.
    pub(in crate::routing) fn remove(&self, client: &mut NetlinkClient) -> Result<Effect, RoutingError> {
        let what = format!("removing the {} rule `{self}`", self.family);
        let message = RouteNetlinkMessage::DelRule(self.message());
        Effect::of(client.request(&what, message, 0), &[Errno::NOENT, Errno::SRCH], self.family)
    }

    pub(in crate::routing) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = address_family(self.family);
        message.header.action = self.action;
        message.attributes.push(RuleAttribute::Priority(self.preference));
        message.attributes.push(RuleAttribute::Protocol(self.protocol.into()));
        if self.action == RuleAction::ToTable {
            message.attributes.push(RuleAttribute::Table(self.table));
        }
        message.attributes.extend(self.target.map(RuleAttribute::Goto));
        message.attributes.extend(self.input.clone().map(RuleAttribute::Iifname));
        if let Some((value, mask)) = self.fwmark {
            message.attributes.extend([RuleAttribute::FwMark(value), RuleAttribute::FwMask(mask)]);
        }
        if let Some(source) = self.source {
            message.header.src_len = host_length(self.family);
            message.attributes.push(RuleAttribute::Source(source));
        }
        if let Some((network, length)) = self.destination {
            message.header.dst_len = length;
            message.attributes.push(RuleAttribute::Destination(network));
        }
        message.attributes.extend(self.of_tcp.then_some(RuleAttribute::IpProtocol(IpProtocol::Tcp)));
        let source = self.source_port.map(|port| PortRange { first: port, last: port });
        message.attributes.extend(source.map(range).map(RuleAttribute::SourcePortRange));
        message.attributes.extend(self.destination_ports.map(range).map(RuleAttribute::DestinationPortRange));
        message
    }
}

fn range(ports: PortRange) -> RulePortRange {
    RulePortRange { start: ports.first, end: ports.last }
}
