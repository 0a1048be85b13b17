//! What systemd hands to a process that it starts (`sd_listen_fds(3)`), and which of it is Clearway's own.
//!
//! Sockets of a socket unit come the same way, and a configuration names them by number (`bind fd@3`): they stay where
//! they are, open for HAProxy. Ours are told by their names, and are close-on-exec from here on.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use clearway_haproxy::getsocks::ReceivedSocket;
use rustix::io::FdFlags;

use crate::custody::held::Names;

/// `SD_LISTEN_FDS_START`.
const FIRST: u16 = 3;

/// The longest name that systemd takes.
const LONGEST: usize = 255;

/// What a name of ours begins with, and the version of what follows.
const OURS: &str = "clearway/1/";

/// Sockets that Clearway had before, and what else was handed over.
#[derive(Debug, Default)]
pub struct Stored {
    sockets: Vec<ReceivedSocket>,
    /// The numbers that they have.
    pub numbers: Vec<u16>,
    /// The names that are in the store, used or not.
    pub names: HashSet<String>,
    /// The inodes of what is not ours.
    pub foreign: HashSet<u64>,
}

impl Stored {
    /// Takes what is ours. To be called once, before anything is opened: the numbers are believed.
    pub fn take(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| variable(name)?.into_string().ok();
        let mut stored = Self::default();
        // Meant for us, and not for a process that has started us.
        if text("LISTEN_PID").as_deref() != Some(&std::process::id().to_string()) {
            return stored;
        }
        let count = text("LISTEN_FDS").and_then(|count| count.parse().ok()).unwrap_or_default();
        let names = text("LISTEN_FDNAMES").unwrap_or_default();
        for (number, name) in (FIRST..=u16::MAX).zip(names.split(':')).take(count) {
            match parse(name) {
                Some(about) => stored.take_one(number, name, about),
                None => stored.foreign.extend(inode(number)),
            }
        }
        stored
    }

    fn take_one(&mut self, number: u16, name: &str, Names { namespace, interface }: Names) {
        self.names.insert(name.to_owned());
        if inode(number).is_none() {
            return;
        }
        // SAFETY: it is open, systemd has made it for this process, and by its name it is ours; nothing else in this
        // process knows of it, and each number is taken once.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::from(number)) };
        if rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC).is_ok() {
            self.numbers.push(number);
            self.sockets.push(ReceivedSocket { fd, namespace, interface });
        }
    }

    /// The sockets, once.
    pub fn take_sockets(&mut self) -> Vec<ReceivedSocket> {
        std::mem::take(&mut self.sockets)
    }
}

fn inode(number: u16) -> Option<u64> {
    std::fs::metadata(format!("/proc/self/fd/{number}")).ok().map(|file| file.ino())
}

/// The name of a socket in the store: different for each, and with all that the socket itself does not tell. Unset if
/// it were longer than systemd takes.
pub fn name(inode: u64, names: &Names) -> Option<String> {
    let name = format!("{OURS}{inode}/{}/{}", escaped(&names.interface), escaped(&names.namespace));
    (name.len() <= LONGEST).then_some(name)
}

/// What a name of ours says.
pub(in crate::tell) fn parse(name: &str) -> Option<Names> {
    let mut parts = name.strip_prefix(OURS)?.split('/');
    parts.next()?.parse::<u64>().ok()?;
    let (interface, namespace) = (plain(parts.next()?)?, plain(parts.next()?)?);
    parts.next().is_none().then_some(Names { namespace, interface })
}

/// Systemd takes no colon, no control character and nothing beyond ASCII.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

fn plain(escaped: &str) -> Option<String> {
    let mut parts = escaped.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
