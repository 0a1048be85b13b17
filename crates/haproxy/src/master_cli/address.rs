//! `-S ADDRESS[,OPTION...]`: where the master CLI listens, and what clients may do there.
//!
//! The options are those of a `bind` line, with commas for blanks. Those that say which clients may connect, and what they may do, are
//! known; of the others only those that change nothing that a client sees.

use std::ffi::OsString;
use std::fmt::Write;

use super::AccessLevel;
use crate::configuration::{Endpoint, Transport};

/// Where a master CLI listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterCliAddress {
    /// As it was given.
    pub text: String,
    /// Where.
    pub endpoint: Endpoint,
    /// The mode of its file.
    pub mode: Option<u32>,
    /// The owner of its file, a name or a number.
    pub user: Option<Account>,
    /// The group of its file, likewise.
    pub group: Option<Account>,
    /// What clients may do.
    pub level: AccessLevel,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// By its name.
    Name(String),
    /// By its number.
    Number(u32),
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterCliAddressError {
    /// No socket that can be listened at.
    #[error(
        "`-S {0}`: neither a path, nor an address with a port, nor one of `unix@`, `abns@`, `fd@`, `sockpair@`"
    )]
    NoAddress(String),
    /// A host name, several ports, or a datagram socket.
    #[error("`-S {0}`: a master CLI has one address with one port, as a number")]
    NotOne(String),
    /// An option without its value.
    #[error("`-S {text}`: `{option}` needs a value")]
    ValueMissing {
        /// The whole.
        text: String,
        /// The option.
        option: String,
    },
    /// A value that is none.
    #[error("`-S {text}`: `{option}` cannot be `{value}`")]
    BadValue {
        /// The whole.
        text: String,
        /// The option.
        option: String,
        /// Its value.
        value: String,
    },
    /// An option that is not known.
    #[error(
        "`-S {text}`: Clearway knows the options mode, user, uid, group, gid and level there, not `{option}`"
    )]
    UnknownOption {
        /// The whole.
        text: String,
        /// The option.
        option: String,
    },
}

impl MasterCliAddress {
    /// Reads the value of `-S`.
    pub fn parse(text: &str) -> Result<Self, MasterCliAddressError> {
        let mut words = text.split(',');
        let endpoint = Endpoint::list(words.next().unwrap_or_default(), Transport::Tcp).pop();
        let endpoint = endpoint.ok_or_else(|| MasterCliAddressError::NoAddress(text.to_owned()))?;
        check(&endpoint, text)?;
        let (mode, user, group, level) = (None, None, None, AccessLevel::Admin);
        let mut address = Self { text: text.to_owned(), endpoint, mode, user, group, level };
        while let Some(option) = words.next() {
            address.take(option, &mut words)?;
        }
        Ok(address)
    }

    fn take<'a>(
        &mut self,
        option: &str,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), MasterCliAddressError> {
        let (text, name) = (self.text.clone(), option.to_owned());
        if !matches!(option, "mode" | "user" | "uid" | "group" | "gid" | "level")
            && !IGNORED.contains(&option)
        {
            return Err(MasterCliAddressError::UnknownOption { text, option: name });
        }
        let Some(value) = words.next() else {
            return Err(MasterCliAddressError::ValueMissing { text, option: name });
        };
        let number = value.parse().ok().map(Account::Number);
        let understood = match option {
            "mode" => set(&mut self.mode, u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777)),
            "user" => set(&mut self.user, Some(Account::Name(value.to_owned()))),
            "uid" => set(&mut self.user, number),
            "group" => set(&mut self.group, Some(Account::Name(value.to_owned()))),
            "gid" => set(&mut self.group, number),
            "level" => level(value).map(|level| self.level = level),
            _ => Some(()),
        };
        let value = value.to_owned();
        understood.ok_or(MasterCliAddressError::BadValue { text, option: name, value })
    }

    /// As HAProxy lists it in `HAPROXY_MASTER_CLI`; nothing where it lists none.
    pub fn listed(&self) -> Option<String> {
        let mut listed = String::new();
        // Writing to a String cannot fail.
        let _ = match &self.endpoint {
            Endpoint::Unix(path) => write!(listed, "unix@{}", path.display()),
            Endpoint::Abstract(name) => write!(listed, "abns@{name}"),
            Endpoint::Sockpair(number) => write!(listed, "sockpair@{number}"),
            Endpoint::Ip { address, ports, .. } if address.is_ipv4() => {
                write!(listed, "ipv4@{address}:{}", ports.start())
            }
            Endpoint::Ip { address, ports, .. } => write!(listed, "ipv6@[{address}]:{}", ports.start()),
            _ => return None,
        };
        Some(listed)
    }
}

