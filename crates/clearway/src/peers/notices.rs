//! What is said about conversations with other Clearways.

clearway_core::notices! {
    /// About other Clearways.
    pub enum PeersNotice {
        /// The Clearway that serves does not give its listening sockets yet.
        Info "takeover.retried" TakeoverRetried { error: String } => "{error}: asking again";
        /// The holder cannot be asked for listening sockets: the start goes on without.
        Warn "holder.unusable" HolderUnusable { error: String } => "{error}";
    }
}
