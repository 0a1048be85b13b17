//! The causes that are known, and how each is recognised.

use std::net::SocketAddr;

/// Why HAProxy did not start, or will not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComplaintCause {
    /// `user` or `uid` together with `usesrc`, `set-mark` or the like, which HAProxy does not take without `setcap`.
    UserWithRights,
    /// Another process has the address.
    AddressInUse {
        /// The address as HAProxy names it.
        address: String,
    },
    /// A port below 1024 without the right to it, or a Unix socket in a directory that may not be written.
    BindDenied {
        /// The address as HAProxy names it.
        address: String,
    },
    /// An address that the host does not have.
    AddressNotHere {
        /// The address as HAProxy names it.
        address: String,
        /// The line that wants it, `file:line`; empty before 2.5, which does not name it.
        place: String,
    },
    /// A Unix socket in a directory that is not there.
    DirectoryMissing {
        /// The path of the socket.
        path: String,
    },
    /// A Unix socket on a file system that is read-only.
    ReadOnly {
        /// The path of the socket.
        path: String,
    },
    /// The owner of a Unix socket may not be changed: `user`, `group` and the like on its line.
    OwnerDenied {
        /// The path of the socket.
        path: String,
    },
    /// `user` or `uid` without the right to change it.
    CannotChangeUser,
    /// `group` or `gid` without the right to change it.
    CannotChangeGroup,
    /// `chroot` without the right to do so, or into a directory that is not there: HAProxy does not say which.
    CannotChangeRoot {
        /// The directory.
        directory: String,
    },
    /// `chroot` into a directory that is not there, as far as its caller has looked: no line of HAProxy tells it.
    RootMissing {
        /// The directory.
        directory: String,
    },
    /// `user` with `setcap`, and either the right to change the user or one that `setcap` names is missing: 3.0
    /// to 3.2 do not say which.
    RightNotHeld,
    /// A keyword that this HAProxy does not know.
    UnknownKeyword {
        /// The keyword.
        keyword: String,
        /// `file:line`, as far as HAProxy says it.
        place: String,
    },
    /// A certificate that cannot be read.
    Certificate {
        /// The file.
        file: String,
    },
    /// The limit of open files is too low for `maxconn` or for the number of listeners.
    TooFewFiles {
        /// How many HAProxy wants.
        wanted: String,
        /// How many it may have.
        limit: String,
    },
    /// A configuration that the user of the process may not read.
    ConfigurationDenied {
        /// The file or directory.
        path: String,
    },
    /// A configuration that is not there.
    ConfigurationMissing {
        /// The file or directory.
        path: String,
    },
    /// The name of a server that cannot be resolved.
    Unresolved {
        /// The name.
        host: String,
    },
    /// A user that the system does not know.
    UnknownUser {
        /// The name.
        name: String,
    },
    /// The last line of a file does not end.
    LastLineOpen,
    /// The listening sockets that Clearway offered did not arrive; with `-W` HAProxy then binds for itself.
    SocketsNotReceived,
}

impl ComplaintCause {
    /// The cause that one line of standard error tells.
    pub(super) fn of(line: &str) -> Option<Self> {
        Self::of_bind(line)
            .or_else(|| Self::of_unix(line))
            .or_else(|| Self::of_rights(line))
            .or_else(|| Self::of_files(line))
    }

    fn of_bind(line: &str) -> Option<Self> {
        let (reason, rest) = after(line, "cannot bind socket (")?.split_once(')')?;
        // `... for [127.0.0.1:80].` since 3.0, `... for [127.0.0.1:80]` or ` [127.0.0.1:80]` before.
        let (_, address) = rest.trim_end_matches(['.', ' ']).strip_suffix(']')?.split_once('[')?;
        let address = address.to_owned();
        let place = || between(line, "Binding [", "]").unwrap_or_default();
        match reason {
            "Address already in use" => Some(Self::AddressInUse { address }),
            "Permission denied" => Some(Self::BindDenied { address }),
            "Cannot assign requested address" => Some(Self::AddressNotHere { address, place: place() }),
            _ => None,
        }
    }

