//! What is said about the life of Clearway itself.

use clearway_core::count::Count;
use clearway_core::failure::Failure;
use clearway_core::names::InstanceName;
use clearway_core::strategy::Strategy;

clearway_core::notices! {
    /// About the start and the end.
    pub enum RuntimeNotice {
        /// Clearway begins.
        Info "clearway.starting"
        Starting { version: String, pid: u32, instance: Option<InstanceName>, strategy: Strategy }
            => "clearway {version} begins, pid {pid}, instance {}{}",
                instance.as_ref().map_or("private".to_owned(), |name| format!("`{name}`")), unusual(*strategy);
        /// Clearway cannot begin, or has to leave.
        Error "clearway.failed" Failed { failure: Failure } => "{}", failure.message;
        /// A stop was requested before HAProxy was started.
        Info "stop.before-start" StoppedEarly { by: String }
            => "stop asked for by {by}, before anything was started";
        /// An argument of HAProxy is replaced by what Clearway does.
        Warn "argument.replaced" ArgumentReplaced { detail: String } => "{detail}";
        /// The capability `SYS_MODULE` was given in vain.
        Info "capability.not-needed" SysModuleNotNeeded
            => "SYS_MODULE is not needed: the kernel loads what nftables needs by itself";
        /// A volume was given in vain.
        Info "volume.not-needed" VolumeNotNeeded { path: String }
            => "the volume {path} is not needed: no sysctl is written";
        /// Admin sockets of processes that have ended were removed.
        Info "admin-socket.removed" AdminSocketsRemoved { paths: Vec<String> }
            => "removed the admin sockets of dead predecessors: {}", paths.join(", ");
        /// A holder begins. `after_stop` and `after_loss`: how long it holds then.
        Info "hold.begun" HoldBegun { instance: InstanceName, after_stop: u64, after_loss: u64 }
            => "holding for the instance `{instance}`: for {after_stop} s after a stop, for {after_loss} s after a loss";
        /// `clearway drain` ends a holder.
        Info "hold.stop-requested" HoldStopRequested => "stop asked for by `clearway drain`";
        /// A holder ends, and closes what it holds.
        Info "hold.ended" HoldEnded { sockets: usize }
            => "stopped: no longer holding {}", Count(*sockets, "listening socket");
        /// A holder was told to reload.
        Info "hold.nothing-to-reload" NothingToReload { signal: String }
            => "{signal}: a holder has nothing to reload";
        /// A holder has no admin socket.
        Warn "hold.no-admin-socket" HoldNoAdminSocket { error: String }
            => "the holder cannot be asked how it is: its admin socket: {error}";
        /// A holder has removed what a balancer that was killed left in the kernel.
        Info "hold.swept" HoldSwept { removed: Vec<String> }
            => "removed what it left in the kernel: {}", removed.join(", ");
        /// It could not be removed.
        Warn "hold.not-swept" HoldNotSwept { error: String, hints: Vec<String> } => "{error}";
    }
}

fn unusual(strategy: Strategy) -> String {
    match strategy {
        Strategy::Handoff => String::new(),
        other => format!(", strategy `{other}`"),
    }
}
