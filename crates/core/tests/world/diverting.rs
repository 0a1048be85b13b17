//! What diverts clients of a balancer, as the room `cutover` of the crate `clearway` does it: what its [`Diversions`] say.

use clearway_core::cutover::{AtLaunch, CutoverAction, CutoverEvent, Diversions, ListensAt, Redirect};

use super::clients::Port;
use super::switching::{OnSwitch, Switch};
use super::*;

/// How it reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Handoff,
    Plug,
    TableFlip,
}

/// What redirects clients.
#[derive(Debug)]
pub struct Table {
    /// The newest comes first.
    pub made: u64,
    pub way: Option<Port>,
}

pub struct CutoverSide {
    pub machine: Diversions,
    pub strategy: Strategy,
    pub switches: BTreeMap<Generation, Switch>,
    pub table: Option<Table>,
    /// Where the generation that was committed last has its clients, and whether they are sent there.
    current: Option<Port>,
    suspended: bool,
    /// The private ports of generations that were not committed.
    ports: BTreeMap<Generation, Port>,
    /// Those that had a table when the sockets were handed over.
    elders: BTreeSet<Id>,
    is_elder: bool,
    /// What was handed over.
    pub given: Vec<Socket>,
    /// Sockets that are kept for a moment, and those of them that are to be closed to new clients.
    left_open: (Vec<Socket>, Vec<Socket>),
    /// What was held before a commit, as long as that is under way.
    pub former: Vec<Socket>,
    pub has_committed: bool,
    pub is_superseded: bool,
    wakes: Duration,
}

impl CutoverSide {
    pub fn new(strategy: Strategy) -> Self {
        Self {
            machine: Diversions::default(),
            strategy,
            switches: BTreeMap::new(),
            table: None,
            current: None,
            suspended: false,
            ports: BTreeMap::new(),
            elders: BTreeSet::new(),
            is_elder: false,
            given: Vec::new(),
            left_open: (Vec::new(), Vec::new()),
            former: Vec::new(),
            has_committed: false,
            is_superseded: false,
            wakes: Duration::MAX,
        }
    }

    /// The sockets that it keeps open beside custody.
    pub fn keeps(&self) -> impl Iterator<Item = &Socket> {
        self.left_open.0.iter().chain(&self.former)
    }

    fn in_use(&self) -> Option<Port> {
        self.current.filter(|_| !self.suspended)
    }

    /// From which private port to which, if a generation has one.
    pub fn ways(&self, generation: Generation) -> Option<(Option<Port>, Port)> {
        Some((self.in_use(), *self.ports.get(&generation)?))
    }

    /// Whether clients wait at another private port than that of a generation.
    fn leads_elsewhere(&self, generation: Generation) -> bool {
        self.current.is_some() && self.ports.get(&generation).is_some_and(|port| Some(*port) != self.current)
    }
}

impl World {
    pub fn a_strategy(&mut self) -> Strategy {
        [Strategy::Handoff, Strategy::Handoff, Strategy::Plug, Strategy::TableFlip]
            [self.switch_random.usize(0..4)]
    }

