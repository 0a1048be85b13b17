//! What is in the world: processes, containers, sockets, and what balancers and holders say to each other.

use super::*;

#[derive(Clone, Debug)]
pub enum Message {
    /// The first word of a successor, of a balancer to a holder, of a holder to a balancer.
    Hello(Caller),
    /// What a predecessor or a holder gives.
    Welcome {
        sockets: Vec<Socket>,
        superseded: Vec<(String, Duration)>,
    },
    Refused {
        again: bool,
    },
    Serving,
    Settled,
    /// With the lock and the door.
    Relieved(Vec<Socket>),
    Keep(Vec<Socket>),
    Servers,
    Release {
        at_once: bool,
    },
    /// The other end is gone.
    Closed,
}

#[derive(Clone, Debug)]
pub enum Caller {
    Successor { origin: String },
    Balancer,
    Holder,
}

#[derive(Debug)]
pub struct Conversation {
    /// The process that has begun it, and the one that has accepted it.
    pub ends: [Option<Party>; 2],
    pub queues: [VecDeque<Message>; 2],
    /// How many messages have arrived that are not read yet.
    pub unread: [usize; 2],
    /// When the last message of each queue arrives.
    pub arrives: [Duration; 2],
    pub open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Balancer(Id),
    Holder(Id),
}

/// A HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// It was told to drain, or to end.
    pub leaves: bool,
    pub committed: bool,
    /// Where it listens.
    pub socket: Socket,
}

impl Process {
    pub fn accepts(self) -> bool {
        self.committed && !self.leaves
    }
}

#[derive(Debug)]
pub enum Phase {
    /// It tries to take the name.
    Arriving,
    /// It waits for the answer of the one that has the name.
    Asking(Wire),
    /// It waits for what the holder has.
    AskingHolder(Wire),
    Running,
}

/// What a process has of the name.
#[derive(Debug, Default)]
pub struct Name {
    /// Descriptors of the lock and of the door.
    pub sockets: Vec<Socket>,
    /// What has come with the predecessor's last word.
    pub given: Vec<Socket>,
    /// It accepts at the door, while the gate is open.
    pub at_door: bool,
    pub gate_closed: bool,
}

pub struct Balancer {
    pub container: usize,
    pub alive: bool,
    pub phase: Phase,
    pub arrival: Arrival,
    pub supervisor: Supervisor,
    pub peers: Relations,
    pub begun: Duration,
    /// When it looks at the clock next.
    pub wakes: Duration,
    pub processes: BTreeMap<Generation, Process>,
    pub preparing: BTreeSet<Generation>,
    pub past: Past,
    pub at_run_time: AtRunTime,
    pub custody: Vec<Socket>,
    /// Asked to stop by an operator.
    pub stopped: bool,
    /// Its own stop has begun.
    pub released: bool,
    pub superseded: Option<Vec<(String, Duration)>>,
    pub name: Name,
    pub predecessor: Option<Wire>,
    pub successors: BTreeSet<Wire>,
    pub holder: Option<Wire>,
    /// The holder that has just come.
    pub came: Option<Wire>,
    pub path: PathSide,
    pub cutover: CutoverSide,
    pub costs: CostSide,
}

/// A process that keeps the sockets.
pub struct Holder {
    pub alive: bool,
    pub begun: Duration,
    pub keeping: Keeping<Socket, ()>,
    /// What those have sent that have not ended: all of it is kept.
    pub sent: BTreeMap<BalancerId, Vec<Socket>>,
    /// When it wakes next.
    pub wakes: Duration,
}

pub struct Container {
    pub origin: String,
    pub restarts: bool,
    /// It was stopped by an operator.
    pub stopped: bool,
}

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Lock,
    Door,
    /// Clients of HAProxy.
    Clients,
}
