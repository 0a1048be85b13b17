//! `CLEARWAY_ADMIN`: where the API listens.
//!
//! ```text
//! /run/clearway/api.sock,mode=660,group=monitoring 127.0.0.1:9100 [::1]:9100
//! ```
//!
//! Addresses have blanks between, options of a path commas. A path without options is for root and Clearway's own user; with
//! one its mode decides.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One address of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A Unix socket with a file.
    Unix(AdminPath),
    /// TCP.
    Tcp(SocketAddr),
}

/// A Unix socket, and which users may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPath {
    /// The file.
    pub path: PathBuf,
    /// Its mode.
    pub mode: Option<u32>,
    /// Its owner, a name or a number; unset: Clearway's own user.
    pub user: Option<String>,
    /// Its group, likewise.
    pub group: Option<String>,
}

impl AdminPath {
    /// Whether only root and our own user are let in, whatever the file's mode is.
    pub fn is_for_us(&self) -> bool {
        self.mode.is_none() && self.user.is_none() && self.group.is_none()
    }

    /// The mode of the file: 0600, or 0660 where a group is named, unless it is given.
    pub fn file_mode(&self) -> u32 {
        self.mode.unwrap_or(if self.group.is_some() { 0o660 } else { 0o600 })
    }
}

impl AdminAddress {
    /// Whether a client of another host may come, so that it must show a token.
    pub fn needs_a_token(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (place, options) = text.split_once(',').map_or((text, None), |(place, rest)| (place, Some(rest)));
        if !place.starts_with('/') {
            let address = text.parse().ok().filter(|address: &SocketAddr| address.port() > 0);
            return address.map(Self::Tcp).ok_or_else(|| {
                format!(
                    "`{text}` is neither a path that begins with `/` nor an IP address with a port such as \
                     `127.0.0.1:9100` or `[::1]:9100`"
                )
            });
        }
        let mut admin = AdminPath { path: place.into(), mode: None, user: None, group: None };
        for option in options.into_iter().flat_map(|options| options.split(',')) {
            admin.take(option)?;
        }
        Ok(Self::Unix(admin))
    }
}

impl AdminPath {
    fn take(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("mode", mode)) => {
                let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777);
                self.mode =
                    Some(mode.ok_or_else(|| {
                        format!("`{option}`: expected three octal digits such as `mode=660`")
                    })?);
            }
            Some(("user", user)) if !user.is_empty() => self.user = Some(user.to_owned()),
            Some(("group", group)) if !group.is_empty() => self.group = Some(group.to_owned()),
            _ => {
                return Err(format!(
                    "`{option}` is none of the options of a path: `mode=660`, `user=NAME`, `group=NAME`"
                ));
            }
        }
        Ok(())
    }
}

/// As it is typed, without its options.
impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(admin) => write!(f, "{}", admin.path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// Reads addresses with blanks between.
pub(super) fn addresses(text: &str) -> Result<Vec<AdminAddress>, String> {
    let mut read: Vec<AdminAddress> = Vec::new();
    for word in text.split_whitespace() {
        let address = AdminAddress::parse(word)?;
        if read.iter().any(|other| other.to_string() == address.to_string()) {
            return Err(format!("`{address}` is named twice"));
        }
        read.push(address);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> AdminAddress {
        let [address] = addresses(text).unwrap().try_into().unwrap();
        address
    }

    #[test]
    fn a_path_has_options_and_an_address_a_port() {
        let AdminAddress::Unix(admin) = one("/run/x.sock,mode=640,user=haproxy,group=99") else { panic!() };
        assert_eq!((admin.path, admin.mode), ("/run/x.sock".into(), Some(0o640)));
        assert_eq!((admin.user.as_deref(), admin.group.as_deref()), (Some("haproxy"), Some("99")));
        assert_eq!(one("127.0.0.1:9100"), AdminAddress::Tcp("127.0.0.1:9100".parse().unwrap()));
        let several = addresses(" /run/x.sock  [::1]:9100\t127.0.0.1:9100 ").unwrap();
        assert_eq!(several.len(), 3);
        assert_eq!(several[1].to_string(), "[::1]:9100");
    }

    #[test]
    fn a_path_without_options_is_for_us_alone() {
        for (text, is_for_us, mode) in [
            ("/x", true, 0o600),
            ("/x,mode=666", false, 0o666),
            ("/x,group=monitoring", false, 0o660),
            ("/x,user=haproxy", false, 0o600),
        ] {
            let AdminAddress::Unix(admin) = one(text) else { panic!("{text}") };
            assert_eq!((admin.is_for_us(), admin.file_mode()), (is_for_us, mode), "{text}");
        }
    }

    #[test]
    fn only_what_other_hosts_reach_needs_a_token() {
        for text in ["/x", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!one(text).needs_a_token(), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fd00::1]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(one(text).needs_a_token(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (text, words) in [
            ("localhost:9100", "`localhost:9100` is neither a path"),
            ("x.sock", "`x.sock` is neither a path"),
            ("127.0.0.1", "neither a path"),
            ("127.0.0.1:0", "neither a path"),
            ("127.0.0.1:9100,mode=660", "neither a path"),
            ("/x,mode=999", "three octal digits"),
            ("/x,mode=4755", "three octal digits"),
            ("/x,user=", "`user=` is none of the options"),
            ("/x,level=admin", "`level=admin` is none of the options"),
            ("/x,", "`` is none of the options"),
            ("/x /x,mode=600", "`/x` is named twice"),
        ] {
            let error = addresses(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
