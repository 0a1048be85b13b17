//! A balancer: before it runs, as `run::begin` has it, and then, as `shell` and `shell::succession` have it.

use super::*;

impl World {
    pub fn arrive(&mut self, id: Id) {
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

    pub fn origin(&self, id: Id) -> String {
        self.containers[self.balancers[id].container].origin.clone()
    }

    pub fn tries_again(&mut self, id: Id, heard: Heard) {
        self.balancers[id].phase = Phase::Arriving;
        match self.balancers[id].arrival.hear(heard) {
            Some(pause) => self.at(pause, Happening::Arrive(id)),
            None => self.dies(id, Some(ExitCode::InstanceTaken)),
        }
    }

    pub fn begin(&mut self, id: Id) {
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

    pub fn tell_if_it_lives(&mut self, id: Id, event: Event) {
        if self.balancers[id].alive && matches!(self.balancers[id].phase, Phase::Running) {
            self.tell(id, event);
        } else if self.balancers[id].alive && matches!(event, Event::StopAsked(_)) {
            self.dies(id, Some(ExitCode::Done));
        }
    }

    pub fn tell(&mut self, id: Id, event: Event) {
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

    pub fn carry_out(&mut self, id: Id, action: Action) -> Option<Event> {
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
            Action::Launch(generation, _) => {
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
    pub fn deal_with_others(&mut self, id: Id, action: Action) {
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

    pub fn tell_the_holder(&mut self, id: Id, message: Message) {
        if let Some(wire) = self.balancers[id].holder {
            let side = usize::from(self.wires[wire].ends[0] != Some(Party::Balancer(id)));
            self.say(wire, side, message);
        }
    }

    pub fn process_leaves(&mut self, id: Id, generation: Generation, within: u64) {
        let Some(process) = self.balancers[id].processes.get_mut(&generation) else { return };
        process.leaves = true;
        let delay = Duration::from_millis(self.random.u64(0..within));
        self.at(delay, Happening::Ends(id, generation));
    }

    pub fn process_ends(&mut self, id: Id, generation: Generation, end: End) {
        if self.balancers[id].processes.remove(&generation).is_none() {
            return;
        }
        self.tell_if_it_lives(id, Event::Exited { generation, end });
        let failure = Failure::new(ExitCode::NotReady, "made up");
        let delay = self.soon();
        self.at(delay, Happening::Tell(id, Event::LastWords { generation, failure }));
    }

    pub fn balancer_hears(&mut self, id: Id, wire: Wire, side: usize, message: Message) {
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

    pub fn newcomer_hears(&mut self, id: Id, wire: Wire, message: Message) {
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

    pub fn successor_hears(&mut self, id: Id, message: Message) {
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

    pub fn try_for_the_name(&mut self, id: Id) {
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

    pub fn incumbent_hears(&mut self, id: Id, wire: Wire, message: Message) {
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
}
