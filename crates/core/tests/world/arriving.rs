//! A balancer before it runs, as `peers::beginning` has it: what it does is what its [`Arrival`] says.

use super::*;

impl World {
    /// It begins, or its pause is over.
    pub fn arrive(&mut self, id: Id, next: ArrivalAction) {
        if !self.balancers[id].alive {
            return;
        }
        match next {
            ArrivalAction::TakeName => {
                let heard = match self.bind(Purpose::Lock) {
                    Some(lock) => {
                        self.balancers[id].name.sockets.push(lock);
                        ArrivalEvent::Taken
                    }
                    None => ArrivalEvent::NotFree,
                };
                self.arrival_hears(id, heard);
            }
            ArrivalAction::Knock => {
                let origin = self.origin(id);
                match self.knock(Party::Balancer(id), Caller::Successor { origin }) {
                    Some(wire) => {
                        self.balancers[id].phase = Phase::Asking(wire);
                        self.at(LIMITS.ready, Happening::GivesUp(id, wire));
                    }
                    None => self.arrival_hears(id, ArrivalEvent::NoAnswer),
                }
            }
            ArrivalAction::Pause(pause) => {
                self.balancers[id].phase = Phase::Arriving;
                let again = self.balancers[id].arrival.hear(ArrivalEvent::Paused);
                self.at(pause, Happening::Arrive(id, again));
            }
            ArrivalAction::AskHolder => match self.holders.iter().position(|one| one.alive) {
                Some(holder) => {
                    let wire = self.open(Party::Balancer(id), Some(Party::Holder(holder)));
                    self.balancers[id].phase = Phase::AskingHolder(wire);
                    self.say(wire, 0, Message::Hello(Caller::Balancer));
                    self.at(PROMPT, Happening::GivesUp(id, wire));
                }
                None => self.arrival_hears(id, ArrivalEvent::Asked),
            },
            ArrivalAction::Begin => self.begin(id),
            ArrivalAction::Leave => self.dies(id, Some(ExitCode::InstanceTaken)),
        }
    }

    fn arrival_hears(&mut self, id: Id, heard: ArrivalEvent) {
        let next = self.balancers[id].arrival.hear(heard);
        self.arrive(id, next);
    }

    /// An answer has not come in time.
    pub fn give_up(&mut self, id: Id, wire: Wire) {
        if !self.balancers[id].alive {
            return;
        }
        match self.balancers[id].phase {
            Phase::Asking(asked) if asked == wire => self.arrival_hears(id, ArrivalEvent::Refused),
            Phase::AskingHolder(asked) if asked == wire => {
                self.hang_up(wire);
                self.arrival_hears(id, ArrivalEvent::Asked);
            }
            _ => {}
        }
    }

    pub fn newcomer_hears(&mut self, id: Id, wire: Wire, message: Message) {
        match message {
            Message::Welcome { sockets, superseded } => {
                let balancer = &mut self.balancers[id];
                (balancer.predecessor, balancer.custody) = (Some(wire), sockets);
                balancer.superseded = Some(superseded);
                balancer.supervisor = balancer.at_run_time.supervisor().succeeding();
                self.arrival_hears(id, ArrivalEvent::Given);
            }
            Message::Refused { again: true } => self.arrival_hears(id, ArrivalEvent::NotYet),
            Message::Refused { again: false } => self.arrival_hears(id, ArrivalEvent::Refused),
            Message::Closed => self.arrival_hears(id, ArrivalEvent::Gone),
            _ => {}
        }
    }

    pub fn asker_hears(&mut self, id: Id, wire: Wire, message: Message) {
        match message {
            Message::Welcome { sockets, .. } => {
                let balancer = &mut self.balancers[id];
                balancer.holder = Some(wire);
                if balancer.custody.is_empty() {
                    balancer.custody = sockets;
                }
                self.arrival_hears(id, ArrivalEvent::Asked);
            }
            Message::Closed => self.arrival_hears(id, ArrivalEvent::Asked),
            _ => {}
        }
    }

    fn begin(&mut self, id: Id) {
        let balancer = &mut self.balancers[id];
        balancer.phase = Phase::Running;
        let beginning = Beginning {
            lock: !balancer.name.sockets.is_empty(),
            predecessor: balancer.superseded.take(),
            holder: balancer.holder.is_some(),
        };
        // What the predecessor has said meanwhile is heard from now on.
        if let Some(wire) = balancer.predecessor {
            self.read(wire, 0);
        }
        self.inherits(id);
        self.sweep_the_kernel();
        self.tell_peers(id, PeersEvent::Begin(beginning));
        self.tell(id, Event::Begin);
    }
}
