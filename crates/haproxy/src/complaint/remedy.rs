//! What helps against each cause.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::cause::ComplaintCause;
use crate::configuration::{Configuration, Endpoint, Transport};

impl ComplaintCause {
    /// One line of help, without a period at its end. It is the better if the files are known that HAProxy was
    /// started with.
    pub fn remedy(&self, configuration: Option<&Configuration>) -> Cow<'static, str> {
        match self {
            Self::UserWithRights if configuration.is_none_or(Configuration::is_transparent) => {
                "HAProxy up to 2.9 cannot change its user and use clients' addresses (`usesrc`) at once: leave `user` \
                 and `uid` out, or use HAProxy 3.0 or later"
                    .into()
            }
            Self::UserWithRights => "something in the file needs a right that HAProxy gives up with its user \
                (`set-mark` does): add `setcap cap_net_raw` to `global` (HAProxy 2.9 or later), or leave `user` and \
                `uid` out"
                .into(),
            Self::AddressInUse { address } => {
                format!("another process listens on {address}: stop it or bind another address").into()
            }
            Self::BindDenied { address } if address.starts_with('/') => {
                format!("HAProxy may not create {address}: make its directory writable").into()
            }
            Self::BindDenied { .. } => "a port below 1024 needs a right: add `--cap-add=NET_BIND_SERVICE` to \
                `docker run`, or bind a port from 1024 on"
                .into(),
            Self::AddressNotHere { address, place } => {
                let wants = configuration.map_or(Wants::Bind, |configuration| Wants::of(place, configuration));
                format!("this host does not have {address}: {}", wants.remedy(address, self.address())).into()
            }
            Self::DirectoryMissing { path } => {
                let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
                format!(
                    "the directory {directory} does not exist: create it, or mount one, for example with `--tmpfs \
                     {directory}` at `docker run`"
                )
                .into()
            }
            Self::ReadOnly { path } => {
                let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
                format!(
                    "{directory} is on a file system that is read-only: mount one that can be written, for example with \
                     `--tmpfs {directory}` at `docker run`"
                )
                .into()
            }
            Self::OwnerDenied { path } => format!(
                "to give {path} to another user or group needs a right: add `--cap-add=CHOWN` to `docker run`, or leave \
                 `user`, `uid`, `group` and `gid` out of its line"
            )
            .into(),
            Self::CannotChangeUser => {
                "`user` and `uid` need a right: add `--cap-add=SETUID` to `docker run`, or leave them out".into()
            }
            Self::CannotChangeGroup => {
                "`group` and `gid` need a right: add `--cap-add=SETGID` to `docker run`, or leave them out".into()
            }
            Self::CannotChangeRoot { .. } => {
                "`chroot` needs a right: add `--cap-add=SYS_CHROOT` to `docker run`, or leave it out".into()
            }
            Self::RootMissing { directory } => {
                format!("the directory of `chroot`, {directory} does not exist: create it, or mount one there").into()
            }
            Self::RightNotHeld => "HAProxy may not change its user and keep what `setcap` names: add \
                `--cap-add=SETUID` to `docker run`, and what it names (`--cap-add=NET_RAW`)"
                .into(),
            Self::UnknownKeyword { keyword, .. } if keyword == "setcap" => {
                "`setcap` came with HAProxy 2.9: leave it out, or use a newer HAProxy".into()
            }
            Self::UnknownKeyword { keyword, .. } if keyword == "program" => {
                "HAProxy 3.3 has removed `program`: run it as a service or a container of its own".into()
            }
            Self::UnknownKeyword { keyword, place } => {
                let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
                format!("this HAProxy does not know `{keyword}`{place}: check the spelling and its version").into()
            }
            Self::Certificate { file } => {
                format!("check that {file} exists, and is a PEM file with a certificate and its key").into()
            }
            Self::TooFewFiles { wanted, .. } => format!(
                "HAProxy wants {wanted} open files: add `--ulimit nofile={wanted}` to `docker run`, or lower `maxconn`"
            )
            .into(),
            Self::ConfigurationDenied { path } => {
                format!("make {path} readable for the user that HAProxy is started as").into()
            }
            Self::ConfigurationMissing { path } => format!("check that {path} is mounted there").into(),
            Self::Unresolved { host } => format!(
                "`{host}` has no address yet: add `init-addr last,libc,none` and a `resolvers` section, so that \
                 HAProxy starts without it"
            )
            .into(),
            Self::UnknownUser { name } => {
                format!("the image has no user `{name}`: create it, or name another").into()
            }
            Self::LastLineOpen => "end the last line of the file with a newline".into(),
            Self::SocketsNotReceived => {
                "HAProxy bound its addresses for itself: connections that waited were not handed over".into()
            }
        }
    }

    /// The same where HAProxy was not started as root, if that is what is missing: Docker gives the rights of `--cap-add`
    /// to root only.
    pub fn remedy_as_a_user(&self) -> Option<String> {
        let (flag, or) = match self {
            Self::CannotChangeRoot { .. } => ("SYS_CHROOT", "leave `chroot` out"),
            Self::CannotChangeUser => ("SETUID", "leave `user` and `uid` out"),
            Self::CannotChangeGroup => ("SETGID", "leave `group` and `gid` out"),
            Self::OwnerDenied { .. } => ("CHOWN", "leave `user`, `uid`, `group` and `gid` out of its line"),
            Self::BindDenied { address } if !address.starts_with('/') => {
                ("NET_BIND_SERVICE", "bind a port from 1024 on")
            }
            Self::RightNotHeld => ("SETUID", "leave `user`, `uid` and `setcap` out"),
            _ => return None,
        };
        Some(format!(
            "start it as root, without `--user` at `docker run`, and add `--cap-add={flag}`: Docker gives capabilities \
             to root only; or {or}"
        ))
    }
}

