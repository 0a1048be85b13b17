//! A copy of the user's configuration with private ports for its TCP addresses: for two generations side by side.
//!
//! Only the address of a `bind` line is written anew, where it stands; every other byte stays, and so does the number of
//! every line, which HAProxy names in its messages. Variables and quotes in the address go, as its value is known; a
//! range becomes a list. What is no TCP socket of this network namespace that a redirected client could reach is left as it
//! is and told ([`Left`]): it is handed over by custody as ever.
//!
//! The scanner does not know which `.if` blocks count and guesses the value of a variable that one of them sets. So
//! the caller takes for moved only what HAProxy has really bound ([`crate::inventory`]).

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::configuration::words::places;
use crate::configuration::{Bind, Configuration, Endpoint, Span, Transport, V6};

mod beside;
mod refusal;

pub use beside::{Sections, USERS_FILES, USERS_MASTER_CLI, asked, beside};
pub use refusal::NotDerivable;

/// More addresses than any real file binds; a hostile one may name millions.
const MOST: usize = 10_000;
/// What HAProxy takes in one line (`LINESIZE` is 2048), with room for its end.
const LONGEST: usize = 2000;

/// An address that was given a private port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAddress {
    /// Where clients call.
    pub public: SocketAddr,
    /// Where HAProxy listens, at the same address.
    pub private: u16,
    /// Whether an IPv6 socket takes IPv4 as well.
    pub v6: V6,
    /// The line.
    pub span: Span,
    /// Whether the line stands in an `.if` block and so may not count.
    pub guarded: bool,
}

/// Why a line stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Some address of it is a Unix socket, an inherited one, or no socket at all.
    NoIp,
    /// Some address of it is UDP or QUIC.
    NoTcp,
    /// Multipath TCP: one connection comes to more than one address.
    Mptcp,
    /// A name that HAProxy resolves.
    Name,
    /// `interface`, or a scope as in `fe80::1%eth0`.
    Interface,
    /// `namespace`.
    Namespace,
    /// `transparent`: for clients of addresses that are not this host's.
    Transparent,
    /// The section `peers`: others know the port.
    Peers,
    /// Its address depends on what is not known before HAProxy reads it.
    Unknown,
    /// An IPv4 address written as IPv6.
    Mapped,
    /// There was no private port for it.
    NoPort,
    /// With a private port for each of its own it would be too long a line.
    TooLong,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoIp => "it is no IP socket",
            Self::NoTcp => "it is no TCP socket",
            Self::Mptcp => "it is Multipath TCP",
            Self::Name => "its name is resolved only by HAProxy",
            Self::Interface => "it is bound to an interface",
            Self::Namespace => "it is in another network namespace",
            Self::Transparent => "it is `transparent`, for addresses that this host does not have",
            Self::Peers => "peers know its port",
            Self::Unknown => "its address is known only to HAProxy",
            Self::Mapped => "its IPv4 address is written as IPv6",
            Self::NoPort => "there is no private port for it",
            Self::TooLong => "it names too many ports",
        })
    }
}

/// A `bind` line that stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The line.
    pub span: Span,
    /// Why.
    pub why: Why,
}

/// The copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// What HAProxy shall read, in the order of [`Configuration::files`].
    pub files: Vec<Vec<u8>>,
    /// What has a private port now. The same public address always has the same one.
    pub moved: Vec<MovedAddress>,
    /// What has not.
    pub left: Vec<Left>,
}

/// Makes the copy. `private` gives a port for an address, or none if there is none; it is asked once per address.
pub fn derive(
    configuration: &Configuration,
    private: &mut dyn FnMut(SocketAddr) -> Option<u16>,
) -> Result<Derived, NotDerivable> {
    refusal::look(configuration)?;
    let mut ports =
        PrivatePorts { private, known: HashMap::new(), guessed: refusal::guesses_variables(configuration) };
    let mut derived = Derived::default();
    let mut binds = configuration.binds.iter().peekable();
    for file in &configuration.files {
        let mut bytes = Vec::with_capacity(file.bytes.len());
        for (index, line) in file.bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                bytes.push(b'\n');
            }
            let here = |bind: &&Bind| bind.span.line == index + 1 && *bind.span.file == file.name;
            let moved = binds.next_if(here).and_then(|bind| match ports.line(bind, line) {
                Ok((place, address, moved)) => {
                    derived.moved.extend(moved);
                    Some((place, address))
                }
                Err(why) => {
                    derived.left.push(Left { span: bind.span.clone(), why });
                    None
                }
            });
            match moved {
                Some((place, address)) => {
                    bytes.extend(line.get(..place.start).unwrap_or_default());
                    bytes.extend(address.into_bytes());
                    bytes.extend(line.get(place.end..).unwrap_or_default());
                }
                None => bytes.extend(line),
            }
        }
        derived.files.push(bytes);
    }
    Ok(derived)
}

