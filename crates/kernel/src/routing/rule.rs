//! One rule of the routing policy, ours or foreign (`ip rule`).
//!
//! Reading is lenient: of a foreign rule only what can collide with ours is understood, and the rest does
//! not disturb. Making and removing is for ours only.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use clearway_core::intercept::PortRange;
use clearway_core::names::Mark;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NlasIterator, Parseable};
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage, RulePortRange,
};
use netlink_packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};
use rustix::io::Errno;

use super::{Block, Effect, Family, RoutingError, TAG, Wanted, closing};
use crate::netlink::{NetlinkClient, NetlinkError, Reply};

/// `sizeof(struct fib_rule_hdr)`.
const HEADER: usize = 12;
/// `RT_TABLE_LOCAL`.
const LOCAL: u32 = 255;

/// A rule, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// In which family.
    pub family: Family,
    /// Its place: the lower, the earlier.
    pub preference: u32,
    /// What it does.
    pub action: RuleAction,
    /// For a look-up: in which table.
    pub table: u32,
    /// For a jump: to which preference.
    pub target: Option<u32>,
    /// The value and mask of `fwmark`, if it asks for one.
    pub fwmark: Option<(u32, u32)>,
    /// The interface a packet came in by.
    pub input: Option<String>,
    /// The source address of a packet; `None` for all, and for a network of more than one address.
    pub source: Option<IpAddr>,
    /// The one source port of TCP.
    pub source_port: Option<u16>,
    /// The network that a packet goes to; `None` for all.
    pub destination: Option<(IpAddr, u8)>,
    /// The destination ports of TCP.
    pub destination_ports: Option<PortRange>,
    /// Whether it is for TCP alone.
    pub of_tcp: bool,
    /// Its origin (`proto`).
    pub protocol: u8,
    /// `not`: it takes what does not match.
    pub inverted: bool,
    /// Whether it has a condition that is not among these: a network, an outgoing interface, a user.
    pub narrowed: bool,
}

impl PolicyRule {
    /// The rules of a block, in the order in which they are made: target, jump, look-ups.
    pub(super) fn wanted(wanted: &Wanted<'_>, family: Family) -> Vec<Self> {
        let Wanted { block, mark, .. } = *wanted;
        let [replies, first, second, third, loopback] = block.preferences();
        let bit = |mark: Mark| Some((mark.value(), mark.value()));
        let target = Self { preference: third, ..Self::without_effect(block, family) };
        let jump = Self {
            preference: first,
            action: RuleAction::Goto,
            target: Some(third),
            fwmark: bit(mark),
            input: Some("lo".to_owned()),
            ..target.clone()
        };
        let look_up = Self {
            preference: second,
            action: RuleAction::ToTable,
            table: block.table().0,
            fwmark: bit(mark),
            ..target.clone()
        };
        let of_replies = |mark| Self {
            preference: replies,
            fwmark: bit(mark),
            input: Some("lo".to_owned()),
            ..look_up.clone()
        };
        let of_server = |server: &SocketAddr| Self {
            preference: loopback,
            fwmark: None,
            input: Some("lo".to_owned()),
            source: Some(server.ip()),
            source_port: Some(server.port()),
            of_tcp: true,
            ..look_up.clone()
        };
        let mut rules = vec![target.clone(), jump, look_up.clone()];
        rules.extend(wanted.replies.map(of_replies));
        let of_family = |server: &&SocketAddr| server.is_ipv4() == (family == Family::V4);
        rules.extend(wanted.loopback.iter().filter(of_family).map(of_server));
        rules.extend(closing::rules(wanted, family, &target));
        rules
    }

    /// A rule behind all others of a block that does nothing.
    pub(super) fn without_effect(block: Block, family: Family) -> Self {
        let [.., preference] = block.preferences();
        Self::without_conditions(family, preference)
    }

    /// A rule with our tag that matches everything and does nothing.
    pub(crate) fn without_conditions(family: Family, preference: u32) -> Self {
        Self {
            family,
            preference,
            action: RuleAction::Nop,
            table: 0,
            target: None,
            fwmark: None,
            input: None,
            source: None,
            source_port: None,
            destination: None,
            destination_ports: None,
            of_tcp: false,
            protocol: TAG,
            inverted: false,
            narrowed: false,
        }
    }

    /// The block of one of our rules; `None` for foreign ones, tagged 179 or not.
    pub fn block(&self) -> Option<Block> {
        (self.protocol == TAG).then(|| Block::of_preference(self.preference)).flatten()
    }

    /// Whether the rule stands where a block's rules go, or looks into its table.
    pub fn occupies(&self, block: Block) -> bool {
        let looks = self.action == RuleAction::ToTable && self.table == block.table().0;
        looks || block.preferences().contains(&self.preference)
    }

