//! What is said about clients that are diverted.

use std::net::SocketAddr;

use clearway_core::count::Count;
use clearway_core::names::Generation;

clearway_core::notices! {
    /// About clients that are diverted.
    pub enum CutoverNotice {
        /// Sockets that share an address could not be steered, or their steering could not be ended.
        Warn "steering.failed" SteeringFailed { error: String } => "{error}";
        /// The new connections of an address are not steered to the new generation; something else is done for them.
        Info "steering.impossible" NotSteered { why: String } => "new connections are not steered: {why}";
        /// Other processes listened at an address as well, so that the new generation's place is not known.
        Info "steering.crowded" Crowded { address: SocketAddr }
            => "new connections to {address} are not steered: others listened there";
        /// Which clients wait at sockets that are about to be closed could not be asked.
        Warn "switch.unknown" NotMoved { error: String }
            => "clients are not moved away from sockets that are about to be closed: {error}";
        /// Clients of these addresses may be reset in the moment in which the former sockets are closed.
        Warn "switch.unmoved" Unmoved { addresses: Vec<String> }
            => "new clients cannot be moved away from {}, which is about to be closed: a client that connects in that \
                moment is reset (with NET_ADMIN their SYNs are stopped meanwhile, and with `--strategy auto` delayed by \
                milliseconds)", addresses.join(", ");
        /// Clients that did not finish their handshake are not waited for behind a closed gate.
        Info "switch.half-open" HalfOpen { handshakes: usize }
            => "not waiting for {} without progress", Count(*handshakes, "handshake");
        /// The former generation did not accept all clients in time.
        Warn "switch.reset" Resetting { generation: Generation, clients: usize }
            => "resetting {} in sockets that generation {generation} does not use", Count(*clients, "waiting client");
        /// No gate could be closed; what can be had besides is done.
        Info "gate.none" NoGate { error: String } => "SYNs are not stopped while sockets are closed: {error}";
        /// A gate was opened that had dropped SYNs.
        Info "gate.dropped" Dropped { addresses: Vec<String>, milliseconds: u64, dropped: Option<u64> }
            => "SYNs to {} were dropped for {milliseconds} ms{}", addresses.join(", "),
            dropped.map_or_else(String::new, |dropped| format!(": {dropped} dropped"));
        /// A gate was opened that had held SYNs.
        Info "gate.held" HeldUp { addresses: Vec<String>, milliseconds: u64, waited: u64 }
            => "SYNs to {} were held for {milliseconds} ms: {waited} waited", addresses.join(", ");
        /// A gate was open for moments in which it should have been closed.
        Warn "gate.lapsed" Lapsed
            => "meanwhile some may have come through, and be reset: this machine was too slow for them";
        /// A gate was opened although the former generation has not closed its sockets.
        Warn "gate.early" FormerListens
            => "the former generation does not close its sockets: clients that connect now may be reset";
        /// A gate could not be opened; the kernel opens it.
        Warn "gate.stuck" GateFailed { error: String } => "{error}";
        /// The table that redirects clients to private ports is in the kernel.
        Info "redirect.installed" Installed { table: String }
            => "new clients are sent to private ports: table inet {table}; conntrack is on";
        /// Clients are not redirected to the generation that serves.
        Error "redirect.failed" NotRedirected { generation: Generation, error: String, hints: Vec<String> }
            => "clients are not sent to generation {generation}, and are refused: {error}";
        /// Clients are still redirected to a generation that failed.
        Error "redirect.stuck" NotRedirectedBack { error: String, hints: Vec<String> }
            => "new clients are sent to a generation that failed, and are refused: {error}";
        /// Clients are still redirected to ports that are about to be closed.
        Error "redirect.left" StillRedirected { error: String }
            => "new clients are still sent to private ports that are about to be closed: {error}";
        /// The tables of other Clearways could not be listed.
        Warn "redirect.unlisted" TablesUnknown { error: String }
            => "looking for the tables of other Clearways: {error}";
        /// The table could not be removed.
        Error "redirect.residue" NotRemoved { error: String, hints: Vec<String> }
            => "removing the table that sends clients to private ports: {error}";
        /// A process that was there first gets no new clients any more.
        Info "beside.taken" TheirsServed { addresses: Vec<String> }
            => "new connections to {} come here; the process that listened there before gets none any more, and may be \
                stopped", addresses.join(", ");
        /// The processes that were there first have ended.
        Info "beside.ended" TheirsEnded => "the processes that listened here before have ended";
        /// New clients go to the processes again that were there first.
        Info "beside.given-back" GivenBack { addresses: Vec<String> }
            => "new connections to {} go to the process that listened there before", addresses.join(", ");
        /// New clients of an address are shared with another process.
        Info "beside.shared" Shared { why: String } => "new connections are shared with others: {why}";
    }
}
