//! What the names of our sockets say: of which instance they are, and of what.
//!
//! ```text
//!   web             the Clearway of the instance `web`
//!   _1f2e3d4c       a private one: no instance name has an underscore
//!   web_5a6b7c8d    one of `web` that was superseded, and has sessions left
//!   web_hold        the holder of `web`
//! ```
//!
//! A socket file is called so, with `.sock`; an abstract name has [`ABSTRACT_PREFIX`] before it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;

use clearway_core::names::InstanceName;

/// What every abstract name of ours begins with.
pub const ABSTRACT_PREFIX: &str = "clearway/";

/// Whether a file may be one of ours: an instance name or `_` and eight hexadecimal digits, and `.sock`.
pub fn is_ours(path: &Path) -> bool {
    let stem = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".sock"));
    stem.is_some_and(is_our_name)
}

/// What has a name of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOwner {
    /// The Clearway of an instance, or a private one.
    Balancer,
    /// A Clearway that another one of its name has taken over from.
    Superseded,
    /// The holder of an instance.
    Holder,
}

/// What follows an instance's name and `_` in that of its holder.
const HOLDER: &str = "hold";

/// A name for one that was superseded; there may be several.
pub fn superseded(instance: &InstanceName) -> String {
    format!("{instance}_{:08x}", nonce())
}

/// The name of an instance's holder.
pub fn holder(instance: &InstanceName) -> String {
    format!("{instance}_{HOLDER}")
}

/// What a name says of its owner; none if it is not one of ours.
pub fn owner(name: &str) -> Option<SocketOwner> {
    let digits = |text: &str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match name.split_once('_') {
        None => name.parse::<InstanceName>().is_ok().then_some(SocketOwner::Balancer),
        Some(("", rest)) => digits(rest).then_some(SocketOwner::Balancer),
        Some((instance, _)) if instance.parse::<InstanceName>().is_err() => None,
        Some((_, HOLDER)) => Some(SocketOwner::Holder),
        Some((_, rest)) => digits(rest).then_some(SocketOwner::Superseded),
    }
}

/// Whether a name is one of ours.
pub fn is_our_name(name: &str) -> bool {
    owner(name).is_some()
}

/// Connects to an abstract name of ours.
pub fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(format!("{ABSTRACT_PREFIX}{name}"))?)
}

/// Eight digits that no other process has, most likely.
pub fn nonce() -> u32 {
    let mut bytes = [0_u8; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => u32::from_ne_bytes(bytes),
        _ => std::process::id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_has_it() {
        let web: InstanceName = "web-1".parse().unwrap();
        for (name, expected) in [
            ("web-1", Some(SocketOwner::Balancer)),
            ("_0123abcd", Some(SocketOwner::Balancer)),
            (&holder(&web), Some(SocketOwner::Holder)),
            (&superseded(&web), Some(SocketOwner::Superseded)),
            ("web_", None),
            ("web_held", None),
            ("web_0123abc", None),
            ("WEB_hold", None),
            ("_hold", None),
            ("web_hold_0123abcd", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn a_file_is_ours_by_its_name() {
        for (name, ours) in [
            ("web.sock", true),
            ("_0badcafe.sock", true),
            ("_x.sock", false),
            ("A.sock", false),
            ("web", false),
        ] {
            assert_eq!(is_ours(&Path::new("/run/clearway").join(name)), ours, "{name}");
        }
    }
}