    /// Whether the rule uses this bit of the mark: it matches the bit, or a field that contains it.
    ///
    /// A rule for a whole mark without this bit (`fwmark 0xca6c`, as wg-quick makes it; iproute2's mask is
    /// then all ones) does not claim the other bits.
    pub fn uses(&self, mark: Mark) -> bool {
        self.fwmark.is_some_and(|(value, mask)| {
            mask & mark.value() != 0 && (value & mark.value() != 0 || mask != u32::MAX)
        })
    }

    /// Whether packets that it matches do not go on to the rules behind it; not so the rule of table `local`, which is
    /// always there.
    pub fn takes_packets(&self) -> bool {
        let local = self.action == RuleAction::ToTable && self.table == LOCAL;
        !local && self.action != RuleAction::Nop
    }

    /// Whether it matches every packet.
    pub fn is_unconditional(&self) -> bool {
        let conditions = [
            self.fwmark.is_some(),
            self.input.is_some(),
            self.source.is_some(),
            self.destination.is_some(),
            self.destination_ports.is_some(),
            self.of_tcp,
            self.narrowed,
        ];
        !self.inverted && !conditions.contains(&true)
    }

    /// What rejects before look-ups before jumps before targets: the reverse of [`PolicyRule::wanted`].
    pub(super) fn removal_order(&self) -> u8 {
        // What names less would remove what names more: the kernel compares only what it is told.
        let more = u8::from(self.destination_ports.is_none()) + u8::from(self.input.is_none());
        match (self.action, self.fwmark) {
            (RuleAction::Prohibit, _) => more,
            (RuleAction::ToTable, _) => 3,
            (RuleAction::Goto, Some(_)) => 4,
            (RuleAction::Goto, None) => 5,
            _ => 6,
        }
    }

    /// Makes the rule; `EEXIST` means that it is there.
    pub(super) fn apply(&self, client: &mut NetlinkClient) -> Result<Effect, RoutingError> {
        let what = format!("making the {} rule `{self}`", self.family);
        let message = RouteNetlinkMessage::NewRule(self.message());
        self.settle(client.request(&what, message, NLM_F_CREATE | NLM_F_EXCL), &[Errno::EXIST])
    }

    /// Removes the rule; `ENOENT` means that it is not there.
    pub(super) fn remove(&self, client: &mut NetlinkClient) -> Result<Effect, RoutingError> {
        let what = format!("removing the {} rule `{self}`", self.family);
        let message = RouteNetlinkMessage::DelRule(self.message());
        self.settle(client.request(&what, message, 0), &[Errno::NOENT, Errno::SRCH])
    }

    fn settle(&self, outcome: Result<(), NetlinkError>, fine: &[Errno]) -> Result<Effect, RoutingError> {
        match outcome {
            Ok(()) => Ok(Effect::Done),
            Err(error) if error.errno().is_some_and(|errno| fine.contains(&errno)) => Ok(Effect::Nothing),
            Err(error) => Err(RoutingError::from_netlink(self.family, error)),
        }
    }

    pub(super) fn message(&self) -> RuleMessage {
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

/// As `ip rule` shows it.
impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} from ", self.preference, if self.inverted { " not" } else { "" })?;
        match self.source {
            Some(source) => write!(f, "{source}")?,
            None => f.write_str("all")?,
        }
        if let Some((network, length)) = self.destination {
            write!(f, " to {network}")?;
            if length < host_length(self.family) {
                write!(f, "/{length}")?;
            }
        }
        match self.fwmark {
            Some((value, u32::MAX)) => write!(f, " fwmark {value:#x}")?,
            Some((0, mask)) => write!(f, " fwmark 0/{mask:#x}")?,
            Some((value, mask)) => write!(f, " fwmark {value:#x}/{mask:#x}")?,
            None => {}
        }
        if let Some(input) = &self.input {
            write!(f, " iif {input}")?;
        }
        f.write_str(if self.of_tcp { " ipproto tcp" } else { "" })?;
        if let Some(port) = self.source_port {
            write!(f, " sport {port}")?;
        }
        if let Some(ports) = self.destination_ports {
            write!(f, " dport {ports}")?;
        }
        match (self.action, self.target) {
            (RuleAction::ToTable, _) => write!(f, " lookup {}", self.table)?,
            (RuleAction::Goto, Some(target)) => write!(f, " goto {target}")?,
            (RuleAction::Nop, _) => write!(f, " nop")?,
            (RuleAction::Prohibit, _) => write!(f, " prohibit")?,
            (action, _) => write!(f, " action {}", u8::from(action))?,
        }
        if self.narrowed {
            f.write_str(" ...")?;
        }
        write!(f, " proto {}", self.protocol)
    }
}

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
pub(super) fn decode(reply: &Reply, family: Family) -> Option<PolicyRule> {
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

fn range(ports: PortRange) -> RulePortRange {
    RulePortRange { start: ports.first, end: ports.last }
}

/// The prefix length of one address.
fn host_length(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
