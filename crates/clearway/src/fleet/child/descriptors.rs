//! The numbers that Clearway's descriptors have in every child.

use clearway_haproxy::command_line::ChildFd;
use rustix::process::Rlimit;

/// The numbers that our descriptors have in every child: the lowest that were not given to us. (HAProxy wants
/// numbers below its `maxsock`, which is small if `maxconn` is.)
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    /// HAProxy's end of the private stats socket.
    pub stats: ChildFd,
    /// The overlay.
    pub overlay: ChildFd,
    /// HAProxy's end of the master CLI.
    pub master_cli: ChildFd,
    /// HAProxy's end of the pair over which it asks for its listening sockets.
    pub sockets: ChildFd,
    /// The script that tells Lua the names of the user's files, if there is one.
    pub lua: ChildFd,
    /// Where it writes its pid, if its files name a file for it.
    pub pid_file: ChildFd,
    /// The first copy of a configuration file, if there are any; from here on all are free.
    pub copies: ChildFd,
    /// How many descriptors a child may have: as many as were allowed to us.
    pub limit: Rlimit,
}

impl Descriptors {
    /// To be called before anything is opened: what is open now was given to us, and all but `ours` is for HAProxy.
    /// Without `/proc` nothing is known to be.
    pub fn beside_inherited(ours: &[u16], limit: Rlimit) -> Self {
        let given: Vec<u16> = std::fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|number| !ours.contains(number))
            .collect();
        let mut free = (3..).filter(|number| !given.contains(number)).map(ChildFd);
        let mut next = || free.next().unwrap_or(ChildFd(u16::MAX));
        let (stats, overlay, master_cli, sockets) = (next(), next(), next(), next());
        let (lua, pid_file) = (next(), next());
        // Behind everything that was given, so that they follow one another.
        let last = given.into_iter().max().unwrap_or_default().max(pid_file.0);
        let copies = ChildFd(last.saturating_add(1));
        Self { stats, overlay, master_cli, sockets, lua, pid_file, copies, limit }
    }
}
