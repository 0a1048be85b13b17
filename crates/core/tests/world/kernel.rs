//! The kernel: listening sockets, conversations, and what ends with a process.

use super::*;

impl World {
    /// Whether a process, or a message that can still be read, has a descriptor of it.
    pub fn is_open(&self, socket: Socket) -> bool {
        let balancers = self.living.iter().map(|id| &self.balancers[*id]);
        let by_balancer = |one: &Balancer| {
            let named = one.name.sockets.iter().chain(&one.name.given).chain(&one.custody);
            let listening = one.processes.values().filter(|process| !process.leaves);
            let used = listening.map(|process| &process.socket).chain(one.cutover.keeps());
            named.chain(used).any(|held| *held == socket)
        };
        let by_holder = |one: &Holder| one.keeps(socket);
        let on_its_way = |wire: &Conversation| {
            wire.queues.iter().flatten().any(|message| message.carries().contains(&socket))
        };
        balancers.into_iter().any(by_balancer)
            || self.holders.iter().any(by_holder)
            || self.talking.iter().map(|wire| &self.wires[*wire]).any(on_its_way)
    }

    /// Those that are open.
    pub fn open_sockets(&self, purpose: Purpose) -> impl Iterator<Item = Socket> {
        // Names are few at a time; the last one is asked first.
        let all = (0..self.sockets.len()).rev().filter(move |socket| self.sockets[*socket] == purpose);
        all.filter(|socket| self.is_open(*socket))
    }

    /// A new socket, for clients or if no other one has the name.
    pub fn bind(&mut self, purpose: Purpose) -> Option<Socket> {
        if purpose != Purpose::Clients && self.open_sockets(purpose).next().is_some() {
            return None;
        }
        self.sockets.push(purpose);
        Some(self.sockets.len() - 1)
    }

    /// A door has lost a descriptor, or a process begins to accept there.
    pub fn look_at_the_knocking(&mut self) {
        for (wire, door) in std::mem::take(&mut self.knocking) {
            let accepts = |id: &Id| {
                let Balancer { name, .. } = &self.balancers[*id];
                name.at_door && !name.gate_closed && name.sockets.get(1) == Some(&door)
            };
            match self.living.iter().copied().find(accepts) {
                Some(id) => {
                    self.wires[wire].ends[1] = Some(Party::Balancer(id));
                    self.read(wire, 1);
                }
                None if self.is_open(door) => self.knocking.push((wire, door)),
                None => self.hang_up(wire),
            }
        }
    }

    /// Connects to the door, if there is one.
    pub fn knock(&mut self, party: Party, caller: Caller) -> Option<Wire> {
        let door = self.open_sockets(Purpose::Door).next()?;
        let wire = self.open(party, None);
        self.knocking.push((wire, door));
        self.say(wire, 0, Message::Hello(caller));
        self.look_at_the_knocking();
        Some(wire)
    }

    pub fn open(&mut self, from: Party, to: Option<Party>) -> Wire {
        self.wires.push(Conversation {
            ends: [Some(from), to],
            queues: [VecDeque::new(), VecDeque::new()],
            unread: [0; 2],
            arrives: [self.now; 2],
            open: true,
        });
        self.talking.insert(self.wires.len() - 1);
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

    fn send(&mut self, wire: Wire, to: usize, message: Message) {
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

    /// What was sent to a process that is gone, and not read, is closed with it.
    pub fn close_all_of(&mut self, party: Party) {
        for wire in self.talking.clone() {
            if let Some(side) = self.wires[wire].ends.iter().position(|end| *end == Some(party)) {
                self.hang_up(wire);
                self.wires[wire].queues[side].clear();
            }
        }
    }

    /// What has arrived before this side began to read.
    pub fn read(&mut self, wire: Wire, side: usize) {
        for _ in 0..std::mem::take(&mut self.wires[wire].unread[side]) {
            self.at(Duration::ZERO, Happening::Deliver(wire, side));
        }
    }

    pub fn deliver(&mut self, wire: Wire, side: usize) {
        let end = self.wires[wire].ends[side];
        // It is not accepted yet, or not read: the message waits in the socket.
        let waits = match end {
            None => true,
            Some(Party::Balancer(id)) => {
                let one = &self.balancers[id];
                one.predecessor == Some(wire) && matches!(one.phase, Phase::AskingHolder(_))
            }
            Some(Party::Holder(_)) => false,
        };
        if waits {
            self.wires[wire].unread[side] += 1;
            return;
        }
        let message = self.wires[wire].queues[side].pop_front();
        if !self.wires[wire].open && self.wires[wire].queues.iter().all(VecDeque::is_empty) {
            self.talking.remove(&wire);
        }
        let Some(message) = message else { return };
        match end {
            Some(Party::Balancer(id)) if self.balancers[id].alive => {
                self.balancer_hears(id, wire, side, message);
            }
            Some(Party::Holder(id)) => self.holder_hears(id, wire, message),
            _ => {}
        }
        self.look_at_the_knocking();
    }

    /// Its process is gone: killed, or with an exit code.
    pub fn dies(&mut self, id: Id, code: Option<ExitCode>) {
        self.balancers[id].alive = false;
        self.living.retain(|one| *one != id);
        self.balancers[id].processes.clear();
        self.path_dies(id);
        self.close_all_of(Party::Balancer(id));
        self.look_at_the_knocking();
        let container = self.balancers[id].container;
        self.note(format!("balancer {id} is gone ({code:?})"));
        if self.containers[container].restarts && !self.containers[container].stopped {
            let pause = Duration::from_secs(self.random.u64(1..10));
            self.at(pause, Happening::StartAgain(container));
        }
    }
}

impl Message {
    /// The descriptors that go with it.
    fn carries(&self) -> &[Socket] {
        match self {
            Self::Welcome { sockets, .. } | Self::Relieved(sockets) | Self::Keep(sockets) => sockets,
            _ => &[],
        }
    }
}
