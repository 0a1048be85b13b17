//! The rules that a block is to hold.

use std::net::SocketAddr;

use clearway_core::names::Mark;
use netlink_packet_route::rule::RuleAction;

use super::terms::Wanted;
use super::{Family, PolicyRule, closing};

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
}
