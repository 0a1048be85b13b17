//! What happens by chance.

use super::*;

impl World {
    pub fn something_happens(&mut self) {
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
            12 => {
                if let Some(id) = self.some_balancer() {
                    self.note(format!("a rollback is asked for at balancer {id}"));
                    self.tell_if_it_lives(id, Event::RollbackAsked(RequestId(1)));
                }
            }
            11 => self.no_doors = !self.no_doors,
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

    pub fn some_balancer(&mut self) -> Option<Id> {
        (!self.living.is_empty()).then(|| self.living[self.random.usize(0..self.living.len())])
    }

    pub fn start_container(&mut self) {
        let container = self.containers.len();
        let restarts = self.random.bool();
        self.containers.push(Container { origin: format!("c{container}"), restarts, stopped: false });
        self.start_process(container);
    }

    pub fn start_process(&mut self, container: usize) {
        let id = self.balancers.len();
        let strategy = self.a_strategy();
        let at_run_time = AtRunTime::new(self.apply_random.bool());
        self.note(format!("balancer {id} starts in container {container}, {strategy:?}"));
        self.balancers.push(Balancer {
            container,
            alive: true,
            phase: Phase::Arriving,
            arrival: Arrival::new(false),
            supervisor: at_run_time.supervisor(),
            peers: Relations::new(
                false,
                Fence::new(BACK, None),
                Some(self.containers[container].origin.clone()),
            ),
            begun: self.now,
            wakes: Duration::MAX,
            processes: BTreeMap::new(),
            preparing: BTreeSet::new(),
            past: Past::default(),
            at_run_time,
            custody: Vec::new(),
            stopped: false,
            released: false,
            superseded: None,
            name: Name::default(),
            predecessor: None,
            successors: BTreeSet::new(),
            holder: None,
            came: None,
            path: PathSide::new(self.network.closed, self.canary),
            cutover: CutoverSide::new(strategy),
            costs: CostSide::default(),
        });
        self.living.push(id);
        let delay = self.soon();
        self.at(delay, Happening::Arrive(id, ArrivalAction::TakeName));
    }

    pub fn start_holder(&mut self) {
        let id = self.holders.len();
        self.note(format!("holder {id} starts"));
        self.holders.push(Holder {
            alive: true,
            begun: self.now,
            keeping: Keeping::new(Duration::from_secs(30), Duration::from_mins(1)),
            sent: BTreeMap::new(),
            wakes: Duration::MAX,
        });
        self.tell_holder(id, HoldEvent::TimePassed);
    }
}
