//! A world of Clearways of one name: balancers that come, take over, die and stop, containers that are started again
//! whenever they end, and a holder. All that decides is the core's own ([`Supervisor`], [`Arrival`], [`Fence`],
//! [`Lookout`], [`NAME_OF_THE_DEAD`]); what the shell does with it (`shell::succession` and `hold` in the crate
//! `clearway`) is imagined here, with random delays. Messages of one conversation keep their order, those of two do not.
//!
//! Invariants hold after every step, and more of them when nothing has happened for a while. A failure prints its seed;
//! put it into [`SEEDS_THAT_FAILED`] and mend the rule.

#![allow(
    clippy::needless_pass_by_value,
    clippy::struct_excessive_bools,
    clippy::unchecked_time_subtraction,
    reason = "messages and actions are taken as they come, facts are facts, and the time of the world only grows"
)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use clearway_core::arrival::{Arrival, Heard, NAME_OF_THE_DEAD};
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::fence::Fence;
use clearway_core::lookout::Lookout;
use clearway_core::names::Generation;
use clearway_core::patience::Persistence;
use clearway_core::supervisor::{
    Action, Asker, Budget, Carried, Declined, End, Event, How, Limits, Peer, Plumbing, Proof, Source,
    Supervisor, Unclean,
};

mod balancer;
mod chance;
mod holder;
mod kernel;
mod promises;

/// Seeds that once broke an invariant: they stay.
const SEEDS_THAT_FAILED: &[u64] = &[652];

const LIMITS: Limits = Limits {
    stop_delay: Duration::ZERO,
    drain: Duration::from_secs(20),
    takeover_drain: Duration::from_secs(40),
    ready: Duration::from_secs(10),
    settle: Duration::from_millis(200),
    old: Budget { generations: 5, age: None, memory: None },
};

/// How long a superseded container stays away.
const BACK: Duration = Duration::from_mins(10);

/// How long it takes until everything has come to rest after the last thing that happened by chance: drains, the
/// probation, pauses of a HAProxy that keeps dying, and of containers that are started again.
const REST: Duration = Duration::from_mins(5);

/// How many messages balancers may send each other while the world rests: the end of what was under way, and a container
/// that is turned away again and again.
const MOST_MESSAGES_AT_REST: usize = 1_000;

/// How many things may happen between two that happen by chance, or while the world rests.
const MOST_STEPS: usize = 300_000;

/// The number of one process.
type Id = usize;
/// The number of a conversation.
type Wire = usize;

#[derive(Clone, Debug)]
enum Message {
    /// A successor asks.
    Hello {
        origin: String,
    },
    /// A balancer tells the holder, or the other way round, that it is there.
    Greeting,
    Welcome {
        sockets: bool,
        superseded: Vec<(String, Duration)>,
    },
    Refused {
        again: bool,
    },
    Serving,
    Settled,
    Relieved,
    Keep,
    Release,
    /// The other end is gone.
    Closed,
}

#[derive(Debug)]
struct Conversation {
    /// Who has begun it, and who has accepted it.
    ends: [Option<Party>; 2],
    queues: [VecDeque<Message>; 2],
    /// How many messages have arrived before it was accepted.
    unread: usize,
    /// When the last message of each queue arrives.
    arrives: [Duration; 2],
    open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Balancer(Id),
    Holder(Id),
}

/// What is going to happen.
#[derive(Debug)]
enum Happening {
    /// A process tries to take the name.
    Arrive(Id),
    /// The first message of a queue arrives.
    Deliver(Wire, usize),
    /// Something for the supervisor of a process.
    Tell(Id, Event),
    /// A HAProxy ends as it was told to.
    Ends(Id, Generation),
    /// A process looks at the clock.
    Wake(Id),
    /// A successor tries to take the name of its dead predecessor.
    TryForTheName(Id),
    /// An answer is not waited for any longer.
    GivesUp(Id, Wire),
    /// A container is started again.
    StartAgain(usize),
    /// The holder looks for a balancer, or at its clock.
    HolderWakes(Id),
}

/// A HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    /// It was told to drain, or to end.
    leaves: bool,
    committed: bool,
}

#[derive(Debug)]
enum Phase {
    /// It tries to take the name.
    Arriving,
    /// It waits for the answer of the one that has the name.
    Asking(Wire),
    Running,
}

struct Balancer {
    container: usize,
    alive: bool,
    phase: Phase,
    arrival: Arrival,
    supervisor: Supervisor,
    begun: Duration,
    processes: BTreeMap<Generation, Process>,
    preparing: BTreeSet<Generation>,
    custody: bool,
    committed_once: bool,
    /// Asked to stop by an operator.
    stopped: bool,
    /// Its own stop has begun.
    released: bool,
    fence: Fence,
    inherited: Vec<(String, Duration)>,
    /// Descriptors of the lock and of the door.
    has_name: bool,
    gate: bool,
    /// It has given everything back to its predecessor, the name included.
    parted: bool,
    taking: Persistence,
    /// It had no name when its predecessor had died, and another one has it.
    name_was_taken: bool,
    predecessor: Option<Wire>,
    successors: BTreeSet<Wire>,
    holder: Option<Wire>,
}

