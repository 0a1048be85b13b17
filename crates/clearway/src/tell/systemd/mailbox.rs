//! The way to systemd: datagrams, sent one after the other by a thread of its own. systemd may be slow to read (it
//! executes itself anew at an update), and the loop waits for nothing.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::debug;
use crate::ground::aside::Queue;
use crate::ground::notice::tell;
use crate::tell::notices::TellNotice;
use crate::tell::systemd::stored::{self, Stored};

/// How long systemd may take to make room for one message.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// What is to be sent.
#[derive(Debug)]
pub enum Letter {
    /// Assignments, one a line.
    Say(String),
    /// All that the store is to hold from now on.
    Keep(Arc<Sockets>),
}

/// Where letters go.
#[derive(Debug)]
pub struct Mailbox(Queue<Letter>);

impl Mailbox {
    /// The one that `NOTIFY_SOCKET` names. Unset, and said, where that is nothing that can be used.
    pub fn at(address: &OsStr, stored: &Stored) -> Option<Self> {
        let to = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name).ok(),
            path @ [b'/', ..] => SocketAddrUnix::new(path).ok(),
            _ => None,
        };
        let Some(to) = to else {
            tell(&TellNotice::NoSystemdAddress);
            return None;
        };
        let (names, foreign) = (stored.names.clone(), stored.foreign.clone());
        let mut post = Post { to, in_store: names, foreign, is_heard: true };
        Queue::begin("telling systemd what happens", move |letter| post.deliver(letter)).map(Self)
    }

    /// Sends it, some time soon.
    pub fn post(&self, letter: Letter) {
        self.0.put(letter);
    }
}

/// The thread's own.
struct Post {
    to: SocketAddrUnix,
    /// The names in the store.
    in_store: HashSet<String>,
    /// What systemd has anyway, for a socket unit.
    foreign: HashSet<u64>,
    is_heard: bool,
}

impl Post {
    fn deliver(&mut self, letter: Letter) {
        match letter {
            Letter::Say(text) => self.send(&text, None),
            Letter::Keep(sockets) => self.keep(sockets.all()),
        }
    }

    /// One message for each socket: a name is of a message, and names are what can be removed. What goes is removed
    /// first: there is no room for more than `FileDescriptorStoreMax=`, and a socket that is in the store does not get
    /// there under another name.
    fn keep(&mut self, sockets: &[Held]) {
        let mut wanted = HashMap::new();
        for held in sockets {
            let inode = held.identity.inode.0;
            if self.foreign.contains(&inode) {
                continue;
            }
            match stored::name(inode, &held.names()) {
                Some(name) => drop(wanted.insert(name, held)),
                None => tell(&TellNotice::NotKept { socket: held.identity.to_string() }),
            }
        }
        let former = std::mem::take(&mut self.in_store);
        for name in former.iter().filter(|name| !wanted.contains_key(*name)) {
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), None);
        }
        for (name, held) in wanted {
            if !former.contains(&name) {
                // An error that a socket has for a moment is no reason for systemd to drop it.
                self.send(&format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n"), Some(held.descriptor()));
            }
            self.in_store.insert(name);
        }
    }

    fn send(&mut self, text: &str, descriptor: Option<BorrowedFd<'_>>) {
        match send(&self.to, text, descriptor) {
            Ok(()) => self.is_heard = true,
            // Said once, not at every message.
            Err(error) if self.is_heard => {
                tell(&TellNotice::SystemdSilent { error: error.to_string() });
                self.is_heard = false;
            }
            Err(error) => debug!("telling systemd what happens: {error}"),
        }
    }
}

/// By a socket of its own: systemd's is another one after `systemctl daemon-reexec`.
fn send(to: &SocketAddrUnix, text: &str, descriptor: Option<BorrowedFd<'_>>) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    connect(&socket, to)?;
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&PATIENCE)) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
}
