//! What is said about listening sockets.

use std::net::SocketAddr;

use clearway_core::count::{Count, some};

/// How many sockets a line names.
const NAMED: usize = 5;

clearway_core::notices! {
    /// About the sockets in custody.
    pub enum CustodyNotice {
        /// The start begins with listening sockets that were kept, `by` a holder or systemd.
        Info "socket.kept-used" KeptUsed { sockets: usize, by: String }
            => "beginning with {} that {by} has kept", Count(*sockets, "listening socket");
        /// What was kept cannot be used.
        Warn "socket.kept-unusable" KeptUnusable { by: String, error: String }
            => "what {by} has kept is of no use here: {error}";
        /// A kept Unix socket is not reachable in this file system: another one is bound.
        Info "socket.bound-anew" BoundAnew { socket: String }
            => "{socket} is bound anew: it is not in this file system";
        /// An address of a `bind` line is not one of this host: Clearway listens there, and HAProxy gets the socket.
        Info "socket.foreign" Foreign { address: SocketAddr, line: String }
            => "{address} ({line}) is not an address of this host: Clearway listens there for HAProxy";
        /// An address of a `bind` line is not one of this host, and Clearway cannot listen there.
        Warn "socket.foreign-failed" ForeignFailed { address: SocketAddr, line: String, error: String }
            => "{address} ({line}) is not an address of this host: {error}";
        /// The listen backlog of sockets was changed to what the configuration says.
        Info "socket.backlog-changed" BacklogChanged { changed: Vec<String> }
            => "listen backlog changed: {}", some(changed, NAMED);
        /// The listen backlog of a socket could not be changed.
        Warn "socket.backlog-unchanged" BacklogUnchanged { socket: String, wanted: u32, error: String }
            => "changing the listen backlog of {socket} to {wanted}: {error}";
        /// The interface that a socket is bound to was deleted and made anew: another socket is bound.
        Warn "socket.interface-gone" InterfaceGone { socket: String, line: Option<String>, interface: String }
            => "the interface `{interface}` was deleted and made anew: the socket of {socket}{} belongs to the former \
                one and hears nothing; a new one is bound", place(line.as_deref());
        /// The path of a Unix socket leads to something else: another one is bound, unless `obstacle` says why not.
        Warn "socket.path-gone" PathGone { socket: String, line: Option<String>, found: String, obstacle: Option<String> }
            => "there is {found} at the path of {socket}{}, so its clients do not reach it{}",
                place(line.as_deref()), bound(obstacle.as_deref());
        /// A socket could not be opened to new connections again.
        Warn "socket.sealed" Sealed { socket: String, error: String }
            => "opening {socket} to new connections again: {error}";
        /// A socket does not listen any more.
        Warn "socket.not-listening" NotListening { socket: String, error: String }
            => "{socket} does not listen any more: {error}";
        /// A socket that no HAProxy uses could not be closed to new connections.
        Warn "socket.unserved" Unserved { socket: String, error: String }
            => "{socket} accepts new clients that no HAProxy will serve: {error}";
    }
}

fn place(line: Option<&str>) -> String {
    line.map_or_else(String::new, |line| format!(" ({line})"))
}

fn bound(obstacle: Option<&str>) -> String {
    match obstacle {
        None => ": a new one is bound".to_owned(),
        Some(obstacle) => {
            format!(", and no other can be bound there: {obstacle}; mend that and reload")
        }
    }
}
