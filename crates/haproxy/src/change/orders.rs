//! The commands about servers, with the answers that mean that they are done (2.6 to 3.4).

use std::net::SocketAddr;
use std::time::Duration;

use super::plan::{Expect, PlanOrder};

/// What HAProxy says of an address that it has set, or that was so already. Of those of checks and agents it says nothing.
const MOVED: &[&str] = &["changed from", "no need to change"];

/// How long a server may have sessions before its removal is given up.
const SESSIONS_END: Duration = Duration::from_secs(5);

/// A server that is there, in maintenance.
pub(super) fn add(object: &str, options: &str) -> PlanOrder {
    let registered = Expect::Words(&["New server registered"]);
    PlanOrder::new(format!("add server {object} {options}"), registered)
}

/// `enable health`, `enable agent`: of one that no client meets yet.
pub(super) fn enable(what: &str, object: &str) -> PlanOrder {
    PlanOrder::new(format!("enable {what} {object}"), Expect::Silence)
}

/// `set server B/S WORDS`, answered with nothing.
pub(super) fn set(object: &str, words: &str) -> PlanOrder {
    PlanOrder::new(format!("set server {object} {words}"), Expect::Silence)
}

/// Where it is; answered with what was set.
pub(super) fn address(object: &str, to: SocketAddr) -> PlanOrder {
    let command = format!("set server {object} addr {} port {}", to.ip(), to.port());
    PlanOrder::new(command, Expect::Words(MOVED))
}

/// The most connections of a server.
pub(super) fn limit(object: &str, connections: u32) -> PlanOrder {
    PlanOrder::new(format!("set maxconn server {object} {connections}"), Expect::Silence)
}

/// As soon as it has no sessions.
pub(super) fn delete(object: &str) -> PlanOrder {
    let expect = Expect::Eventually {
        done: &["Server deleted"],
        not_yet: &["still has connections attached"],
        within: SESSIONS_END,
    };
    PlanOrder::new(format!("del server {object}"), expect)
}
