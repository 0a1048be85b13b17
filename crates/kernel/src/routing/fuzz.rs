//! Any message as a rule or a route.

use super::{Family, route, rule};
use crate::netlink::Reply;

/// Of one family at most.
pub(crate) fn rule_and_route(reply: &Reply) {
    let rules = Family::ALL.into_iter().filter_map(|family| rule::decode(reply, family));
    let rules = rules
        .map(|rule| drop((rule.block(), rule.takes_packets(), rule.is_unconditional(), rule.to_string())));
    assert!(rules.count() <= 1);
    let routes = Family::ALL.into_iter().filter_map(|family| route::decode(reply, family));
    assert!(routes.map(|route| drop((route.block(), route.protocol(), route.to_string()))).count() <= 1);
}
