//! What is said about requests.

clearway_core::notices! {
    /// About the admin socket.
    pub enum FrontNotice {
        /// A process of another user asked something.
        Warn "admin-socket.foreign" Foreign { uid: u32 }
            => "a process of uid {uid} was sent away from the admin socket";
        /// Nothing more is accepted at the admin socket.
        Error "admin-socket.ended" Ended { error: String } => "the admin socket is served no more: {error}";
    }
}
