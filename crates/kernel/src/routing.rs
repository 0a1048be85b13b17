//! The rules and routes that deliver marked packets to this host, in both families.
//!
//! ```text
//! 900: from all fwmark 0x40000000/0x40000000 iif lo lookup 3253338112   # replies of this host's own servers
//! 901: from all fwmark 0x20000000/0x20000000 iif lo goto 903    # not for the kernel's own look-ups
//! 902: from all fwmark 0x20000000/0x20000000 lookup 3253338112  # a marked packet ...
//! 903: from all nop
//! 904: from 127.0.0.1 iif lo ipproto tcp sport 81 lookup 3253338112     # replies of a loopback server
//! local default dev lo table 3253338112                         # ... is for us, whatever its address
//! ```
//!
//! The `goto` keeps reverse-path checks (`src_valid_mark`, firewalld's IPv6 `rpfilter`) away from the
//! table: they ask "where would I route back to" with the mark of the packet and `iif lo`
//! (docs/facts f1 to f4). Without a packet that carries a mark these are inert.
//!
//! 900 and 904 are made only where [`Wanted`] asks for them. `iif lo` means packets that this host sends.
//! 904 is not inert without us: it stands after `local` (0), so that clients on this host do not notice it,
//! but it takes replies to clients elsewhere, which exist where connections are redirected to a loopback address
//! (`route_localnet=1` and DNAT): those time out while the rule is there, also when its process is dead
//! (measured on 6.18). Since Linux 5.4 a rule with ports and `iif lo` does not make the kernel look for ports in
//! the packets that it forwards (`fib_rule_requires_fldissect`).
//!
//! Where what is intercepted fails closed, there are more, which work without this process: `routing/closing.rs`.
//!
//! Rules and routes have no owner. They carry the protocol number [`TAG`] (`FRA_PROTOCOL`, Linux 4.17) and
//! lie in a [`Block`]: only what has both is ours, and only that is ever removed. Which block is used, and whether
//! a process still uses it, [`crate::plumbing`] decides. No sysctl is written.

pub use clearway_core::intercept::Closing;

use crate::netlink::NetlinkClient;
pub use crate::transparency::Family;

mod among;
mod block;
mod closing;
mod error;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod removals;
mod route;
mod rule;
mod tagged;
mod terms;
mod wanted;

use among::Among;
pub use block::Block;
pub use error::RoutingError;
pub use removals::Removals;
pub use route::{Route, routes_in, routes_tagged};
pub use rule::{PolicyRule, rules};
pub use tagged::{Removal, Tagged};
pub use terms::{Effect, TAG, Wanted};

/// Makes what is missing of a block in one family, and says what that was.
///
/// The route comes first, then the jump's target, then the jump, then the look-up it must skip: at no
/// moment does a packet meet half of it. Called again it repairs.
///
/// A socket caches its route, and one that looked it up while ours was missing caches a wrong one: in IPv6 it looks it
/// up again when some rule changes, but not when a route comes back to a table that had none for it (measured on 5.10
/// and 6.18; a server on `::1` went on sending its answers to the wire for 6 s). So a rule is made and removed.
pub fn apply(
    client: &mut NetlinkClient,
    wanted: &Wanted<'_>,
    family: Family,
) -> Result<Vec<String>, RoutingError> {
    let mut made = Vec::new();
    let route = Route::wanted(wanted.block, family);
    let route_is_new = route.apply(client)? == Effect::Done;
    if route_is_new {
        made.push(format!("{family} route {route}"));
    }
    for rule in PolicyRule::wanted(wanted, family) {
        if rule.apply(client)? == Effect::Done {
            made.push(format!("{family} rule {rule}"));
        }
    }
    if family == Family::V6 && route_is_new && made.len() == 1 {
        let change = PolicyRule::without_effect(wanted.block, family);
        change.apply(client)?;
        change.remove(client)?;
    }
    Ok(made)
}

/// Our rules of a block that are made on demand, and for which there is no demand.
pub fn surplus(
    client: &mut NetlinkClient,
    wanted: &Wanted<'_>,
    family: Family,
) -> Result<Tagged, RoutingError> {
    let ours: Among = PolicyRule::wanted(wanted, family).into_iter().collect();
    let mut rules = match rules(client, family) {
        Err(error) if error.is_without_family() => Vec::new(),
        outcome => outcome?,
    };
    rules.retain(|rule| {
        let of_closing = rule.closes() || rule.passes();
        let optional = of_closing || wanted.block.is_optional(rule.preference);
        rule.block() == Some(wanted.block) && optional && !ours.has(rule)
    });
    Ok(Tagged { rules, routes: Vec::new() })
}

/// Removes all our routes and rules of a block, in the reverse order; says what it was and what failed.
pub fn remove(
    client: &mut NetlinkClient,
    block: Block,
    families: &[Family],
    closing: Closing,
) -> (Vec<String>, Vec<RoutingError>) {
    let mut removal = Removal::default();
    for family in families {
        match tagged(client, *family) {
            Ok(tagged) => removal.remove(client, tagged.but(closing), |of| of == block),
            Err(error) => removal.errors.push(error),
        }
    }
    (removal.removed, removal.errors)
}

/// Our rules and routes of one family, of all blocks; none where the kernel lacks the family.
pub fn tagged(client: &mut NetlinkClient, family: Family) -> Result<Tagged, RoutingError> {
    let list = |client: &mut NetlinkClient| -> Result<Tagged, RoutingError> {
        Ok(Tagged {
            rules: rules(client, family)?.into_iter().filter(|rule| rule.block().is_some()).collect(),
            routes: routes_tagged(client, family)?
                .into_iter()
                .filter(|route| route.block().is_some())
                .collect(),
        })
    };
    match list(client) {
        Err(error) if error.is_without_family() => Ok(Tagged::default()),
        outcome => outcome,
    }
}

/// What is not wanted in a block without a living process. It is removed when what is wanted is there already: so a
/// rule that both want is never missing.
pub fn left_in(
    client: &mut NetlinkClient,
    wanted: &Wanted<'_>,
    family: Family,
) -> Result<Tagged, RoutingError> {
    let ours: Among = PolicyRule::wanted(wanted, family).into_iter().collect();
    let mut tagged = tagged(client, family)?;
    tagged.rules.retain(|rule| rule.block() == Some(wanted.block) && !ours.has(rule));
    tagged.routes.retain(|route| route.block() == Some(wanted.block) && !route.is_wanted());
    Ok(tagged)
}

#[cfg(test)]
mod tests;
