//! A holder, as `clearway hold` is: what it does is what its [`Keeping`] says.

use super::*;

impl Holder {
    pub fn keeps(&self, socket: Socket) -> bool {
        let kept = self.keeping.sockets().iter().chain(self.sent.values().flatten());
        self.alive && kept.into_iter().any(|held| *held == socket)
    }
}

impl World {
    pub fn tell_holder(&mut self, id: Id, event: HoldEvent<Socket, ()>) {
        if !self.holders[id].alive {
            return;
        }
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now - self.holders[id].begun;
            for action in self.holders[id].keeping.step(event, now) {
                match action {
                    HoldAction::Give { to: BalancerId(wire), sockets, .. } => {
                        let welcome = Message::Welcome { sockets: sockets.to_vec(), superseded: Vec::new() };
                        self.say(wire_of(Peer(wire)), 1, welcome);
                    }
                    HoldAction::Look => {
                        let wire = self.knock(Party::Holder(id), Caller::Holder);
                        events.extend(wire.map(|wire| HoldEvent::Found(BalancerId(wire as u64))));
                    }
                    HoldAction::Report(report) => self.note(format!("holder {id}: {report}")),
                    HoldAction::Sweep => {}
                }
            }
        }
        let Some(due) = self.holders[id].keeping.due() else { return };
        let at = (self.holders[id].begun + due).max(self.now);
        if at < self.holders[id].wakes || self.holders[id].wakes <= self.now {
            self.holders[id].wakes = at;
            self.at(at - self.now, Happening::HolderWakes(id));
        }
    }

    pub fn holder_hears(&mut self, id: Id, wire: Wire, message: Message) {
        let balancer = BalancerId(wire as u64);
        let event = match message {
            Message::Hello(Caller::Balancer) => HoldEvent::Came(balancer),
            Message::Keep(sockets) => {
                self.holders[id].sent.insert(balancer, sockets.clone());
                HoldEvent::Keeps(balancer, sockets)
            }
            Message::Servers => HoldEvent::Knows(balancer, Arc::default()),
            Message::Release { at_once } => HoldEvent::Releases { balancer, at_once },
            Message::Closed => HoldEvent::Gone(balancer),
            _ => return,
        };
        if let HoldEvent::Releases { .. } | HoldEvent::Gone(_) = event {
            self.holders[id].sent.remove(&balancer);
        }
        self.tell_holder(id, event);
    }
}