/// The private ports, by public address.
struct PrivatePorts<'a> {
    private: &'a mut dyn FnMut(SocketAddr) -> Option<u16>,
    known: HashMap<SocketAddr, u16>,
    /// Whether variables may have other values than the scanner believes.
    guessed: bool,
}

impl PrivatePorts<'_> {
    fn of(&mut self, public: SocketAddr) -> Option<u16> {
        if let Some(port) = self.known.get(&public) {
            return Some(*port);
        }
        let port = (self.known.len() < MOST).then(|| (self.private)(public)).flatten()?;
        self.known.insert(public, port);
        Some(port)
    }

    /// Where the address of a line stands, and what to write there.
    fn line(&mut self, bind: &Bind, line: &[u8]) -> Result<(Range<usize>, String, Vec<MovedAddress>), Why> {
        if let Some(why) = bind.reason_to_stay() {
            return Err(why);
        }
        let place = places(line).get(1).cloned().ok_or(Why::Unknown)?;
        let raw = line.get(place.clone()).unwrap_or_default();
        if raw.contains(&b'%') {
            return Err(Why::Interface);
        }
        // `"${NAME[*]}"` is any number of words, so the address may be another one. What a block sets is a guess, and a copy
        // that has it as a number would hide that HAProxy knows better.
        let begin = line.get(..place.end).unwrap_or_default();
        let is_guess = self.guessed || !bind.guards.is_empty();
        if begin.windows(3).any(|window| window == b"[*]") || is_guess && raw.contains(&b'$') {
            return Err(Why::Unknown);
        }
        let (mut addresses, mut moved) = (Vec::new(), Vec::new());
        let mut length = line.len();
        for public in bind.endpoints.iter().flat_map(Endpoint::socket_addresses) {
            let family = if public.is_ipv4() { "ipv4" } else { "ipv6" };
            // Before a port is taken for it. Five digits at most, and a comma.
            length += family.len() + 1 + public.ip().to_string().len() + 7;
            if length > LONGEST.max(line.len() + 100) {
                return Err(Why::TooLong);
            }
            let private = self.of(public).ok_or(Why::NoPort)?;
            addresses.push(format!("{family}@{}:{private}", public.ip()));
            let (v6, span, guarded) = (bind.v6, bind.span.clone(), !bind.guards.is_empty());
            moved.push(MovedAddress { public, private, v6, span, guarded });
        }
        if addresses.is_empty() {
            return Err(Why::Unknown);
        }
        Ok((place, addresses.join(","), moved))
    }
}

impl Bind {
    /// Why clients cannot be redirected to the line's addresses under other ports.
    fn reason_to_stay(&self) -> Option<Why> {
        let of_endpoint = |endpoint: &Endpoint| match endpoint {
            Endpoint::Ip { transport: Transport::Tcp, address, .. } => match address {
                IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(Why::Interface),
                IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => Some(Why::Mapped),
                _ => None,
            },
            Endpoint::Ip { transport: Transport::Mptcp, .. } => Some(Why::Mptcp),
            Endpoint::Ip { .. } => Some(Why::NoTcp),
            Endpoint::Host { .. } => Some(Why::Name),
            Endpoint::Unknown(_) => Some(Why::Unknown),
            _ => Some(Why::NoIp),
        };
        let of_line = if self.section.keyword == "peers" {
            Some(Why::Peers)
        } else if self.namespace.is_some() {
            Some(Why::Namespace)
        } else if self.interface.is_some() {
            Some(Why::Interface)
        } else if self.transparent {
            Some(Why::Transparent)
        } else {
            None
        };
        of_line.or_else(|| self.endpoints.iter().find_map(of_endpoint))
    }
}

#[cfg(test)]
mod tests;
