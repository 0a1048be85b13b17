//! Both sides of a section, as the steps for its servers need them.

use super::capabilities::Capabilities;
use super::expected::ExpectedServer;
use super::mentions::Mentions;
use super::proxy::{Proxy, Settled};
use super::words::{literal, number, speakable_names};

/// Both sides of a section.
pub(super) struct Pair<'a, 'b> {
    pub(super) old: &'b Proxy<'a>,
    pub(super) new: &'b Proxy<'a>,
    pub(super) can: &'b Capabilities,
    /// Which servers and numbers lines anywhere ask for.
    pub(super) mentions: &'b dyn Fn() -> &'b Mentions,
}

impl Pair<'_, '_> {
    /// `BACKEND/SERVER`, if it can be said.
    pub(super) fn object(&self, server: &str) -> Result<String, String> {
        let backend = self.new.piece.name;
        if !speakable_names(backend, server) {
            return Err(format!("the name of the server `{server}` cannot be said at the runtime API"));
        }
        Ok(format!("{backend}/{server}"))
    }
}

/// What `show servers state` says of a server after a fresh start. An agent may have set weight and state since.
pub(super) fn expected(name: &str, settled: &Settled) -> ExpectedServer {
    let options = settled.options().unwrap_or_default();
    let agent = options.contains_key("agent-check");
    let weight = match options.get("weight") {
        _ if agent => None,
        None => Some(1),
        Some(values) => values.first().and_then(|weight| number(weight, 256)),
    };
    ExpectedServer {
        name: name.to_owned(),
        address: literal(&settled.address),
        weight,
        disabled: (!agent).then_some(options.contains_key("disabled")),
    }
}
