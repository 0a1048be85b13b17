//! Rules of others that hide the clients: a MASQUERADE towards servers gives their connections the address of this host.
//!
//! Found are those that stand in a base chain of `nat postrouting` and ask for nothing but the outgoing interface. What a
//! condition guards (Docker's rules name the containers' network, Kubernetes' a mark), or what another chain leads to, is
//! left alone: whether it matters cannot be told from here.

use std::fmt;

use super::expression::Seen;
use super::{At, Others, Place, Rule};
use crate::netlink::attributes::text;

/// The keys `oif` and `oifname` of `meta`.
const OUTGOING: [u32; 2] = [5, 7];

/// A rule that hides clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Where it stands.
    pub place: Place,
    /// Towards which interface; unset: towards all.
    pub interface: Option<String>,
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let towards =
            self.interface.as_ref().map_or("every interface".to_owned(), |name| format!("`{name}`"));
        write!(f, "MASQUERADE towards {towards} ({})", self.place)
    }
}

impl Others {
    /// Those that there are.
    pub fn masquerades(&self) -> Vec<Masquerade> {
        let is_base = |rule: &&Rule| {
            let of_nat = |hook: super::Hook| hook.at == At::Postrouting;
            self.chains
                .iter()
                .any(|chain| chain.place == rule.place && chain.nat && chain.hook.is_some_and(of_nat))
        };
        self.rules.iter().filter(is_base).filter_map(masquerade).collect()
    }
}

fn masquerade(rule: &Rule) -> Option<Masquerade> {
    let (mut outgoing, mut interface, mut hides) = (false, None, false);
    for one in &rule.does {
        match one {
            Seen::Nothing => {}
            Seen::Match(name, _) if name == "comment" => {}
            Seen::Masquerade => hides = true,
            Seen::LoadMeta(key) if OUTGOING.contains(key) => outgoing = true,
            Seen::Compare(_, value) if outgoing => {
                // A name is text, an index is four bytes.
                interface = text(value).filter(|name| !name.is_empty()).or(Some("an interface".to_owned()));
            }
            _ => return None,
        }
    }
    hides.then(|| Masquerade { place: rule.place.clone(), interface })
}
