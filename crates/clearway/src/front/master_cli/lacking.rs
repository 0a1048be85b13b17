//! What keeps the master CLI from listening where `-S` says, as far as that shows without listening: for `check` and `doctor`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::Path;

use clearway_haproxy::configuration::Endpoint;
use clearway_haproxy::master_cli::address::{Account, MasterCliAddress};
use clearway_kernel::listeners::{holders, is_local};

use crate::front::master_cli::socket::beside;
use crate::ground::accounts;
use crate::ground::places::{Missing, Place};

/// Clearway has no other socket for it.
const NO_START: &str = "Clearway would not start";

/// Of an address that may be that of the Clearway whose place is to be taken.
const IN_USE: &str =
    "Clearway would not start beside it (exit code 72), unless that is the one that it takes over from";

/// Of all values of `-S`. It looks at file systems: not to be called in the loop.
pub fn lacking(values: &[OsString]) -> Vec<Missing> {
    values.iter().flat_map(|value| of_one(&value.to_string_lossy())).collect()
}

fn of_one(text: &str) -> Vec<Missing> {
    let address = match MasterCliAddress::parse(text) {
        Ok(address) => address,
        Err(error) => {
            let remedy =
                "a path and options, as in `-S /run/haproxy/master.sock,mode,660,group,haproxy`".to_owned();
            return vec![Missing { saw: error.to_string(), matters: NO_START, remedy, stops: true }];
        }
    };
    let missing = |(saw, remedy, is_used): (String, String, bool)| Missing {
        saw: format!("`-S {text}`: {saw}"),
        matters: if is_used { IN_USE } else { NO_START },
        remedy,
        stops: !is_used,
    };
    let place = match &address.endpoint {
        Endpoint::Unix(path) => of_a_path(path).map(|place| (place.saw, place.remedy, false)),
        Endpoint::Abstract(name) => of_a_name(name),
        endpoint => endpoint.socket_addresses().next().and_then(of_an_address),
    };
    let user = unknown("user", address.user.as_ref(), accounts::user, "/etc/passwd");
    let group = unknown("group", address.group.as_ref(), accounts::group, "/etc/group");
    place.into_iter().chain(user).chain(group).map(missing).collect()
}

fn of_a_path(path: &Path) -> Option<Place> {
    if path.is_dir() {
        let saw = format!("{} is a directory", path.display());
        return Some(Place { saw, remedy: "name a socket in it".to_owned() });
    }
    if let Err(error) = UnixAddress::from_pathname(beside(path)) {
        return Some(Place { saw: error.to_string(), remedy: "name a shorter path".to_owned() });
    }
    Place::of(path.parent().filter(|parent| !parent.as_os_str().is_empty())?)
}

fn of_a_name(name: &str) -> Option<(String, String, bool)> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let is_used = sockets.lines().any(|line| line.split_once(" @").is_some_and(|(_, used)| used == name));
    is_used.then(|| ("this name is in use".to_owned(), "another name, or end what has it".to_owned(), true))
}

fn of_an_address(address: SocketAddr) -> Option<(String, String, bool)> {
    if !is_local(address.ip()) {
        let saw = format!("{} is not an address of this host", address.ip());
        return Some((saw, "name one of this host, or a path".to_owned(), false));
    }
    let holder = holders(address.port(), Some(address.ip())).ok()?.into_iter().next()?;
    Some((holder.to_string(), "another port, or end what has it".to_owned(), true))
}

fn unknown(
    what: &str,
    account: Option<&Account>,
    find: fn(&str) -> Option<u32>,
    table: &str,
) -> Option<(String, String, bool)> {
    let Some(Account::Name(name)) = account else { return None };
    let saw = format!("the {what} `{name}` is not known here");
    find(name).is_none().then(|| (saw, format!("name one of {table}, or its number"), false))
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn saw(text: &str) -> Vec<(String, bool)> {
        lacking(&[text.into()]).into_iter().map(|one| (one.saw, one.stops)).collect()
    }

    #[test]
    fn names_what_an_address_lacks() {
        let name = "clearway-test-lacking";
        let _listener = UnixListener::bind_addr(&UnixAddress::from_abstract_name(name).unwrap()).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        for (text, words, stops) in [
            ("/x,ssl", "not `ssl`", true),
            ("/nowhere-here/m.sock", "the directory /nowhere-here does not exist", true),
            ("/tmp", "/tmp is a directory", true),
            (&format!("/tmp/{}", "x".repeat(100)), "path must be shorter", true),
            ("/tmp/m.sock,user,nosuchuser", "the user `nosuchuser` is not known here", true),
            ("/tmp/m.sock,group,nosuchgroup", "the group `nosuchgroup` is not known here", true),
            ("192.0.2.77:99", "192.0.2.77 is not an address of this host", true),
            (&format!("abns@{name}"), "this name is in use", false),
            (&format!("127.0.0.1:{port}"), "held by ", false),
        ] {
            let found = saw(text);
            let [(said, stop)] = &*found else { panic!("{text}: {found:?}") };
            assert!(said.starts_with(&format!("`-S {text}`: ")) && said.contains(words), "{said}");
            assert_eq!(*stop, stops, "{text}");
        }
        assert_eq!(saw("/tmp/m.sock,uid,4711,group,root,level,operator"), []);
        assert_eq!(saw("fd@7"), []);
        assert_eq!(saw("127.0.0.1:1"), []);
    }
}
