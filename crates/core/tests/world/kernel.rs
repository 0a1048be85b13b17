//! The kernel: the name, conversations, and what ends with a process.

use super::*;

impl World {
    pub fn name_is_taken(&self) -> bool {
        self.name_in_flight.is_some() || self.living.iter().any(|id| self.balancers[*id].has_name)
    }

    /// The name, or what is left of it, has lost a descriptor, or is listened to by another one.
    pub fn look_at_the_knocking(&mut self) {
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

    pub fn knock(&mut self, party: Party, first: Message) -> Wire {
        let wire = self.open(party, None);
        self.knocking.push(wire);
        self.say(wire, 0, first);
        self.look_at_the_knocking();
        wire
    }

    pub fn open(&mut self, from: Party, to: Option<Party>) -> Wire {
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
    pub fn say(&mut self, wire: Wire, from: usize, message: Message) {
        if !self.wires[wire].open {
            return;
        }
        self.messages += 1;
        self.send(wire, 1 - from, message);
    }

    pub fn send(&mut self, wire: Wire, to: usize, message: Message) {
        let delay = self.soon();
        let at = self.wires[wire].arrives[to].max(self.now + delay);
        self.wires[wire].arrives[to] = at;
        self.wires[wire].queues[to].push_back(message);
        self.at(at - self.now, Happening::Deliver(wire, to));
    }

    /// Either side, or its process, has closed it: what was said before is heard by the other one, then the end.
    pub fn hang_up(&mut self, wire: Wire) {
        if std::mem::replace(&mut self.wires[wire].open, false) {
            for side in 0..2 {
                self.send(wire, side, Message::Closed);
            }
        }
    }

    pub fn close_all_of(&mut self, party: Party) {
        for wire in 0..self.wires.len() {
            if self.wires[wire].ends.contains(&Some(party)) {
                self.hang_up(wire);
            }
        }
    }

    pub fn deliver(&mut self, wire: Wire, side: usize) {
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
    pub fn dies(&mut self, id: Id, code: Option<ExitCode>) {
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
}