    /// Tells the machine, and does what it answers, until there is nothing more to do.
    pub fn step_cutover(&mut self, id: Id, event: CutoverEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now - self.balancers[id].begun;
            for action in self.balancers[id].cutover.machine.step(event, now) {
                events.extend(self.divert(id, action));
            }
        }
        self.close_what_nothing_has();
        let Balancer { cutover, begun, .. } = &mut self.balancers[id];
        let Some(due) = cutover.machine.due().map(|due| (*begun + due).max(self.now)) else { return };
        if due < cutover.wakes || cutover.wakes <= self.now {
            cutover.wakes = due;
            self.at(due - self.now, Happening::OnSwitch(OnSwitch::Wake(id)));
        }
    }

    fn divert(&mut self, id: Id, action: CutoverAction) -> Option<CutoverEvent> {
        match action {
            CutoverAction::LookWhatListens => return Some(CutoverEvent::FirstSeen(false)),
            CutoverAction::ReleaseInherited => return Some(self.release_inherited(id)),
            CutoverAction::Redirect(to) => self.redirect(id, to),
            CutoverAction::KeepLeftOpen(generation) => {
                let cutover = &self.balancers[id].cutover;
                let switch = cutover.switches.get(&generation).filter(|one| self.has_former(id, one));
                let left = switch.map(|one| (one.former.clone(), one.alone.clone())).unwrap_or_default();
                self.balancers[id].cutover.left_open = left;
            }
            CutoverAction::CloseLeftOpen => {
                let (_, alone) = std::mem::take(&mut self.balancers[id].cutover.left_open);
                for socket in alone {
                    self.listeners.stop_listening(socket);
                }
            }
            CutoverAction::ForgetLeftOpen => self.balancers[id].cutover.left_open = (Vec::new(), Vec::new()),
            CutoverAction::ListenAgain => {
                let held = self.balancers[id].custody.clone();
                for socket in held {
                    self.listeners.listen_again(socket);
                }
            }
            CutoverAction::CloseNotGiven => {
                let Balancer { custody, cutover, .. } = &self.balancers[id];
                let not_given: Vec<Socket> =
                    custody.iter().copied().filter(|one| !cutover.given.contains(one)).collect();
                for socket in not_given {
                    self.listeners.stop_listening(socket);
                }
            }
            CutoverAction::Unseal => {
                let held = self.balancers[id].custody.clone();
                for socket in held {
                    self.listeners.set_sealed(socket, false);
                }
            }
            CutoverAction::Drain(generation) => self.process_leaves(id, generation, 30_000),
            action => return self.do_with_switch(id, action),
        }
        None
    }

    /// Where no other process listens, the kernel shares out again.
    fn release_inherited(&mut self, id: Id) -> CutoverEvent {
        let mut everywhere = true;
        for socket in self.balancers[id].custody.clone() {
            let Some(port) = self.listeners.port(socket) else { continue };
            let custody = &self.balancers[id].custody;
            if self.listeners.group(port).iter().all(|one| custody.contains(one)) {
                self.listeners.release(port);
            } else {
                everywhere = false;
            }
        }
        CutoverEvent::InheritedReleased(everywhere)
    }

    fn redirect(&mut self, id: Id, to: Redirect) {
        let cutover = &mut self.balancers[id].cutover;
        if let Redirect::To(generation) = to {
            let Some(port) = cutover.ports.remove(&generation) else { return };
            cutover.current = Some(port);
        }
        cutover.suspended = matches!(to, Redirect::Nowhere | Redirect::Back(None));
        let way = cutover.in_use();
        if let Some(table) = &mut cutover.table {
            table.way = way;
        }
    }

    /// A generation is about to be launched: the socket that it takes over or makes.
    pub fn launch(&mut self, id: Id, generation: Generation) -> Socket {
        let held = self.balancers[id].custody.clone();
        let at_launch = match (held.is_empty(), self.balancers[id].peers.has_predecessor()) {
            (true, _) => AtLaunch::Nothing,
            (false, true) => AtLaunch::OfAPredecessor,
            (false, false) => AtLaunch::Ours,
        };
        self.step_cutover(id, CutoverEvent::Launching(at_launch));
        let port = self.port_for(id, generation);
        // Now and then HAProxy does not recognise what it is given.
        let rebinds = port == Port::Public && self.switch_random.u8(0..4) == 0;
        let known = held.into_iter().find(|socket| self.listeners.port(*socket) == Some(port) && !rebinds);
        known.unwrap_or_else(|| {
            let socket = self.bind(Purpose::Clients).unwrap_or_default();
            self.listeners.begin(socket, port);
            socket
        })
    }

    /// Beside another generation others, else those at which clients wait.
    fn port_for(&mut self, id: Id, generation: Generation) -> Port {
        if self.balancers[id].cutover.strategy != Strategy::TableFlip {
            return Port::Public;
        }
        let beside = self.balancers[id].processes.values().any(|process| process.accepts());
        let known = self.balancers[id].cutover.current.filter(|_| !beside);
        let port = known.unwrap_or_else(|| self.listeners.a_private_port());
        self.next += 1;
        let made = self.next;
        let cutover = &mut self.balancers[id].cutover;
        cutover.ports.insert(generation, port);
        cutover.table.get_or_insert(Table { made, way: None });
        port
    }

    /// Its socket is held from now on; what was held before until nothing leads there.
    pub fn commits(&mut self, id: Id, generation: Generation) {
        let balancer = &mut self.balancers[id];
        let Some(process) = balancer.processes.get_mut(&generation) else { return };
        process.committed = true;
        balancer.cutover.former = std::mem::replace(&mut balancer.custody, vec![process.socket]);
        balancer.cutover.has_committed = true;
        let has_ports = balancer.cutover.ports.contains_key(&generation);
        let listens = if has_ports { ListensAt::PrivatePorts } else { ListensAt::PublicPorts };
        let predecessor = balancer.peers.has_predecessor();
        self.step_cutover(id, CutoverEvent::Committed { generation, listens, predecessor });
        self.balancers[id].cutover.former.clear();
        self.close_what_nothing_has();
    }

    /// A generation will not be committed, or has ended.
    pub fn abandons(&mut self, id: Id, generation: Generation) {
        self.step_cutover(id, CutoverEvent::Abandoned(generation));
        self.balancers[id].cutover.ports.remove(&generation);
    }

    /// The one that served has ended: one that is starting listens where no client waits.
    pub fn misplaced(&mut self, id: Id) -> Option<Event> {
        let Balancer { processes, cutover, .. } = &self.balancers[id];
        let starting = processes.iter().filter(|(_, process)| !process.committed && !process.leaves);
        let generation =
            *starting.map(|(generation, _)| generation).find(|one| cutover.leads_elsewhere(**one))?;
        Some(Event::Misplaced { generation, failure: Failure::new(ExitCode::NotReady, "made up") })
    }

    fn tables_of_others(&self, id: Id) -> BTreeSet<Id> {
        let others = self.living.iter().copied().filter(|other| *other != id);
        others.filter(|other| self.balancers[*other].cutover.table.is_some()).collect()
    }

    pub fn about_to_hand_over(&mut self, id: Id) {
        let any = !self.balancers[id].custody.is_empty();
        self.step_cutover(id, CutoverEvent::HandedOver { any });
        self.balancers[id].cutover.elders = self.tables_of_others(id);
        self.balancers[id].cutover.is_elder = self.balancers[id].cutover.table.is_some();
        self.balancers[id].cutover.given = self.balancers[id].custody.clone();
    }

    pub fn is_relieved(&mut self, id: Id) {
        let elders = std::mem::take(&mut self.balancers[id].cutover.elders);
        let newer = self.tables_of_others(id).difference(&elders).next().is_some();
        let redirects = newer && self.balancers[id].cutover.is_elder;
        self.balancers[id].cutover.is_superseded = true;
        self.step_cutover(id, CutoverEvent::Superseded { redirects });
    }

    pub fn takes_back(&mut self, id: Id) {
        self.balancers[id].cutover.is_superseded = false;
        self.step_cutover(id, CutoverEvent::TakenBack);
    }

    pub fn inherits(&mut self, id: Id) {
        let any = !self.balancers[id].custody.is_empty();
        self.step_cutover(id, CutoverEvent::Inherited { any });
    }
}
