//! What the observers say themselves.

use clearway_core::cost::Cost;
use clearway_core::count::Count;
use clearway_core::names::Generation;
use clearway_core::settings::Stray;

clearway_core::notices! {
    /// About the log, the settings and systemd.
    pub enum TellNotice {
        /// Standard error was not read fast enough, and lines were lost at this place.
        Warn "log.lost" Lost { pieces: u64 }
            => "lost {} of the log here: standard error was not read fast enough", Count(*pieces, "piece");
        /// What an attempt cost new clients, a second after it.
        Info "generation.cost" Cost { generation: Generation, cost: Cost }
            => "cost of generation {generation}: {cost}";
        /// The pid file named another process that lives.
        Warn "pid-file.of-another" PidFileOfAnother { path: String, pid: u32, hints: Vec<String> }
            => "{path} named process {pid}, which is running; from now on it names this one";
        /// The pid file was a symbolic link to nothing.
        Info "pid-file.was-link" PidFileWasLink { path: String, target: String }
            => "{path} was a symbolic link to {target}, which is not there: it is a file now";
        /// The pid file is a device, and nothing is written there.
        Info "pid-file.device" PidFileIsDevice { path: String }
            => "{path} is a device: no pid is written there";
        /// The pid file could not be written.
        Warn "pid-file.failed" PidFileFailed { path: String, error: String }
            => "the pid could not be written to {path}: {error}";
        /// A variable looks like a setting of Clearway and is none.
        Warn "setting.unknown" UnknownSetting { stray: Stray } => "{stray}";
        /// `NOTIFY_SOCKET` cannot be used.
        Warn "systemd.no-address" NoSystemdAddress
            => "NOTIFY_SOCKET is neither a path nor an abstract name: systemd hears nothing from here";
        /// systemd cannot keep a listening socket.
        Warn "systemd.not-kept" NotKept { socket: String }
            => "systemd does not keep {socket}: its name in the store would be too long";
        /// systemd does not take messages.
        Warn "systemd.silent" SystemdSilent { error: String } => "telling systemd what happens: {error}";
    }
}

clearway_core::notices! {
    /// What was found at a look that is repeated: it is said once, as long as it holds.
    pub enum FoundNotice {
        /// Settings of the configuration are in each other's way.
        Warn "found.settings-fight" Fighting { detail: String, hints: Vec<String> } => "{detail}";
        /// Clients and transparent servers are of different families.
        Warn "found.families-differ" Mismatch { detail: String, hints: Vec<String> } => "{detail}";
        /// What is to be intercepted is not, or is lost.
        Warn "found.not-intercepted" NotIntercepted { detail: String, hints: Vec<String> } => "{detail}";
        /// The kernel lacks what transparent servers at addresses of this host need.
        Warn "found.no-conntrack" NoConntrack { detail: String, hints: Vec<String> } => "{detail}";
        /// The answers of transparent servers will hardly come back here.
        Warn "found.no-way-back" NoWayBack { detail: String, hints: Vec<String> } => "{detail}";
        /// A transparent server is a client as well.
        Warn "found.own-client" OwnClient { detail: String, hints: Vec<String> } => "{detail}";
        /// The plumbing cannot follow the servers.
        Warn "found.not-followed" NotFollowed { detail: String, hints: Vec<String> } => "{detail}";
        /// A socket was bound a second time.
        Warn "found.bound-twice" BoundTwice { detail: String, hints: Vec<String> } => "{detail}";
        /// Another process listens at an address of this HAProxy.
        Warn "found.stranger" Stranger { detail: String, hints: Vec<String> } => "{detail}";
        /// HAProxy's counters could not be written into its `stats-file`.
        Warn "found.counters-not-saved" NotSaved { detail: String, hints: Vec<String> } => "{detail}";
        /// Sessions of an old generation could not be ended, or not all, although their server is down.
        Warn "found.old-sessions" OldSessions { detail: String, hints: Vec<String> }
            => "sessions with servers that are down are not all ended: {detail}";
        /// A line keeps its address, and is not redirected to a private port (`tableflip`).
        Info "found.left-public" LeftPublic { detail: String, hints: Vec<String> } => "{detail}";
    }
}

clearway_core::notices! {
    /// What a client is told that follows events, about these: never in the log.
    pub enum FollowedNotice {
        /// Never in the log: to a follower that asks for events that are not kept any more, with how many these are.
        Warn "events.missed" Missed { number: u64 }
            => "{} missed, too long ago to be kept here", Count(*number, "event");
        /// Never in the log: to a follower that has followed another Clearway, before this one's first event.
        Info "events.begun-anew" BegunAnew { asked: String }
            => "events begin anew: {asked} is of another Clearway";
    }
}
