//! What is said about the master CLI.

use clearway_core::failure::Failure;

clearway_core::notices! {
    /// About the master CLI.
    pub enum MasterCliNotice {
        /// The master CLI (`-S`) cannot be had for now; it is tried again.
        Warn "master-cli.not-listening" NotListening { failure: Failure } => "{}", failure.message;
    }
}
