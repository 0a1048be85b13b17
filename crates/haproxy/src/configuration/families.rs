//! Clients and servers of different address families: where the servers see the clients' addresses, that cannot work,
//! because an IPv6 server has no way to answer an IPv4 address, nor the other way round.
//!
//! Only what is certain is said: of a frontend with `use_backend` a condition may lead each family to its own servers.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use super::address::Endpoint;
use super::binds::{Bind, V6};
use super::content::Configuration;
use super::servers::{ServerLine, UsesrcLine};
use super::span::Span;

/// A transparent server that clients of a `bind` line, or the `source` line, cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Clients of one family are sent to a server of the other.
    Clients {
        /// The `bind` line.
        bind: Span,
        /// The server's line.
        server: Span,
        /// Its name.
        name: String,
        /// The family of the clients: 4 or 6.
        clients: u8,
    },
    /// `source 0.0.0.0` before an IPv6 server, `source ipv6@` before an IPv4 one.
    Source {
        /// The line with `source`.
        source: Span,
        /// The server's line.
        server: Span,
        /// Its name.
        name: String,
        /// What would be right.
        right: &'static str,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients { bind, server, name, clients } => {
                let other = 10 - clients;
                write!(
                    f,
                    "IPv{clients} clients ({bind}) are sent to the IPv{other} server `{name}` ({server}), which is to \
                     see their addresses and has no way to answer them: give each family a frontend and a backend \
                     of its own"
                )
            }
            Self::Source { source, server, name, right } => write!(
                f,
                "the server `{name}` ({server}) is of another address family than `source` ({source}): every \
                 connection fails; use `source {right} usesrc clientip` in its backend"
            ),
        }
    }
}

/// A place in the files.
type LinePlace<'a> = (&'a Path, usize);

fn place(span: &Span) -> LinePlace<'_> {
    (&span.file, span.line)
}

impl Configuration {
    /// What cannot work, as far as it is certain: of each server, the first line that it does not go with.
    pub fn mismatches(&self) -> Vec<Mismatch> {
        if self.transparent.is_empty() {
            return Vec::new();
        }
        let (clients, sources) = (self.clients(), self.sources_by_place());
        let servers = self.servers.transparent().filter_map(|server| Some((server, family(server)?)));
        let of_one = |(server, of): (&ServerLine, u8)| {
            let others = 10 - of;
            let clients =
                clients.get(&(server.section.name.as_str(), others)).map(|bind| Mismatch::Clients {
                    bind: (*bind).clone(),
                    server: server.span.clone(),
                    name: server.name.clone(),
                    clients: others,
                });
            let own = sources.get(&place(&server.span));
            let source = own.or_else(|| sources.get(&place(&server.section.span)));
            [clients, source.and_then(|source| mismatch(server, of, source))]
        };
        servers.flat_map(of_one).flatten().collect()
    }

    /// The first `bind` line for clients of a family, by the backend that they come to.
    fn clients(&self) -> HashMap<(&str, u8), &Span> {
        let mut clients = HashMap::new();
        for bind in &self.binds {
            let frontend = bind.section.name.as_str();
            if self.routes.chosen.contains(frontend) {
                continue;
            }
            let backend = match self.routes.default.get(frontend) {
                Some(backend) => backend.as_str(),
                None if bind.section.keyword == "listen" => frontend,
                None => continue,
            };
            for family in [4, 6].into_iter().filter(|family| serves(bind, *family)) {
                clients.entry((backend, family)).or_insert(&bind.span);
            }
        }
        clients
    }

    /// The lines with `usesrc`: those of servers by their own place, those of sections (the last) by the section's.
    fn sources_by_place(&self) -> HashMap<LinePlace<'_>, &UsesrcLine> {
        let mut sources = HashMap::new();
        for line in self.transparent.iter().filter(|line| line.guards.is_empty()) {
            let of_section = line.text.starts_with("source");
            sources.insert(place(if of_section { &line.section.span } else { &line.span }), line);
        }
        sources
    }
}

fn mismatch(server: &ServerLine, of: u8, line: &UsesrcLine) -> Option<Mismatch> {
    let (wrong, right) = match (line.source.split_once('@'), of) {
        (Some(("ipv6", _)), 4) => (true, "0.0.0.0"),
        (Some(_), _) => (false, ""),
        // With a port perhaps.
        (None, 6) => (line.source.matches(':').count() < 2, "ipv6@"),
        (None, _) => (line.source.matches(':').count() >= 2, "0.0.0.0"),
    };
    wrong.then(|| Mismatch::Source {
        source: line.span.clone(),
        server: server.span.clone(),
        name: server.name.clone(),
        right,
    })
}

/// 4 or 6, if it is known.
fn family(server: &ServerLine) -> Option<u8> {
    server.address().map(|address| if address.is_ipv4() { 4 } else { 6 })
}

/// Whether clients of this family can reach it for certain; without `v6only` and `v4v6` the kernel decides.
fn serves(bind: &Bind, family: u8) -> bool {
    bind.endpoints.iter().any(|endpoint| match endpoint {
        Endpoint::Ip { address: IpAddr::V4(_), .. } => family == 4,
        Endpoint::Ip { address: IpAddr::V6(address), .. } => {
            family == 6 || bind.v6 == V6::Both && address.is_unspecified()
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Configuration, SourceFile};

    fn mismatches(text: &str) -> Vec<String> {
        let name = PathBuf::from("t.cfg");
        let file = SourceFile { name: name.clone(), path: name, bytes: text.as_bytes().to_vec() };
        let all = Configuration::scan(vec![file], &|_| None).mismatches();
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clients_of_another_family_are_named_with_both_lines() {
        let text = "frontend f\n bind :80\n bind :::80 v6only\n default_backend b\n\
                    backend b\n source ipv6@ usesrc clientip\n server s [fd02::2]:80\n";
        let found = mismatches(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("IPv4 clients (t.cfg:2) are sent to the IPv6 server `s` (t.cfg:7)"));
        let both = text.replace(" bind :80\n", "").replace("v6only", "v4v6");
        assert_eq!(mismatches(&both).len(), 1);
    }

    #[test]
    fn a_source_of_another_family_is_named() {
        let found = mismatches(
            "listen l\n bind :::80 v6only\n source 0.0.0.0 usesrc clientip\n server s [fd02::2]:80\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("(t.cfg:3)") && found[0].contains("`source ipv6@ usesrc clientip`"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_right_or_not_certain_is_not_named() {
        for text in [
            "listen l\n bind :80\n source 0.0.0.0 usesrc clientip\n server s 10.0.0.1:80\n",
            "listen l\n bind :::80 v6only\n source ipv6@ usesrc clientip\n server s [fd02::2]:80\n",
            "listen l\n bind :::80\n source 0.0.0.0 usesrc clientip\n server s name:80\n",
            "listen l\n bind :80\n server s [fd02::2]:80\n",
            "frontend f\n bind :80\n use_backend c if { src 10.0.0.0/8 }\n default_backend b\n\
             backend b\n source ipv6@ usesrc clientip\n server s [fd02::2]:80\n",
        ] {
            assert!(mismatches(text).is_empty(), "{text}: {:?}", mismatches(text));
        }
    }
}
