//! The rules of the kernel, decoded. Lenient: what is not understood of a foreign rule does not disturb.

use clearway_core::intercept::PortRange;
use netlink_packet_core::{NlasIterator, Parseable};
use netlink_packet_route::rule::{RuleAttribute, RuleFlags, RuleHeader, RuleMessage};
use netlink_packet_route::{IpProtocol, RouteNetlinkMessage};

use super::PolicyRule;
use crate::netlink::{NetlinkClient, Reply};
use crate::routing::terms::{address_family, host_length};
use crate::routing::{Family, RoutingError};

/// `sizeof(struct fib_rule_hdr)`.
const HEADER: usize = 12;

/// All rules of a family.
pub fn rules(client: &mut NetlinkClient, family: Family) -> Result<Vec<PolicyRule>, RoutingError> {
    let mut request = RuleMessage::default();
    request.header.family = address_family(family);
    let replies = client
        .dump(&format!("listing {family} rules"), &RouteNetlinkMessage::GetRule(request))
        .map_err(|error| RoutingError::from_netlink(family, error))?;
    Ok(replies.iter().filter_map(|reply| decode(reply, family)).collect())
}

/// `None` for what is no rule of this family.
pub(in crate::routing) fn decode(reply: &Reply, family: Family) -> Option<PolicyRule> {
    let header = RuleHeader::parse(&reply.payload).ok()?;
    if header.family != address_family(family) {
        return None;
    }
    let mut rule = PolicyRule {
        action: header.action,
        table: u32::from(header.table),
        protocol: 0,
        inverted: header.flags.contains(RuleFlags::Invert),
        narrowed: header.tos != 0,
        ..PolicyRule::without_conditions(family, 0)
    };
    let (mut value, mut mask) = (None, None);
    let (mut of_any, mut ports) = (true, None);
    for nla in NlasIterator::new(reply.payload.get(HEADER..)?).flatten() {
        match RuleAttribute::parse(&nla) {
            Ok(RuleAttribute::Priority(preference)) => rule.preference = preference,
            Ok(RuleAttribute::Table(table)) => rule.table = table,
            Ok(RuleAttribute::Goto(target)) => rule.target = Some(target),
            Ok(RuleAttribute::FwMark(bits)) => value = Some(bits),
            Ok(RuleAttribute::FwMask(bits)) => mask = Some(bits),
            Ok(RuleAttribute::Iifname(name)) => rule.input = Some(name),
            Ok(RuleAttribute::Protocol(protocol)) => rule.protocol = protocol.into(),
            Ok(RuleAttribute::Source(source)) if header.src_len == host_length(family) => {
                rule.source = Some(source);
            }
            Ok(RuleAttribute::Destination(network)) => rule.destination = Some((network, header.dst_len)),
            Ok(RuleAttribute::IpProtocol(protocol)) => {
                (rule.of_tcp, of_any) = (protocol == IpProtocol::Tcp, false);
            }
            Ok(RuleAttribute::DestinationPortRange(range)) => {
                rule.destination_ports = Some(PortRange { first: range.start, last: range.end });
            }
            Ok(RuleAttribute::SourcePortRange(range)) => ports = Some(range),
            // `nothing but the default route`, and so on: it lets some packets go on.
            Ok(
                RuleAttribute::Source(_)
                | RuleAttribute::Oifname(_)
                | RuleAttribute::UidRange(_)
                | RuleAttribute::TunId(_)
                | RuleAttribute::L3MDev(_),
            ) => rule.narrowed = true,
            Ok(RuleAttribute::SuppressPrefixLen(length)) if length != u32::MAX => rule.narrowed = true,
            _ => {}
        }
    }
    let of_tcp = rule.of_tcp;
    rule.source_port = ports.filter(|range| of_tcp && range.start == range.end).map(|range| range.start);
    rule.narrowed |= (rule.source_port.is_none() && ports.is_some()) || (!of_any && !of_tcp);
    // A mark of 0 is not told (`fwmark 0/0x20000000`), a mask always where there is one.
    rule.fwmark = value.or(mask.map(|_| 0)).map(|value| (value, mask.unwrap_or(u32::MAX)));
    Some(rule)
}
