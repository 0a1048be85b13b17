//! What the supervisor is told, and what that carries.

use std::fmt;

use crate::failure::Failure;
use crate::names::Generation;
use crate::notice::{data, parts};
use crate::programs;
use crate::strategy::{Means, Moved};

use super::carried::Carried;
use super::end::End;

/// A request over the admin socket that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// What asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// A signal, by its name (`SIGHUP`): it gets no answer.
    Signal(&'static str),
    /// A request over the admin socket, which is answered.
    Admin(RequestId),
    /// A request for a rollback, which is answered.
    Rollback(RequestId),
    /// `clearway drain`, which looks for itself when Clearway is gone.
    Drain,
    /// HAProxy's own master, which was signalled instead of Clearway: it gets no answer.
    Master,
    /// Files that are watched (`CLEARWAY_WATCH`): they get no answer.
    Watch,
}

impl Asker {
    /// What it is called where programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal(name) => name,
            Self::Admin(_) => "admin-socket",
            Self::Rollback(_) => "rollback",
            Self::Drain => "drain",
            Self::Master => "haproxy-master",
            Self::Watch => "watch",
        }
    }

    /// The request that waits for an answer, if it is one.
    pub(super) fn request(self) -> Option<RequestId> {
        match self {
            Self::Admin(request) | Self::Rollback(request) => Some(request),
            Self::Signal(_) | Self::Drain | Self::Master | Self::Watch => None,
        }
    }

    /// Whether it does not want what is on the disk, but what served before.
    pub(super) fn rolls_back(self) -> bool {
        matches!(self, Self::Rollback(_))
    }

    /// Whether a stop asked for by this one, for the second time, means at once. Asking twice over the
    /// admin socket, or with `SIGUSR1`, means nothing: it drains already.
    pub(super) fn insists(self) -> bool {
        matches!(self, Self::Signal("SIGTERM" | "SIGINT"))
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Admin(_) => f.write_str("the admin socket"),
            Self::Rollback(_) => f.write_str("`clearway rollback`"),
            Self::Master => f.write_str("a signal to HAProxy's own master"),
            Self::Drain => f.write_str("`clearway drain`"),
            Self::Watch => f.write_str("a changed file"),
        }
    }
}

/// Another Clearway of the same name that wants to serve instead of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub u64);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

data! {
    Peer: "number" as |peer| peer.0,
    Asker: "text" as |asker| asker.name(),
}

/// Why another Clearway does not get the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// A third one has them already, and starts from them.
    Busy,
    /// A third one serves by now.
    Superseded,
    /// This one has not served yet.
    NotServing,
    /// It has had them for too long without serving.
    TooLate,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Clearway begins.
    Begin,
    /// A reload is asked for.
    ReloadAsked(Asker),
    /// It is asked that what served before serves again.
    RollbackAsked(RequestId),
    /// It is asked whether a reload would succeed, and what it would change.
    TrialAsked(RequestId),
    /// A stop is asked for: Clearway drains. A second `SIGTERM` or `SIGINT` ends it at once.
    StopAsked(Asker),
    /// It is asked that a generation that drains ends now.
    EndAsked(Generation),
    /// What was read from the disk for a generation is what was read for a former one, whose configuration is remembered.
    SameFiles {
        /// Which generation is prepared.
        generation: Generation,
        /// The former one.
        former: Generation,
    },
    /// [`super::Action::Prepare`] is done.
    Prepared {
        /// Which generation.
        generation: Generation,
        /// Whether its configuration is transparent.
        plumbing: PlumbingDemand,
        /// How many reloads an old generation may outlive while this one serves (`mworker-max-reloads` in its
        /// configuration); unset: as many as there are.
        most_reloads: Option<u32>,
    },
    /// [`super::Action::Launch`] has made a process.
    Started {
        /// Which generation.
        generation: Generation,
        /// HAProxy's master.
        pid: u32,
    },
    /// The new process itself has answered, and it was seen which sockets it uses.
    Proved {
        /// Which generation.
        generation: Generation,
        /// What it proved.
        proof: Proof,
    },
    /// [`super::Action::Carry`] is done, or it is known what could not be had.
    Carried {
        /// To which.
        generation: Generation,
        /// What it has of the state of the servers.
        carried: Carried,
    },
    /// [`super::Action::Switch`] is done: no client waits in a socket that will be closed, as far as that can be had.
    Switched {
        /// To which.
        generation: Generation,
        /// What was done for which socket.
        moved: Vec<Moved>,
    },
    /// The master of a generation has replaced its worker by one that it has started from what is on disk.
    Replaced {
        /// Which generation.
        generation: Generation,
        /// The new worker.
        worker: u32,
    },
    /// What came of [`super::Action::Survey`].
    Surveyed(Vec<Survey>),
    /// Preparing, launching or proving failed.
    Failed {
        /// Which generation.
        generation: Generation,
        /// Why.
        failure: Failure,
    },
    /// A generation that is being started listens where no client waits, because the one that serves has ended, which is told
    /// next: it is not to take its place.
    Misplaced {
        /// Which generation is being started.
        generation: Generation,
        /// Why it is given up.
        failure: Failure,
    },
    /// The master of a generation is gone (and with it its worker). [`Event::LastWords`] follow.
    Exited {
        /// Which generation.
        generation: Generation,
        /// How it ended.
        end: End,
    },
    /// A generation that is gone has been heard to the end, or as long as is worth waiting for: another process
    /// may hold its standard error open.
    LastWords {
        /// Which generation.
        generation: Generation,
        /// What they tell about why it ended; used if it had not been committed.
        failure: Failure,
    },
    /// A generation serves, and its configuration has or had `program` sections.
    Programs {
        /// Which generation.
        generation: Generation,
        /// The sections that count, in the order of the files.
        sections: Vec<programs::ProgramSpec>,
        /// What follows the death of one.
        on_death: programs::OnDeath,
    },
    /// Something happened to the process of a program.
    Program(programs::ProgramEvent),
    /// Another Clearway of this name asks for the sockets.
    TakeoverAsked(Peer),
    /// It serves from them.
    Superseded(Peer),
    /// It has served long enough not to need this one any more.
    SuccessorSettled(Peer),
    /// It is gone without a word, or has given up.
    PeerGone(Peer),
    /// The Clearway that gave this one its sockets is gone.
    PredecessorGone,
    /// It does not wait any longer, and is still serving.
    Withdrawn(Failure),
    /// Nothing but time has passed.
    TimePassed,
}