/// Keeps the sockets: the rules of `hold::store`.
struct Holder {
    alive: bool,
    begun: Duration,
    lookout: Lookout,
    sockets: bool,
    owner: Option<Wire>,
    /// Those that serve as far as is known, the owner among them.
    serving: BTreeSet<Wire>,
    until: Option<Duration>,
    /// When it wakes next.
    wakes: Duration,
}

struct Container {
    origin: String,
    restarts: bool,
    /// It was stopped by an operator.
    stopped: bool,
}

struct World {
    random: fastrand::Rng,
    now: Duration,
    next: u64,
    agenda: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    balancers: Vec<Balancer>,
    /// Those of them that are alive.
    living: Vec<Id>,
    holders: Vec<Holder>,
    containers: Vec<Container>,
    wires: Vec<Conversation>,
    /// Conversations that nobody has accepted yet.
    knocking: Vec<Wire>,
    /// The name is on its way in this conversation.
    name_in_flight: Option<Wire>,
    good_file: bool,
    messages: usize,
    rests: bool,
    trace: Vec<String>,
}

impl World {
    fn run(seed: u64) -> Result<(), String> {
        let mut world = Self::new(seed);
        world.start_container();
        for _ in 0..60 {
            let pause = Duration::from_millis(world.random.u64(0..8_000));
            world.let_pass(pause)?;
            world.something_happens();
            world.check()?;
        }
        // From here on only what was begun goes on.
        world.good_file = true;
        if !world.balancers.iter().any(|one| one.alive && !one.stopped) {
            world.start_container();
        }
        world.let_pass(REST)?;
        (world.rests, world.messages) = (true, 0);
        world.let_pass(REST)?;
        world.check_at_rest().map_err(|what| format!("{what}\n{}", world.trace.join("\n")))
    }

    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            now: Duration::ZERO,
            next: 0,
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            balancers: Vec::new(),
            living: Vec::new(),
            holders: Vec::new(),
            containers: Vec::new(),
            wires: Vec::new(),
            knocking: Vec::new(),
            name_in_flight: None,
            good_file: true,
            messages: 0,
            rests: false,
            trace: Vec::new(),
        }
    }

    pub fn note(&mut self, what: String) {
        self.trace.push(format!("{:>9.3} {what}", self.now.as_secs_f64()));
    }

    pub fn at(&mut self, delay: Duration, happening: Happening) {
        self.next += 1;
        self.agenda.push(Reverse((self.now + delay, self.next)));
        self.happenings.insert(self.next, happening);
    }

    pub fn soon(&mut self) -> Duration {
        // Mostly at once; now and then a machine is busy.
        let most = if self.random.u8(0..10) == 0 { 3_000 } else { 30 };
        Duration::from_millis(self.random.u64(0..most))
    }

    pub fn let_pass(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.now + duration;
        let mut steps = 0;
        while let Some(Reverse((at, number))) = self.agenda.peek().copied() {
            if at > end {
                break;
            }
            steps += 1;
            if steps > MOST_STEPS {
                return Err(format!("no end within {steps} steps\n{}", self.trace.join("\n")));
            }
            self.agenda.pop();
            self.now = self.now.max(at);
            if let Some(happening) = self.happenings.remove(&number) {
                self.happens(happening);
                self.check().map_err(|what| format!("{what}\n{}", self.trace.join("\n")))?;
            }
        }
        self.now = end;
        Ok(())
    }

    pub fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(id) => self.arrive(id),
            Happening::Deliver(wire, side) => self.deliver(wire, side),
            Happening::Tell(id, event) => self.tell_if_it_lives(id, event),
            Happening::Ends(id, generation) => self.process_ends(id, generation, End::Clean),
            Happening::Wake(id) => self.tell_if_it_lives(id, Event::TimePassed),
            Happening::TryForTheName(id) => self.try_for_the_name(id),
            Happening::GivesUp(id, wire) => {
                if self.balancers[id].alive
                    && matches!(self.balancers[id].phase, Phase::Asking(asked) if asked == wire)
                {
                    self.dies(id, Some(ExitCode::InstanceTaken));
                }
            }
            Happening::StartAgain(container) => {
                if !self.containers[container].stopped {
                    self.start_process(container);
                }
            }
            Happening::HolderWakes(id) => self.holder_wakes(id),
        }
    }
}

/// The number of a takeover is that of its conversation.
fn wire_of(peer: Peer) -> Wire {
    usize::try_from(peer.0).unwrap_or(Wire::MAX)
}

#[test]
fn whatever_happens_one_of_a_name_serves() {
    let seeds = SEEDS_THAT_FAILED.iter().copied().chain(0..1_000);
    for seed in seeds {
        if let Err(what) = World::run(seed) {
            panic!("seed {seed}: {what}");
        }
    }
}
