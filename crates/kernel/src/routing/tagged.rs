//! Rules and routes that carry our tag, and their removal.

use super::terms::Effect;
use super::{Block, PolicyRule, Route, RoutingError};
use crate::netlink::NetlinkClient;

/// Our rules and routes as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tagged {
    /// By preference.
    pub rules: Vec<PolicyRule>,
    /// As the kernel lists them.
    pub routes: Vec<Route>,
}

impl Tagged {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.routes.is_empty()
    }
}

/// What a removal has done so far: it never stops at the first error.
#[derive(Debug, Default)]
pub struct Removal {
    /// In `ip`'s words.
    pub removed: Vec<String>,
    /// What failed.
    pub errors: Vec<RoutingError>,
}

impl Removal {
    /// Removes what lies in the chosen blocks: routes, look-ups, jumps, targets.
    pub fn remove(&mut self, client: &mut NetlinkClient, tagged: Tagged, chosen: impl Fn(Block) -> bool) {
        for route in tagged.routes.into_iter().filter(|route| route.block().is_some_and(&chosen)) {
            let outcome = route.remove(client);
            self.note(format!("{} route {route}", route.family), outcome);
        }
        let mut rules: Vec<PolicyRule> =
            tagged.rules.into_iter().filter(|rule| rule.block().is_some_and(&chosen)).collect();
        rules.sort_by_key(PolicyRule::removal_order);
        for rule in rules {
            let outcome = rule.remove(client);
            self.note(format!("{} rule {rule}", rule.family), outcome);
        }
    }

    fn note(&mut self, object: String, outcome: Result<Effect, RoutingError>) {
        match outcome {
            Ok(Effect::Done) => self.removed.push(object),
            Ok(Effect::Nothing) => {}
            Err(error) => self.errors.push(error),
        }
    }
}