    /// Each step of binding a Unix socket may fail: `cannot bind UNIX socket (WHY) [PATH]`, `error when trying to unlink
    /// previous UNIX socket (WHY) [PATH]` and so on.
    fn of_unix(line: &str) -> Option<Self> {
        let rest = after(line, " UNIX socket")?;
        let (reason, path) = (between(rest, "(", ")")?, between(rest, "[", "]")?);
        match reason.as_str() {
            "Operation not permitted" if rest.contains("ownership") => Some(Self::OwnerDenied { path }),
            "Permission denied" | "Operation not permitted" => Some(Self::BindDenied { address: path }),
            "No such file or directory" => Some(Self::DirectoryMissing { path }),
            "Read-only file system" => Some(Self::ReadOnly { path }),
            _ => None,
        }
    }

    fn of_rights(line: &str) -> Option<Self> {
        let says = |text: &str| line.contains(text);
        Some(if says("require full privileges, so global.uid cannot be changed") {
            Self::UserWithRights
        } else if says("capabilities to preserve using capset()") {
            Self::RightNotHeld
        } else if says("Cannot set uid ") {
            Self::CannotChangeUser
        } else if says("Cannot set gid ") || says("Cannot set supplementary groups") {
            Self::CannotChangeGroup
        } else if let Some(directory) = between(line, "Cannot chroot(", ")") {
            Self::CannotChangeRoot { directory }
        } else if let Some(name) = between(line, "cannot find user id for '", "'") {
            Self::UnknownUser { name }
        } else {
            return None;
        })
    }

    fn of_files(line: &str) -> Option<Self> {
        if let Some(keyword) = between(line, "unknown keyword '", "'") {
            return Some(Self::UnknownKeyword {
                keyword,
                place: between(line, "parsing [", "]").unwrap_or_default(),
            });
        }
        if let Some(rest) = after(line, "Cannot raise FD limit to ") {
            let (wanted, rest) = rest.split_once(',')?;
            // Up to 3.2 `limit is 1024.`; since 3.3 `current limit is 1024 and hard limit is 4096. You may ...`
            let limit = after(rest, "hard limit is ").or_else(|| after(rest, "limit is "))?;
            let limit = limit.chars().take_while(char::is_ascii_digit).collect();
            return Some(Self::TooFewFiles { wanted: wanted.to_owned(), limit });
        }
        if let Some(limit) = between(line, "FD limit (", ")") {
            // `FD limit (8030) too low for maxconn=4000/maxsock=8058. Please raise 'ulimit-n' to 8058 or more`
            let wanted = between(line, "/maxsock=", ".")?;
            return Some(Self::TooFewFiles { wanted, limit });
        }
        let certificate = ["SSL certificate from file '", "unable to load SSL private key from file '"];
        if let Some(file) = certificate.iter().find_map(|start| between(line, start, "'")) {
            return Some(Self::Certificate { file });
        }
        if let Some(rest) = after(line, "pen configuration ") {
            // `Could not open configuration file X : Permission denied`, `Cannot open configuration directory X`
            let rest = rest.split_once(' ').map_or(rest, |(_kind, rest)| rest);
            let (path, reason) = rest.rsplit_once(" : ")?;
            let path = path.to_owned();
            return match reason {
                "Permission denied" => Some(Self::ConfigurationDenied { path }),
                "No such file or directory" => Some(Self::ConfigurationMissing { path }),
                _ => None,
            };
        }
        if let Some(host) = between(line, "could not resolve address '", "'") {
            return Some(Self::Unresolved { host });
        }
        let says = |text: &str| line.contains(text);
        if says("Missing LF on last line") {
            Some(Self::LastLineOpen)
        } else if says("Failed to get the sockets from the old process") {
            Some(Self::SocketsNotReceived)
        } else {
            None
        }
    }

    /// The file that it is about, if it is one that HAProxy makes.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::BindDenied { address: path } => path.starts_with('/').then_some(path),
            _ => None,
        }
    }

    /// The socket address that it is about, if it is about one that can be read.
    pub fn address(&self) -> Option<SocketAddr> {
        let (Self::AddressInUse { address }
        | Self::BindDenied { address }
        | Self::AddressNotHere { address, .. }) = self
        else {
            return None;
        };
        // HAProxy writes IPv6 addresses without brackets.
        let (host, port) = address.rsplit_once(':')?;
        Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
    }
}

fn after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.split_once(start).map(|(_, rest)| rest)
}

fn between(line: &str, start: &str, end: &str) -> Option<String> {
    Some(after(line, start)?.split_once(end)?.0.to_owned())
}
