//! What is said about transparency.

use std::net::SocketAddr;

use clearway_core::count::Count;
use clearway_core::hints::Hints;
use clearway_kernel::plumbing::{RemoveErrors, Swept};

/// What is wrong where no interface but `lo` is left, for people.
pub const GONE: &str = "the network is gone: no interface but `lo` is left (was the container that owns it restarted?); no client \
     can come until this container is restarted, too";

clearway_core::notices! {
    /// About what is in the kernel, and the network between clients and servers.
    pub enum PathNotice {
        /// The transparent plumbing was put into the kernel.
        Info "plumbing.installed" Installed { table: String, mark: String, route_table: String }
            => "transparent plumbing is in the kernel: table inet {table}, mark {mark}, route table {route_table}";
        /// Something about the plumbing is not as usual on this kernel.
        Warn "plumbing.without" Without { detail: String } => "{detail}";
        /// What is intercepted on the way through this host.
        Info "plumbing.intercepts" Intercepts { rules: Vec<String>, fails: String }
            => "intercepted on the way through this host: {} (fails {fails})", rules.join("; ");
        /// The plumbing was changed, because the servers are elsewhere.
        Info "plumbing.followed" Followed { changes: Vec<String> }
            => "the plumbing follows the servers: {}", changes.join(", ");
        /// A part of the plumbing was removed, because nothing needs it.
        Info "plumbing.less" NotNeeded { removed: Vec<String> }
            => "this part of the plumbing is no longer needed: {}", removed.join(", ");
        /// Another program had removed a part of the plumbing.
        Warn "plumbing.repaired" Repaired { put_back: Vec<String>, hints: Vec<String> }
            => "another program had removed a part of the transparent plumbing; put back: {}", put_back.join(", ");
        /// The same happens again and again: it is put back every `pause` seconds at most.
        Warn "plumbing.contested" RemovedAgainAndAgain { pause: u64, hints: Vec<String> }
            => "another program removes the transparent plumbing again and again; it is put back more and more seldom, at \
                most every {pause} s, and transparent connections fail meanwhile";
        /// A part of the plumbing is gone and could not be put back.
        Warn "plumbing.not-repaired" NotRepaired { error: String }
            => "a part of the transparent plumbing is gone and could not be put back: {error}";
        /// After that it could.
        Info "plumbing.looked-at" LookedAt => "the transparent plumbing could be looked at again";
        /// The kernel does not tell what is removed: it is looked every `pause` seconds.
        Warn "plumbing.unwatched" Unwatched { error: String, pause: u64 }
            => "cannot watch for removal of the rules and routes of the transparent plumbing ({error}); checking every \
                {pause} s instead";
        /// Interception could not be ended.
        Warn "plumbing.still-intercepts" StillIntercepts { error: String }
            => "new connections may still be intercepted: {error}";
        /// The plumbing was taken out of the kernel.
        Info "plumbing.removed" Removed => "the transparent plumbing is out of the kernel";
        /// The same, but for the rules that reject what was intercepted.
        Warn "plumbing.closed" Closed
            => "the transparent plumbing is out of the kernel, but for the rules that reject what was intercepted: \
                until the next start, or `clearway cleanup`";
        /// A part of the plumbing could not be removed.
        Error "plumbing.residue" Left { error: String, hints: Vec<String> } => "{error}";
        /// What a dead predecessor left in the kernel was removed.
        Info "plumbing.swept" Swept { removed: Vec<String> }
            => "removed what a dead predecessor left in the kernel: {}", removed.join(", ");
        /// It could not be removed.
        Warn "plumbing.not-swept" NotSwept { error: String, hints: Vec<String> } => "{error}";
        /// The servers are being asked for a while now.
        Info "canary.asking" Asking { done: usize, of: usize }
            => "canary: still asking: {done} of {of} transparent servers are done";
        /// A server answers otherwise than before (a warning: clients are not served).
        Warn or Info if *verdict == "works", "canary.server"
        Server { server: SocketAddr, verdict: String, outcome: String, line: String, hints: Vec<String> }
            => "canary: the server {server}: {outcome}{}",
                if *verdict == "works" { String::new() } else { format!(" ({line})") };
        /// Every server finds the way to clients.
        Info "canary.verified" Verified { servers: usize }
            => "canary: return path verified for {}", Count(*servers, "server");
        /// Of more servers there is news than the log is told, so many were `left_out`.
        Warn "canary.more" More { works: usize, servers: usize, left_out: usize }
            => "canary: return path verified for {works} of {}; {} like those above left out, see `clearway status`",
                Count(*servers, "server"), Count(*left_out, "line");
        /// Something is in the way of transparent connections.
        Warn "obstacle.found" Obstacle { saw: String, hints: Vec<String> }
            => "in the way of transparent connections: {saw}";
        /// It is not any more.
        Info "obstacle.gone" ObstacleGone { saw: String } => "no longer in the way of transparent connections: {saw}";
        /// No interface but `lo` is left.
        Error "network.gone" NetworkGone => "{}", GONE;
    }
}

impl PathNotice {
    /// What was found of dead predecessors, if anything.
    pub fn of_a_sweep(outcome: Result<Swept, RemoveErrors>) -> Option<Self> {
        match outcome {
            Ok(Swept { removed }) => (!removed.is_empty()).then_some(Self::Swept { removed }),
            Err(errors) => Some(Self::NotSwept { error: errors.to_string(), hints: errors.hints() }),
        }
    }
}