/// The kind of line that wants an address.
enum Wants {
    /// `bind`: Clearway makes the socket where HAProxy takes it.
    Bind,
    /// `dgram-bind`, in `log-forward`.
    Datagrams,
    /// `stats socket`
    Stats,
    /// `peer`, or `server` in `peers`: it takes none of the options of a `bind` line.
    Peer,
}

impl Wants {
    /// By the place that HAProxy names; a `bind` line if it names none.
    fn of(place: &str, configuration: &Configuration) -> Self {
        let datagrams =
            |endpoint: &Endpoint| matches!(endpoint, Endpoint::Ip { transport: Transport::Udp, .. });
        let bind = configuration.binds.iter().find(|bind| bind.span.to_string() == place);
        if let Some(bind) = bind {
            if bind.endpoints.iter().any(datagrams) { Self::Datagrams } else { Self::Bind }
        } else if configuration.stats_sockets.iter().any(|stats| stats.span.to_string() == place) {
            Self::Stats
        } else if place.is_empty() {
            Self::Bind
        } else {
            Self::Peer
        }
    }

    /// What can be done about an address, as HAProxy writes it and as one that can be read.
    fn remedy(&self, address: &str, read: Option<SocketAddr>) -> String {
        let is_ipv6 = read.is_some_and(|address| address.is_ipv6());
        match self {
            Self::Bind if is_ipv6 => {
                "add `v6only` to the bind line, so that Clearway can make the socket for HAProxy, \
                                      or `transparent`"
                    .to_owned()
            }
            Self::Bind => "add the address, or `transparent` to the bind line".to_owned(),
            Self::Datagrams => "add the address, or `transparent` to the `dgram-bind` line".to_owned(),
            Self::Stats => "add the address, or `transparent` to the `stats socket` line".to_owned(),
            Self::Peer => {
                let address = read.map_or_else(|| address.to_owned(), |address| address.to_string());
                let v6only = if is_ipv6 { " v6only" } else { "" };
                format!(
                    "add the address, or write `bind {address}{v6only}` and `server NAME` instead of `peer NAME \
                     {address}`, so that Clearway can make the socket for HAProxy"
                )
            }
        }
    }
}
