//! The strategies: how the clients of a listening socket come from one generation to the next.
//!
//! Names only; what each does is in docs/explanation/strategies.md, and done by the shell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// `CLEARWAY_STRATEGY`: what is done at a reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = String, parse_err_fn = one_of_them)]
pub enum Strategy {
    /// The sockets themselves are handed over; where HAProxy does not recognise one, [`Self::Reuseport`].
    #[default]
    Handoff,
    /// The new generation binds beside the old one, and the kernel is told to send new clients to it.
    Reuseport,
    /// The same, and SYNs are dropped while the old sockets are closed.
    SynDrop,
    /// The same, and SYNs wait meanwhile.
    Plug,
    /// Generations listen on private ports, and the kernel redirects new clients to one of them.
    #[serde(rename = "tableflip")]
    #[strum(serialize = "tableflip")]
    TableFlip,
    /// [`Self::Handoff`], and for what cannot be steered [`Self::Plug`] or [`Self::SynDrop`], as far as can be had.
    Auto,
}

impl Strategy {
    /// All of them, the default first.
    pub const ALL: [Self; 6] =
        [Self::Handoff, Self::Reuseport, Self::SynDrop, Self::Plug, Self::TableFlip, Self::Auto];

    /// Whether HAProxy is given its listening sockets at a reload, where it could bind others beside them.
    pub fn hands_over(self) -> bool {
        matches!(self, Self::Handoff | Self::Auto | Self::TableFlip)
    }
}

fn one_of_them(_: &str) -> String {
    let names: Vec<String> = Strategy::ALL.iter().map(|one| format!("`{one}`")).collect();
    format!("expected one of {}", names.join(", "))
}

/// What was done for the clients of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Means {
    /// The new generation uses the very same socket.
    Handoff,
    /// They were sent to the socket of the new generation, until the queue of the old one was empty.
    Reuseport,
    /// Their SYNs were dropped until the old socket was closed.
    SynDrop,
    /// Their SYNs waited until the old socket was closed.
    Plug,
    /// They were redirected to the private port of the new generation.
    #[serde(rename = "tableflip")]
    #[strum(serialize = "tableflip")]
    TableFlip,
    /// Nothing could be done: a client that came in the moment of the closing was reset.
    Nothing,
}

impl Means {
    /// What precedes the addresses, for people.
    pub fn heading(self) -> String {
        match self {
            Self::Nothing => "not moved, and clients may have been reset".to_owned(),
            means => format!("moved by {means}"),
        }
    }
}

/// One listening socket that the former generation had, and what was done for its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Where it listens.
    pub address: String,
    /// What was done.
    pub by: Means,
}

/// The addresses for each means.
pub fn by_means(moved: &[Moved]) -> BTreeMap<Means, Vec<String>> {
    let mut sorted: BTreeMap<Means, Vec<String>> = BTreeMap::new();
    for Moved { address, by } in moved {
        sorted.entry(*by).or_default().push(address.clone());
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_is_read_as_it_is_written() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.to_string());
        }
        let error = "syn_drop".parse::<Strategy>().unwrap_err();
        assert!(error.contains("`syn-drop`") && error.contains("`auto`"), "{error}");
    }
}
