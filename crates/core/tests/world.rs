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
use clearway_core::fence::Fence;
use clearway_core::lookout::Lookout;
use clearway_core::names::Generation;
use clearway_core::patience::Persistence;
use clearway_core::supervisor::{
    Action, Asker, Budget, Carried, Declined, End, Event, Failure, How, Limits, Peer, Plumbing, Proof,
    Source, Supervisor, Unclean,
};

/// Seeds that once broke an invariant: they stay.
const SEEDS_THAT_FAILED: &[u64] = &[];

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

    fn note(&mut self, what: String) {
        self.trace.push(format!("{:>9.3} {what}", self.now.as_secs_f64()));
    }

    fn at(&mut self, delay: Duration, happening: Happening) {
        self.next += 1;
        self.agenda.push(Reverse((self.now + delay, self.next)));
        self.happenings.insert(self.next, happening);
    }

    fn soon(&mut self) -> Duration {
        // Mostly at once; now and then a machine is busy.
        let most = if self.random.u8(0..10) == 0 { 3_000 } else { 30 };
        Duration::from_millis(self.random.u64(0..most))
    }

    fn let_pass(&mut self, duration: Duration) -> Result<(), String> {
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

    fn happens(&mut self, happening: Happening) {
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

    // What happens by chance.

    fn something_happens(&mut self) {
        match self.random.u8(0..14) {
            0 | 1 if self.living.len() < 4 => self.start_container(),
            2 => {
                if let Some(id) = self.some_balancer() {
                    self.note(format!("balancer {id} is killed"));
                    self.dies(id, None);
                }
            }
            3 => {
                if let Some(id) = self.some_balancer().filter(|_| self.random.bool()) {
                    self.note(format!("balancer {id} is told to stop"));
                    let container = self.balancers[id].container;
                    self.containers[container].stopped = true;
                    self.balancers[id].stopped = true;
                    self.tell_if_it_lives(id, Event::StopAsked(Asker::Signal("SIGTERM")));
                }
            }
            4 | 5 => {
                if let Some(id) = self.some_balancer() {
                    self.tell_if_it_lives(id, Event::ReloadAsked(Asker::Signal("SIGHUP")));
                }
            }
            6 | 7 => {
                if let Some(id) = self.some_balancer() {
                    let one = self.random.usize(0..self.balancers[id].processes.len().max(1));
                    let generation = self.balancers[id].processes.keys().nth(one).copied();
                    if let Some(generation) = generation {
                        self.note(format!("generation {generation} of balancer {id} crashes"));
                        self.process_ends(id, generation, End::Unclean(Unclean::Code(139)));
                    }
                }
            }
            8 => self.good_file = !self.good_file,
            9 if !self.holders.iter().any(|one| one.alive) => self.start_holder(),
            10 => {
                let alive = self.holders.iter().position(|one| one.alive);
                if let Some(id) = alive.filter(|_| self.random.u8(0..3) == 0) {
                    self.note(format!("holder {id} is killed"));
                    self.holders[id].alive = false;
                    self.close_all_of(Party::Holder(id));
                }
            }
            _ => {}
        }
    }

    fn some_balancer(&mut self) -> Option<Id> {
        (!self.living.is_empty()).then(|| self.living[self.random.usize(0..self.living.len())])
    }

    fn start_container(&mut self) {
        let container = self.containers.len();
        let restarts = self.random.bool();
        self.containers.push(Container { origin: format!("c{container}"), restarts, stopped: false });
        self.start_process(container);
    }

    fn start_process(&mut self, container: usize) {
        let id = self.balancers.len();
        self.note(format!("balancer {id} starts in container {container}"));
        self.balancers.push(Balancer {
            container,
            alive: true,
            phase: Phase::Arriving,
            arrival: Arrival::default(),
            supervisor: Supervisor::new(LIMITS),
            begun: self.now,
            processes: BTreeMap::new(),
            preparing: BTreeSet::new(),
            custody: false,
            committed_once: false,
            stopped: false,
            released: false,
            fence: Fence::new(BACK),
            inherited: Vec::new(),
            has_name: false,
            gate: true,
            parted: false,
            taking: NAME_OF_THE_DEAD,
            name_was_taken: false,
            predecessor: None,
            successors: BTreeSet::new(),
            holder: None,
        });
        self.living.push(id);
        let delay = self.soon();
        self.at(delay, Happening::Arrive(id));
    }

    fn start_holder(&mut self) {
        let id = self.holders.len();
        self.note(format!("holder {id} starts"));
        self.holders.push(Holder {
            alive: true,
            begun: self.now,
            lookout: Lookout::default(),
            sockets: false,
            owner: None,
            serving: BTreeSet::new(),
            until: None,
            wakes: Duration::MAX,
        });
        self.holder_wakes(id);
    }

    // The kernel: the name, conversations, and what ends with a process.

    fn name_is_taken(&self) -> bool {
        self.name_in_flight.is_some() || self.living.iter().any(|id| self.balancers[*id].has_name)
    }

    /// The name, or what is left of it, has lost a descriptor, or is listened to by another one.
    fn look_at_the_knocking(&mut self) {
        if !self.name_is_taken() {
            for wire in std::mem::take(&mut self.knocking) {
                self.hang_up(wire);
            }
            return;
        }
        let door = self.living.iter().copied().find(|id| {
            let one = &self.balancers[*id];
            one.has_name && one.gate && matches!(one.phase, Phase::Running)
        });
        if let Some(id) = door {
            for wire in std::mem::take(&mut self.knocking) {
                self.wires[wire].ends[1] = Some(Party::Balancer(id));
                for _ in 0..std::mem::take(&mut self.wires[wire].unread) {
                    self.at(Duration::ZERO, Happening::Deliver(wire, 1));
                }
            }
        }
    }

    fn knock(&mut self, party: Party, first: Message) -> Wire {
        let wire = self.open(party, None);
        self.knocking.push(wire);
        self.say(wire, 0, first);
        self.look_at_the_knocking();
        wire
    }

    fn open(&mut self, from: Party, to: Option<Party>) -> Wire {
        self.wires.push(Conversation {
            ends: [Some(from), to],
            queues: [VecDeque::new(), VecDeque::new()],
            unread: 0,
            arrives: [self.now; 2],
            open: true,
        });
        self.wires.len() - 1
    }

    /// A message from this side to the other one.
    fn say(&mut self, wire: Wire, from: usize, message: Message) {
        if !self.wires[wire].open {
            return;
        }
        self.messages += 1;
        self.send(wire, 1 - from, message);
    }

    fn send(&mut self, wire: Wire, to: usize, message: Message) {
        let delay = self.soon();
        let at = self.wires[wire].arrives[to].max(self.now + delay);
        self.wires[wire].arrives[to] = at;
        self.wires[wire].queues[to].push_back(message);
        self.at(at - self.now, Happening::Deliver(wire, to));
    }

    /// Either side, or its process, has closed it: what was said before is heard by the other one, then the end.
    fn hang_up(&mut self, wire: Wire) {
        if std::mem::replace(&mut self.wires[wire].open, false) {
            for side in 0..2 {
                self.send(wire, side, Message::Closed);
            }
        }
    }

    fn close_all_of(&mut self, party: Party) {
        for wire in 0..self.wires.len() {
            if self.wires[wire].ends.contains(&Some(party)) {
                self.hang_up(wire);
            }
        }
    }

    fn deliver(&mut self, wire: Wire, side: usize) {
        // It is not accepted yet: the message waits in the socket.
        let Some(party) = self.wires[wire].ends[side] else {
            self.wires[wire].unread += 1;
            return;
        };
        let Some(message) = self.wires[wire].queues[side].pop_front() else { return };
        if matches!(message, Message::Relieved) {
            self.name_in_flight.take_if(|one| *one == wire);
        }
        match party {
            Party::Balancer(id) if self.balancers[id].alive => self.balancer_hears(id, wire, side, message),
            Party::Holder(id) if self.holders[id].alive => self.holder_hears(id, wire, message),
            _ => self.look_at_the_knocking(),
        }
    }

    /// Its process is gone: killed, or with an exit code.
    fn dies(&mut self, id: Id, code: Option<ExitCode>) {
        self.balancers[id].alive = false;
        self.living.retain(|one| *one != id);
        self.balancers[id].processes.clear();
        self.close_all_of(Party::Balancer(id));
        // What was sent to it and not read is closed with it.
        if let Some(wire) = self.name_in_flight
            && self.wires[wire].ends[0] == Some(Party::Balancer(id))
        {
            self.name_in_flight = None;
        }
        self.look_at_the_knocking();
        let container = self.balancers[id].container;
        self.note(format!("balancer {id} is gone ({code:?})"));
        if self.containers[container].restarts && !self.containers[container].stopped {
            let pause = Duration::from_secs(self.random.u64(1..10));
            self.at(pause, Happening::StartAgain(container));
        }
    }

    // A balancer before it runs: `run::begin`.

    fn arrive(&mut self, id: Id) {
        if !self.balancers[id].alive {
            return;
        }
        if !self.name_is_taken() {
            self.balancers[id].has_name = true;
            self.begin(id);
            return;
        }
        let origin = self.origin(id);
        let wire = self.knock(Party::Balancer(id), Message::Hello { origin });
        self.balancers[id].phase = Phase::Asking(wire);
        self.at(LIMITS.ready, Happening::GivesUp(id, wire));
    }

    fn origin(&self, id: Id) -> String {
        self.containers[self.balancers[id].container].origin.clone()
    }

    fn tries_again(&mut self, id: Id, heard: Heard) {
        self.balancers[id].phase = Phase::Arriving;
        match self.balancers[id].arrival.hear(heard) {
            Some(pause) => self.at(pause, Happening::Arrive(id)),
            None => self.dies(id, Some(ExitCode::InstanceTaken)),
        }
    }

    fn begin(&mut self, id: Id) {
        self.balancers[id].phase = Phase::Running;
        if let Some(holder) = self.holders.iter().position(|one| one.alive) {
            let wire = self.open(Party::Balancer(id), Some(Party::Holder(holder)));
            // What the holder has is asked for before anything else, and waited for.
            self.balancers[id].custody |= self.holders[holder].sockets;
            self.balancers[id].holder = Some(wire);
            self.say(wire, 0, Message::Greeting);
        }
        self.look_at_the_knocking();
        self.tell(id, Event::Begin);
    }

    // A balancer that runs: `shell` and `shell::succession`.

    fn tell_if_it_lives(&mut self, id: Id, event: Event) {
        if self.balancers[id].alive && matches!(self.balancers[id].phase, Phase::Running) {
            self.tell(id, event);
        } else if self.balancers[id].alive && matches!(event, Event::StopAsked(_)) {
            self.dies(id, Some(ExitCode::Done));
        }
    }

    fn tell(&mut self, id: Id, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now - self.balancers[id].begun;
            for action in self.balancers[id].supervisor.step(event, now) {
                if let Action::Exit(code) = action {
                    return self.dies(id, Some(code));
                }
                events.extend(self.carry_out(id, action));
            }
        }
        let balancer = &self.balancers[id];
        if let Some(deadline) = balancer.supervisor.next_deadline() {
            let at = (balancer.begun + deadline).max(self.now);
            self.at(at - self.now, Happening::Wake(id));
        }
    }

    fn carry_out(&mut self, id: Id, action: Action) -> Option<Event> {
        let delay = self.soon();
        match action {
            Action::Prepare(generation, source) => {
                self.balancers[id].preparing.insert(generation);
                let event = if source == Source::Disk && !self.good_file {
                    let failure = Failure::new(ExitCode::ConfigurationRefused, "made up");
                    Event::Failed { generation, failure }
                } else {
                    let plumbing = Plumbing::NotNeeded;
                    Event::Prepared { generation, plumbing, most_reloads: None }
                };
                self.at(delay, Happening::Tell(id, event));
            }
            Action::Launch(generation) => {
                let process = Process { leaves: false, committed: false };
                self.balancers[id].processes.insert(generation, process);
                let adopted = vec!["127.0.0.1:80".to_owned()];
                let proof = Proof { worker: 1, adopted, fresh: Vec::new(), unclaimed: Vec::new() };
                self.at(delay, Happening::Tell(id, Event::Proved { generation, proof }));
                return Some(Event::Started { generation, pid: 1 });
            }
            Action::Abandon(generation) => {
                self.balancers[id].preparing.remove(&generation);
            }
            Action::Carry(generation) => {
                return Some(Event::Carried { generation, carried: Carried::default() });
            }
            Action::Switch(generation) => {
                return Some(Event::Switched { generation, moved: Vec::new() });
            }
            Action::Commit(generation) => {
                self.note(format!("balancer {id} commits generation {generation}"));
                let balancer = &mut self.balancers[id];
                (balancer.custody, balancer.committed_once) = (true, true);
                if let Some(process) = balancer.processes.get_mut(&generation) {
                    process.committed = true;
                }
                self.tell_the_holder(id, Message::Keep);
            }
            Action::Drain(generation) => self.process_leaves(id, generation, 30_000),
            Action::End(generation, How::Terminate | How::Kill) => self.process_leaves(id, generation, 100),
            Action::Survey(_) => return Some(Event::Surveyed(Vec::new())),
            Action::ReleaseCustody => {
                let balancer = &mut self.balancers[id];
                (balancer.custody, balancer.released) = (false, true);
                // Another one serves, for good: the name is its own.
                balancer.has_name &= balancer.gate;
                self.tell_the_holder(id, Message::Release);
                self.look_at_the_knocking();
            }
            action => self.deal_with_others(id, action),
        }
        None
    }

    /// What is to be done with other Clearways.
    fn deal_with_others(&mut self, id: Id, action: Action) {
        match action {
            Action::HandOver(peer) => {
                let balancer = &self.balancers[id];
                let now = self.now - balancer.begun;
                let mut superseded = balancer.fence.list(now);
                superseded.push((self.origin(id), Duration::ZERO));
                let sockets = balancer.custody;
                self.say(wire_of(peer), 1, Message::Welcome { sockets, superseded });
            }
            Action::Decline(peer, why) => {
                self.balancers[id].successors.remove(&wire_of(peer));
                let again = !matches!(why, Declined::TooLate);
                self.say(wire_of(peer), 1, Message::Refused { again });
                self.hang_up(wire_of(peer));
            }
            Action::Relieve(peer) => {
                self.note(format!("balancer {id} is superseded by takeover {}", peer.0));
                self.balancers[id].gate = false;
                let wire = wire_of(peer);
                if self.wires[wire].open && self.balancers[id].has_name {
                    self.name_in_flight = Some(wire);
                }
                self.say(wire, 1, Message::Relieved);
                self.balancers[id].has_name &= !self.balancers[id].released;
                self.look_at_the_knocking();
            }
            Action::TakeBack => {
                self.note(format!("balancer {id} takes back"));
                self.balancers[id].gate = true;
                self.look_at_the_knocking();
            }
            Action::Supersede => {
                let now = self.now - self.balancers[id].begun;
                for (origin, ago) in std::mem::take(&mut self.balancers[id].inherited) {
                    self.balancers[id].fence.keep_out(origin, ago, now);
                }
                if let Some(wire) = self.balancers[id].predecessor {
                    self.say(wire, 0, Message::Serving);
                }
            }
            Action::Settled | Action::GiveBack => {
                let balancer = &mut self.balancers[id];
                if action == Action::GiveBack {
                    (balancer.has_name, balancer.parted) = (false, true);
                }
                if let Some(wire) = balancer.predecessor.take() {
                    if action == Action::Settled {
                        self.say(wire, 0, Message::Settled);
                    }
                    self.hang_up(wire);
                }
                self.look_at_the_knocking();
            }
            _ => {}
        }
    }

    fn tell_the_holder(&mut self, id: Id, message: Message) {
        if let Some(wire) = self.balancers[id].holder {
            let side = usize::from(self.wires[wire].ends[0] != Some(Party::Balancer(id)));
            self.say(wire, side, message);
        }
    }

    fn process_leaves(&mut self, id: Id, generation: Generation, within: u64) {
        let Some(process) = self.balancers[id].processes.get_mut(&generation) else { return };
        process.leaves = true;
        let delay = Duration::from_millis(self.random.u64(0..within));
        self.at(delay, Happening::Ends(id, generation));
    }

    fn process_ends(&mut self, id: Id, generation: Generation, end: End) {
        if self.balancers[id].processes.remove(&generation).is_none() {
            return;
        }
        self.tell_if_it_lives(id, Event::Exited { generation, end });
        let failure = Failure::new(ExitCode::NotReady, "made up");
        let delay = self.soon();
        self.at(delay, Happening::Tell(id, Event::LastWords { generation, failure }));
    }

    fn balancer_hears(&mut self, id: Id, wire: Wire, side: usize, message: Message) {
        match (&self.balancers[id].phase, side) {
            (Phase::Asking(asked), 0) if *asked == wire => self.newcomer_hears(id, wire, message),
            (Phase::Running, 0) if self.balancers[id].predecessor == Some(wire) => {
                self.successor_hears(id, message);
            }
            (Phase::Running, 0) => {} // the holder
            (Phase::Running, _) => self.incumbent_hears(id, wire, message),
            _ => {}
        }
    }

    fn newcomer_hears(&mut self, id: Id, wire: Wire, message: Message) {
        match message {
            Message::Welcome { sockets, superseded } => {
                let balancer = &mut self.balancers[id];
                (balancer.predecessor, balancer.custody) = (Some(wire), sockets);
                balancer.inherited = superseded;
                let supervisor = std::mem::replace(&mut balancer.supervisor, Supervisor::new(LIMITS));
                balancer.supervisor = supervisor.succeeding();
                self.begin(id);
            }
            Message::Refused { again: true } => self.tries_again(id, Heard::NotYet),
            Message::Refused { again: false } => self.dies(id, Some(ExitCode::InstanceTaken)),
            Message::Closed => self.tries_again(id, Heard::Gone),
            _ => {}
        }
    }

    fn successor_hears(&mut self, id: Id, message: Message) {
        match message {
            Message::Relieved if self.balancers[id].parted => self.look_at_the_knocking(),
            Message::Relieved => {
                self.balancers[id].has_name = true;
                self.balancers[id].taking = NAME_OF_THE_DEAD;
                self.look_at_the_knocking();
            }
            Message::Refused { .. } => {
                let failure = Failure::new(ExitCode::InstanceTaken, "made up");
                self.tell(id, Event::Withdrawn(failure));
            }
            Message::Closed => {
                self.balancers[id].predecessor = None;
                self.tell(id, Event::PredecessorGone);
                if self.balancers[id].alive {
                    self.try_for_the_name(id);
                }
            }
            _ => {}
        }
    }

    fn try_for_the_name(&mut self, id: Id) {
        let balancer = &self.balancers[id];
        if !balancer.alive || balancer.has_name || balancer.predecessor.is_some() {
            return;
        }
        if self.name_is_taken() {
            self.balancers[id].name_was_taken = true;
            let pause = self.balancers[id].taking.again().pause;
            return self.at(pause, Happening::TryForTheName(id));
        }
        self.balancers[id].has_name = true;
        self.look_at_the_knocking();
    }

    fn incumbent_hears(&mut self, id: Id, wire: Wire, message: Message) {
        let peer = Peer(wire as u64);
        match message {
            Message::Hello { origin } => {
                let now = self.now - self.balancers[id].begun;
                let own = self.origin(id);
                let turned_away = origin != own && self.balancers[id].fence.ask(&origin, now).is_some();
                if turned_away {
                    self.say(wire, 1, Message::Refused { again: false });
                    return self.hang_up(wire);
                }
                self.balancers[id].successors.insert(wire);
                self.tell(id, Event::TakeoverAsked(peer));
            }
            Message::Greeting if self.balancers[id].released => self.hang_up(wire),
            Message::Greeting => {
                // The holder has begun this one: what it is sent goes the other way.
                if let Some(former) = self.balancers[id].holder.replace(wire) {
                    self.hang_up(former);
                }
                if self.balancers[id].committed_once {
                    self.say(wire, 1, Message::Keep);
                }
            }
            Message::Serving => self.tell(id, Event::Superseded(peer)),
            Message::Settled => self.tell(id, Event::SuccessorSettled(peer)),
            Message::Closed if self.balancers[id].successors.remove(&wire) => {
                self.tell(id, Event::PeerGone(peer));
            }
            _ => {}
        }
    }

    // A holder: `hold`, and `hold::store`.

    fn holder_wakes(&mut self, id: Id) {
        if !self.holders[id].alive {
            return;
        }
        let now = self.now - self.holders[id].begun;
        if self.holders[id].until.is_some_and(|until| until <= now) {
            (self.holders[id].sockets, self.holders[id].until) = (false, None);
        }
        if self.holders[id].lookout.look(now) && self.name_is_taken() {
            let wire = self.knock(Party::Holder(id), Message::Greeting);
            self.holders[id].lookout.begun(wire as u64);
        }
        let next = [self.holders[id].until, self.holders[id].lookout.due()].into_iter().flatten().min();
        if let Some(next) = next {
            let pause = next.saturating_sub(now).max(Duration::from_millis(1));
            if self.now + pause < self.holders[id].wakes || self.holders[id].wakes <= self.now {
                self.holders[id].wakes = self.now + pause;
                self.at(pause, Happening::HolderWakes(id));
            }
        }
    }

    fn holder_hears(&mut self, id: Id, wire: Wire, message: Message) {
        let now = self.now - self.holders[id].begun;
        let holder = &mut self.holders[id];
        match message {
            Message::Greeting => holder.lookout.begun(wire as u64),
            Message::Keep => {
                holder.lookout.kept(wire as u64);
                (holder.sockets, holder.owner, holder.until) = (true, Some(wire), None);
                holder.serving.insert(wire);
            }
            Message::Release | Message::Closed => {
                holder.lookout.over(wire as u64, now);
                holder.serving.remove(&wire);
                if holder.owner == Some(wire) {
                    holder.owner = holder.serving.last().copied();
                    let hold = Duration::from_secs(if matches!(message, Message::Release) { 30 } else { 60 });
                    holder.until = holder.owner.is_none().then(|| now + hold);
                }
            }
            _ => {}
        }
        self.holder_wakes(id);
    }

    // What has to be so.

    fn check(&self) -> Result<(), String> {
        let running = || self.living.iter().map(|id| (*id, &self.balancers[*id]));
        let doors: Vec<Id> =
            running().filter(|(_, one)| one.has_name && one.gate).map(|(id, _)| id).collect();
        if doors.len() > 1 {
            return Err(format!("several balancers serve one name: {doors:?}"));
        }
        for (id, one) in running() {
            if !one.custody || one.released || !matches!(one.phase, Phase::Running) {
                continue;
            }
            let accepts = one.processes.values().any(|process| process.committed && !process.leaves);
            let due = one.supervisor.next_deadline().is_some() || !one.preparing.is_empty();
            let waits = !one.successors.is_empty() || one.predecessor.is_some();
            if !accepts && !due && !waits {
                return Err(format!("balancer {id} holds sockets, and nothing will accept on them"));
            }
        }
        Ok(())
    }

    /// Nothing has happened for a long time.
    fn check_at_rest(&self) -> Result<(), String> {
        let wanted = |one: &&Balancer| one.alive && !one.stopped;
        let serves = |one: &Balancer| {
            one.supervisor.is_ready() && one.processes.values().any(|it| it.committed && !it.leaves)
        };
        // One whose predecessor was killed before it gave the name, and a third one took that first: both serve, clients
        // are the third one's (it steers round the other), and the log of the one without a name says so.
        let lost_its_name = |one: &Balancer| !one.has_name && one.predecessor.is_none() && one.name_was_taken;
        let serving: Vec<Id> = (0..self.balancers.len())
            .filter(|id| {
                let one = &self.balancers[*id];
                one.alive && serves(one) && !lost_its_name(one)
            })
            .collect();
        if self.balancers.iter().filter(wanted).count() > 0 && serving.len() != 1 {
            return Err(format!("these serve at rest: {serving:?}"));
        }
        if self.messages > MOST_MESSAGES_AT_REST {
            return Err(format!("{} messages were sent at rest", self.messages));
        }
        let Some(id) = serving.first().copied() else { return Ok(()) };
        let one = &self.balancers[id];
        if !one.has_name || !one.gate {
            return Err(format!("balancer {id} serves, and the next one cannot take over from it"));
        }
        if one.predecessor.is_some() || !one.successors.is_empty() {
            return Err(format!("balancer {id} still talks to another one"));
        }
        if let Some(holder) = self.holders.iter().find(|one| one.alive)
            && !(holder.sockets && holder.owner.is_some() && holder.owner == one.holder)
        {
            return Err(format!(
                "the holder does not hold for balancer {id} ({:?}): sockets {}, owner {:?}, until {:?}",
                one.holder, holder.sockets, holder.owner, holder.until
            ));
        }
        Ok(())
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
