//! One rule of the routing policy, ours or foreign (`ip rule`).
//!
//! Reading ([`reading`]) is lenient: of a foreign rule only what can collide with ours is understood, and the rest
//! does not disturb. Making and removing ([`writing`]) is for ours only.

use std::fmt;
use std::net::IpAddr;

use clearway_core::intercept::PortRange;
use clearway_core::names::Mark;
use netlink_packet_route::rule::RuleAction;

use super::terms::{TAG, host_length};
use super::{Block, Family};

mod reading;
mod writing;

pub(super) use reading::decode;
pub use reading::rules;

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
