//! What the kernel counts for a whole network namespace.

use serde::{Deserialize, Serialize};

/// Declares the counters, each with the line and the name that the kernel has for it.
macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident: $line:literal $name:literal;)*) => {
        /// How many times something happened in a network namespace, whichever program it happened to. Unset: this kernel
        /// does not count it, or could not be asked.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct NetworkCounters {
            $($(#[$doc])* pub $field: Option<u64>,)*
        }

        impl NetworkCounters {
            /// As the kernel has them: `value` knows the line (`Tcp`, `TcpExt`) and the name of each.
            pub fn of(value: impl Fn(&str, &str) -> Option<u64>) -> Self {
                Self { $($field: value($line, $name),)* }
            }

            /// What was counted since an earlier time. One that went backwards counts something else by now.
            #[must_use]
            pub fn since(self, earlier: Self) -> Self {
                Self { $($field: difference(self.$field, earlier.$field),)* }
            }
        }
    };
}

counters! {
    /// Packets with RST: to clients that were refused or reset, by the kernel or by a program that closes so.
    resets_sent: "Tcp" "OutRsts";
    /// Established connections that ended by a reset, of either side.
    connections_reset: "Tcp" "EstabResets";
    /// Packets of new connections that a listening socket dropped, for whatever reason.
    listen_drops: "TcpExt" "ListenDrops";
    /// Of these, those for which there was no room among the clients that wait.
    listen_overflows: "TcpExt" "ListenOverflows";
    /// SYNs dropped because too many handshakes were under way.
    requests_dropped: "TcpExt" "TCPReqQFullDrop";
    /// How many times something was sent again because no answer came in time.
    timeouts: "TcpExt" "TCPTimeouts";
    /// Clients of a socket that was closed, which the kernel gave to another one (`net.ipv4.tcp_migrate_req`).
    migrated: "TcpExt" "TCPMigrateReqSuccess";
    /// Clients for which it had none.
    not_migrated: "TcpExt" "TCPMigrateReqFailure";
}

fn difference(later: Option<u64>, earlier: Option<u64>) -> Option<u64> {
    later?.checked_sub(earlier?)
}
