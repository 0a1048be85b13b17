//! What is said about the life of Clearway itself.

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
    }
}

fn unusual(strategy: Strategy) -> String {
    match strategy {
        Strategy::Handoff => String::new(),
        other => format!(", strategy `{other}`"),
    }
}
