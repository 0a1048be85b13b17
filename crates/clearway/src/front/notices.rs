//! What is said about requests.

use std::time::Duration;

clearway_core::notices! {
    /// About the admin socket.
    pub enum FrontNotice {
        /// A process of another user asked something.
        Warn "admin-socket.foreign" Foreign { uid: u32 }
            => "a process of uid {uid} was sent away from the admin socket";
        /// Nothing more is accepted at the admin socket.
        Error "admin-socket.ended" Ended { error: String } => "the admin socket is served no more: {error}";
        /// A client did not read its answer, or the events that it follows, and its connection was closed.
        Warn "admin-socket.not-read" NotRead { pid: Option<u32>, waited: Duration }
            => "{} did not read what it had asked for at the admin socket within {} s: its connection is closed",
            pid.map_or_else(|| "a process of another container".to_owned(), |pid| format!("process {pid}")), waited.as_secs();
    }
}