/// What was seen of a draining generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Which one.
    pub generation: Generation,
    /// How many sessions it has; unset if it did not say.
    pub sessions: Option<u64>,
    /// How many bytes its processes have resident; unset if that could not be read.
    pub memory: Option<u64>,
}

/// Where a generation's configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the files say now.
    Disk,
    /// What they said when this generation read them; it has served.
    Served(Generation),
}

impl Source {
    /// The generation for which the configuration of this one is read: itself, or a former one.
    pub(super) fn read_for(self, generation: Generation) -> Generation {
        match self {
            Self::Disk => generation,
            Self::Served(former) => former,
        }
    }
}

/// Whether a generation needs the transparent plumbing in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlumbingDemand {
    /// Its configuration has `usesrc`.
    Needed,
    /// Nothing in its configuration is transparent.
    NotNeeded,
}

/// What a new generation has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The process that accepts connections.
    pub worker: u32,
    /// The addresses of the listening sockets that it took over from custody (the same inodes).
    pub adopted: Vec<String>,
    /// The addresses of the sockets that it made itself.
    pub fresh: Vec<String>,
    /// The addresses in custody that it does not use.
    pub unclaimed: Vec<String>,
}

impl Proof {
    /// What was done for the clients of every socket that the former generation had and this one has as well: those that
    /// it took over, and those of the switch.
    pub fn all_moved(&self, by_the_switch: Vec<Moved>) -> Vec<Moved> {
        let adopted =
            self.adopted.iter().map(|address| Moved { address: address.clone(), by: Means::Handoff });
        adopted.chain(by_the_switch).collect()
    }

    /// Whether it has no listening socket at all: an empty configuration is one that HAProxy accepts.
    pub fn listens_nowhere(&self) -> bool {
        self.adopted.is_empty() && self.fresh.is_empty()
    }
}

parts! {
    Proof as proof {
        worker: u32 = proof.worker,
        adopted: usize = proof.adopted.len(),
        fresh: usize = proof.fresh.len(),
        unclaimed: Vec<String> = proof.unclaimed.clone(),
    }
}

/// What becomes of a HAProxy that cannot have as many descriptors as it would reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It refuses to start, as HAProxy does.
    Strict,
    /// It starts with fewer (`no strict-limits`): it lacks only those that it would reserve for Clearway.
    Lenient,
}

/// How a generation is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `SIGTERM`: HAProxy closes what is left.
    Terminate,
    /// `SIGKILL`: HAProxy did not even do that.
    Kill,
}