/// The values of `-S` as HAProxy lists them in `HAPROXY_MASTER_CLI`, if there are any.
pub fn listed(values: &[OsString]) -> Option<String> {
    let listed = values.iter().filter_map(|value| MasterCliAddress::parse(value.to_str()?).ok()?.listed());
    let listed: Vec<String> = listed.collect();
    (!listed.is_empty()).then(|| listed.join(";"))
}

/// Options with a value that change nothing for a client.
const IGNORED: [&str; 6] = ["name", "backlog", "maxconn", "nice", "severity-output", "expose-fd"];

fn set<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    *place = Some(value?);
    Some(())
}

fn level(word: &str) -> Option<AccessLevel> {
    Some(match word {
        "user" => AccessLevel::User,
        "operator" => AccessLevel::Operator,
        "admin" => AccessLevel::Admin,
        _ => return None,
    })
}

fn check(endpoint: &Endpoint, text: &str) -> Result<(), MasterCliAddressError> {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    match endpoint {
        Endpoint::Unix(_) | Endpoint::Abstract(_) => Ok(()),
        Endpoint::Inherited(number) | Endpoint::Sockpair(number) if is_number(number) => Ok(()),
        Endpoint::Ip { transport: Transport::Tcp, ports, .. } if ports.start() == ports.end() => Ok(()),
        Endpoint::Ip { .. } | Endpoint::Host { .. } => Err(MasterCliAddressError::NotOne(text.to_owned())),
        _ => Err(MasterCliAddressError::NoAddress(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_options_are_read() {
        let got = MasterCliAddress::parse("/run/m.sock,mode,600,user,haproxy,gid,99,level,operator").unwrap();
        assert_eq!(got.endpoint, Endpoint::Unix("/run/m.sock".into()));
        assert_eq!((got.mode, got.level), (Some(0o600), AccessLevel::Operator));
        assert_eq!(got.user, Some(Account::Name("haproxy".into())));
        assert_eq!(got.group, Some(Account::Number(99)));
        for (text, listed) in [
            ("/m", Some("unix@/m")),
            ("unix@/m,name,x", Some("unix@/m")),
            ("abns@m", Some("abns@m")),
            ("127.0.0.1:99", Some("ipv4@127.0.0.1:99")),
            (":99", Some("ipv4@0.0.0.0:99")),
            ("ipv6@[::1]:99", Some("ipv6@[::1]:99")),
            ("sockpair@4", Some("sockpair@4")),
            ("fd@4", None),
        ] {
            assert_eq!(MasterCliAddress::parse(text).unwrap().listed().as_deref(), listed, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_master_cli_is_named() {
        for text in [
            "",
            ",mode,600",
            "nowhere",
            "fd@x",
            "rhttp@b/s",
            "host:80",
            "127.0.0.1:1-9",
            "udp@:9",
            "/m,mode",
            "/m,mode,9",
            "/m,uid,x",
            "/m,level,root",
            "/m,ssl",
            "/m,accept-proxy",
        ] {
            let error = MasterCliAddress::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`-S {text}`")) && !error.ends_with('.'), "{error}");
        }
    }
}
