//! Which servers HAProxy reaches with an address that is not its own.
//!
//! `source` of a `server` line counts before that of the `default-server` above it, and this before that of the
//! section, wherever it stands (`connect_server` and `srv_settings_cpy` in HAProxy's source). A section inherits both
//! from its `defaults`. The last line counts; one inside `.if` that makes transparent counts as if it were there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::address::{Endpoint, Transport};
use super::guards::Guard;
use super::span::{Section, Span};

/// A line with `usesrc`: HAProxy connects to servers with an address that is not its own, mostly the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsesrcLine {
    /// Where it stands.
    pub span: Span,
    /// The section it stands in. A line in `defaults` counts by itself, whether a section inherits it or not.
    pub section: Arc<Section>,
    /// The line without the blanks around it.
    pub text: String,
    /// The address behind `source`: `0.0.0.0` for IPv4, `ipv6@` or `::` for IPv6.
    pub source: String,
    /// What stands behind `usesrc`: `clientip`, `client`, `hdr_ip(...)` or an address.
    pub uses: String,
    /// The conditions under which the line counts, none if it always does.
    pub guards: Arc<[Guard]>,
}

/// A `server` or `server-template` line of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLine {
    /// Where it stands.
    pub span: Span,
    /// The `backend` or `listen` it stands in.
    pub section: Arc<Section>,
    /// Its name; of a template the beginning of all names.
    pub name: String,
    /// Whether it is a template.
    pub template: bool,
    /// Where it is, unless that is a host name. Nothing if the line names no port.
    pub endpoint: Option<Endpoint>,
    /// Whether it sees the address of the client.
    pub transparent: bool,
}

impl ServerLine {
    /// Its address, as far as the files say it. A `server` has one port.
    pub fn address(&self) -> Option<SocketAddr> {
        let address = self.endpoint.as_ref()?.socket_addresses().next()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// All servers of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerLines {
    all: Vec<ServerLine>,
    /// By proxy and name.
    places: HashMap<(String, String), usize>,
    /// Whether a server that is added at run time is transparent, by proxy.
    proxies: HashMap<String, bool>,
}

impl ServerLines {
    /// In the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &ServerLine> {
        self.all.iter()
    }

    /// Those that see the addresses of clients.
    pub fn transparent(&self) -> impl Iterator<Item = &ServerLine> {
        self.iter().filter(|server| server.transparent)
    }

    /// The line of a server as HAProxy names it (`web1` of `server-template web 3` too); none if it was added at run
    /// time.
    pub fn find(&self, proxy: &str, name: &str) -> Option<&ServerLine> {
        let at = |name: &str| self.places.get(&(proxy.to_owned(), name.to_owned()));
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let template = || at(prefix).filter(|place| self.all.get(**place).is_some_and(|one| one.template));
        self.all.get(*at(name).or_else(template)?)
    }

    /// Whether HAProxy reaches this server with the address of the client.
    pub fn is_transparent(&self, proxy: &str, name: &str) -> bool {
        let line = self.find(proxy, name).map(|server| server.transparent);
        line.unwrap_or_else(|| self.proxies.get(proxy).copied().unwrap_or(false))
    }
}

/// What a section says about the source, unset if nothing: whether it is transparent.
#[derive(Clone, Copy, Debug, Default)]
struct SourceDefaults {
    section: Option<bool>,
    default_server: Option<bool>,
}

/// Collects while the lines go by. A section's `source` counts for the servers before it, too, so each is decided
/// when its section is over.
#[derive(Default)]
pub(super) struct ServerFinder {
    /// Of the last `defaults`.
    last: SourceDefaults,
    named: HashMap<String, SourceDefaults>,
    section: Option<Arc<Section>>,
    says: SourceDefaults,
    /// The servers of this section, with what they say themselves.
    open: Vec<(ServerLine, Option<bool>)>,
    found: ServerLines,
}

impl ServerFinder {
    /// A section begins with these words.
    pub(super) fn section(&mut self, section: &Arc<Section>, words: &[String]) {
        self.end_section();
        let from = words.iter().position(|word| word == "from").and_then(|at| words.get(at + 1));
        let base = from.map_or(self.last, |name| self.named.get(name).copied().unwrap_or_default());
        self.says = match section.keyword.as_str() {
            "defaults" if from.is_none() => SourceDefaults::default(),
            "defaults" | "backend" | "listen" => base,
            _ => SourceDefaults::default(),
        };
        self.section = Some(Arc::clone(section));
    }

    /// `source ...` of the section itself.
    pub(super) fn source(&mut self, transparent: bool, guarded: bool) {
        note(&mut self.says.section, transparent, guarded);
    }

    /// `default-server ... source ...`
    pub(super) fn default_server(&mut self, transparent: bool, guarded: bool) {
        note(&mut self.says.default_server, transparent, guarded);
    }

    /// A `server` or `server-template`, with what its own `source` says.
    pub(super) fn server(&mut self, span: &Span, words: &[String], address: &str, own: Option<bool>) {
        let proxy = |section: &&Arc<Section>| matches!(section.keyword.as_str(), "backend" | "listen");
        let Some(section) = self.section.as_ref().filter(proxy) else { return };
        let endpoint = Endpoint::list(address, Transport::Tcp).into_iter().next();
        let server = ServerLine {
            span: span.clone(),
            section: Arc::clone(section),
            name: words.get(1).cloned().unwrap_or_default(),
            template: words.first().is_some_and(|word| word == "server-template"),
            endpoint: endpoint.filter(|endpoint| !matches!(endpoint, Endpoint::Unknown(_))),
            transparent: false,
        };
        self.open.push((server, own.or(self.says.default_server)));
    }

    pub(super) fn into_servers(mut self) -> ServerLines {
        self.end_section();
        self.found
    }

    fn end_section(&mut self) {
        let Some(section) = self.section.take() else { return };
        if section.keyword == "defaults" {
            self.last = self.says;
            self.named.insert(section.name.clone(), self.says);
        }
        let of_section = self.says.section.unwrap_or(false);
        if matches!(section.keyword.as_str(), "backend" | "listen") {
            // `default-server` does not count for servers that are added later (management guide, "add server").
            self.found.proxies.insert(section.name.clone(), of_section);
        }
        for (mut server, said) in self.open.drain(..) {
            server.transparent = said.unwrap_or(of_section);
            let key = (section.name.clone(), server.name.clone());
            self.found.places.insert(key, self.found.all.len());
            self.found.all.push(server);
        }
    }
}

/// The last line counts. A condition may not hold, and then transparency stays as it was.
fn note(slot: &mut Option<bool>, transparent: bool, guarded: bool) {
    if !guarded || transparent {
        *slot = Some(transparent);
    }
}

#[cfg(test)]
mod tests;
