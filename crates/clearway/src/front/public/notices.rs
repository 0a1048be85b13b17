//! What is said about the API.

use clearway_core::failure::Failure;

clearway_core::notices! {
    /// About the API.
    pub enum PublicNotice {
        /// The API listens.
        Info "api.listening" Listening { address: String } => "the API listens at {address}";
        /// The API cannot listen at an address for now; it is tried again.
        Warn "api.not-listening" NotListening { address: String, failure: Failure } => "{}", failure.message;
        /// A process of another user connected to a path that is for root and Clearway's own user.
        Warn "api.foreign" Foreign { address: String, uid: u32 }
            => "a process of uid {uid} was sent away from the API at {address}";
        /// The token cannot be read again; the former one counts.
        Warn "api.token-not-read" TokenNotRead { failure: Failure } => "{}; the former token counts", failure.message;
        /// The API cannot be served.
        Error "api.failed" Failed { error: String } => "the API is not served: {error}";
    }
}
