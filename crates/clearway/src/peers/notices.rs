//! What is said about conversations with other Clearways.

use clearway_core::count::Count;

clearway_core::notices! {
    /// About other Clearways.
    pub enum PeersNotice {
        /// The Clearway that serves does not give its listening sockets yet.
        Info "takeover.retried" TakeoverRetried { error: String } => "{error}: asking again";
        /// The start begins with the listening sockets of a Clearway that serves.
        Info "takeover.begun" TakeoverBegun { version: String, sockets: usize }
            => "taking over from the Clearway {version} that serves under this name: {}",
                Count(*sockets, "listening socket");
        /// Another Clearway asks for the listening sockets.
        Info "takeover.requested" TakeoverRequested { takeover: u64, version: String }
            => "takeover {takeover} was asked for by a Clearway {version}";
        /// It does not get them now, or may not use them any longer.
        Info "takeover.declined" TakeoverDeclined { takeover: u64, reason: String }
            => "takeover {takeover} was declined: {reason}";
        /// It does not get them at all.
        Warn "takeover.refused" TakeoverRefused { error: String } => "a takeover was refused: {error}";
        /// A conversation with another Clearway failed.
        Warn "takeover.talk-failed" TakeoverTalkFailed { takeover: u64, error: String }
            => "the conversation with the Clearway of takeover {takeover}: {error}";
        /// The listening sockets could not be handed over.
        Warn "takeover.sockets-not-sent" SocketsNotSent { error: String }
            => "handing the listening sockets over to another Clearway: {error}";
        /// The name could not be handed over.
        Warn "takeover.name-not-sent" NameNotSent { error: String }
            => "handing the name over to another Clearway: {error}";
        /// The former Clearway could not be told how far this one is.
        Warn "takeover.predecessor-deaf" PredecessorDeaf { error: String }
            => "telling the Clearway before this one: {error}";
        /// What another Clearway says of the servers is too long.
        Warn "takeover.state-too-long" StateTooLong { most: usize }
            => "the state of servers that another Clearway sends is longer than {most} MiB";
        /// What another Clearway says of the servers cannot be read.
        Warn "takeover.state-unreadable" StateUnreadable { error: String }
            => "what was handed over is of no use: {error}";
        /// A process of another user asked for the listening sockets.
        Warn "peer.foreign" Foreign { uid: u32 }
            => "a process of uid {uid} was sent away: it asked for the listening sockets";
        /// A process asked for the listening sockets, and its user cannot be told.
        Warn "peer.unknown-user" UnknownUser { error: String }
            => "a process whose user cannot be told asked for the listening sockets: {error}";
        /// A process asked for the listening sockets, and is no Clearway that can be understood.
        Warn "peer.sent-away" SentAway { reason: String }
            => "a process that asked for the listening sockets was sent away: {reason}";
        /// No descriptors are left for a conversation.
        Warn "peer.no-descriptors" NoDescriptors => "a takeover was not begun: no descriptors are left";
        /// More processes ask than are heard at a time.
        Warn "peer.too-many" TooMany
            => "too many processes ask for the listening sockets at once: one was sent away";
        /// The holder cannot be asked for listening sockets: the start goes on without.
        Warn "holder.unusable" HolderUnusable { error: String } => "{error}";
        /// The holder has ended.
        Info "holder.gone" HolderGone => "the holder is gone";
        /// The holder cannot be told what serves, and is told nothing more.
        Warn "holder.given-up" HolderGivenUp { error: String } => "the holder is given up: {error}";
        /// The holder does not hear that this is a planned stop.
        Warn "holder.deaf" HolderDeaf
            => "the holder does not listen: it may take this planned stop for a loss";
        /// The name of this instance cannot be listened at.
        Warn "instance.not-listening" NotListening { error: String }
            => "listening under the name of this instance: {error}";
        /// The admin socket cannot be served.
        Warn "admin-socket.unserved" AdminUnserved { error: String } => "the admin socket cannot be served: {error}";
        /// There is no admin socket beside the one of the Clearway that has taken over.
        Warn "admin-socket.none" AdminNone { error: String }
            => "this Clearway cannot be asked any more, how it is: {error}";
        use Holder(HolderNotice);
    }
}

clearway_core::notices! {
    /// What a holder says of its balancers.
    pub enum HolderNotice {
        /// A balancer that starts was given the listening sockets.
        Info "hold.gave" Gave { sockets: usize }
            => "gave {} to a balancer that starts, and still holds them", Count(*sockets, "listening socket");
        /// The listening sockets could not be given.
        Warn "hold.not-given" NotGiven { error: String } => "giving the listening sockets to a balancer: {error}";
        /// What a balancer sent cannot be held.
        Warn "hold.not-held" NotHeld { error: String } => "what a balancer sent is not held: {error}";
        /// A balancer has not sent what it had announced.
        Warn "hold.not-sent" NotSent { error: String } => "a balancer did not send what it announced: {error}";
        /// A balancer that had connected could not be heard.
        Warn "hold.not-heard" NotHeard { error: String } => "a balancer was not heard: {error}";
        /// A conversation with a balancer failed.
        Warn "hold.talk-failed" TalkFailed { error: String } => "the conversation with a balancer: {error}";
        /// Balancers cannot be accepted.
        Warn "hold.not-accepted" NotAccepted { error: String } => "accepting a balancer: {error}";
    }
}
