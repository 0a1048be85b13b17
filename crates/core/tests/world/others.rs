//! What a balancer does with other Clearways, as the room `peers` of the crate `clearway` does it: what its [`Relations`] say.

use clearway_core::cutover::CutoverEvent;

use super::*;

impl World {
    /// What is asked of the machine by the generations.
    pub fn deal_with_others(&mut self, id: Id, action: Action) {
        let event = match action {
            Action::HandOver(peer) => {
                self.about_to_hand_over(id);
                PeersEvent::HandOver(peer)
            }
            Action::Decline(peer, why) => PeersEvent::Decline(peer, why),
            Action::Relieve(peer) => {
                self.note(format!("balancer {id} is superseded by takeover {}", peer.0));
                self.is_relieved(id);
                PeersEvent::Relieve(peer)
            }
            Action::TakeBack => {
                self.note(format!("balancer {id} takes back"));
                self.takes_back(id);
                PeersEvent::TakeBack
            }
            Action::Supersede => PeersEvent::Supersede,
            Action::Settled => {
                self.step_cutover(id, CutoverEvent::PredecessorDrains);
                PeersEvent::Settled
            }
            Action::GiveBack => {
                self.step_cutover(id, CutoverEvent::Parted);
                PeersEvent::GiveBack
            }
            _ => return,
        };
        self.tell_peers(id, event);
    }

    /// Tells the machine, and does what it answers, until there is nothing more to do.
    pub fn tell_peers(&mut self, id: Id, event: PeersEvent) {
        let (mut events, mut told) = (VecDeque::from([event]), Vec::new());
        while let Some(event) = events.pop_front() {
            let now = self.now - self.balancers[id].begun;
            for action in self.balancers[id].peers.step(event, now) {
                match action {
                    PeersAction::Tell(event) => told.push(event),
                    action => events.extend(self.do_for_peers(id, action)),
                }
            }
        }
        self.look_at_the_knocking();
        self.wake_in_time(id);
        for event in told {
            self.tell_if_it_lives(id, event);
        }
    }

    fn do_for_peers(&mut self, id: Id, action: PeersAction) -> Option<PeersEvent> {
        match action {
            PeersAction::TakeLock => {
                let Some(lock) = self.bind(Purpose::Lock) else {
                    let failure = Failure::new(ExitCode::InstanceTaken, "made up");
                    return Some(PeersEvent::LockNotFree(failure));
                };
                self.balancers[id].name.sockets = vec![lock];
                return Some(PeersEvent::LockTaken);
            }
            PeersAction::UseGivenName => {
                let name = &mut self.balancers[id].name;
                (name.sockets, name.at_door) = (std::mem::take(&mut name.given), false);
            }
            PeersAction::Open(part) => return Some(self.open_part(id, part)),
            PeersAction::SetGate(gate) => self.balancers[id].name.gate_closed = gate == NameGate::Closed,
            PeersAction::LetGoOfName => {
                let name = &mut self.balancers[id].name;
                (name.sockets, name.at_door, name.gate_closed) = (Vec::new(), false, true);
            }
            PeersAction::TurnAway(peer, _) => {
                self.balancers[id].successors.remove(&wire_of(peer));
                self.say(wire_of(peer), 1, Message::Refused { again: false });
                self.hang_up(wire_of(peer));
            }
            PeersAction::Welcome(peer, mut superseded) => {
                superseded.push((self.origin(id), Duration::ZERO));
                let sockets = self.balancers[id].custody.clone();
                self.say(wire_of(peer), 1, Message::Welcome { sockets, superseded });
            }
            PeersAction::Decline(peer, why) => {
                self.balancers[id].successors.remove(&wire_of(peer));
                let again = !matches!(why, Declined::TooLate);
                self.say(wire_of(peer), 1, Message::Refused { again });
                self.hang_up(wire_of(peer));
            }
            PeersAction::GiveName(peer) => {
                let name = self.balancers[id].name.sockets.clone();
                self.say(wire_of(peer), 1, Message::Relieved(name));
            }
            PeersAction::TellPredecessor(word) => {
                if let Some(wire) = self.balancers[id].predecessor {
                    let message = match word {
                        ToPredecessor::Serving => Message::Serving,
                        ToPredecessor::Settled => Message::Settled,
                    };
                    self.say(wire, 0, message);
                }
            }
            PeersAction::PartFromPredecessor => {
                if let Some(wire) = self.balancers[id].predecessor.take() {
                    self.hang_up(wire);
                }
            }
            PeersAction::TalkToHolder => {
                let came = self.balancers[id].came.take();
                if let Some(former) = std::mem::replace(&mut self.balancers[id].holder, came) {
                    self.hang_up(former);
                }
            }
            PeersAction::SendHolderAway => {
                if let Some(wire) = self.balancers[id].came.take() {
                    self.hang_up(wire);
                }
            }
            PeersAction::TellHolder(what) => {
                let message = match what {
                    ToHolder::Keep => Message::Keep(self.balancers[id].custody.clone()),
                    ToHolder::Servers => Message::Servers,
                    ToHolder::Release { at_once } => Message::Release { at_once },
                };
                self.say_to_holder(id, message);
            }
            PeersAction::Report(report) => self.note(format!("balancer {id}: {report:?}")),
            PeersAction::Tell(_)
            | PeersAction::ListenAnew
            | PeersAction::MakeFile
            | PeersAction::StandAside
            | PeersAction::ComeBack => {}
        }
        None
    }

    fn open_part(&mut self, id: Id, part: NamePart) -> PeersEvent {
        let makes = part == NamePart::Door && self.balancers[id].name.sockets.len() < 2;
        let door = if makes && !self.no_doors { self.bind(Purpose::Door) } else { None };
        let name = &mut self.balancers[id].name;
        name.sockets.extend(door);
        if makes && door.is_none() {
            return PeersEvent::NotOpened("made up".to_owned());
        }
        name.at_door |= part == NamePart::Door;
        PeersEvent::Opened(part)
    }

    fn say_to_holder(&mut self, id: Id, message: Message) {
        if let Some(wire) = self.balancers[id].holder {
            let side = usize::from(self.wires[wire].ends[0] != Some(Party::Balancer(id)));
            self.say(wire, side, message);
        }
    }

    /// A word of the predecessor.
    pub fn successor_hears(&mut self, id: Id, message: Message) {
        let event = match message {
            Message::Relieved(given) => {
                self.step_cutover(id, CutoverEvent::PredecessorDrains);
                let named = !given.is_empty();
                self.balancers[id].name.given = given;
                PeersEvent::Relieved { named }
            }
            Message::Refused { .. } => {
                PeersEvent::Withdrawn(Failure::new(ExitCode::InstanceTaken, "made up"))
            }
            Message::Closed => {
                self.balancers[id].predecessor = None;
                self.step_cutover(id, CutoverEvent::PredecessorDrains);
                PeersEvent::PredecessorGone
            }
            _ => return,
        };
        self.tell_peers(id, event);
        self.balancers[id].name.given.clear();
    }

    /// A word of one that has knocked.
    pub fn incumbent_hears(&mut self, id: Id, wire: Wire, message: Message) {
        let peer = Peer(wire as u64);
        let event = match message {
            Message::Hello(Caller::Successor { origin }) => {
                self.balancers[id].successors.insert(wire);
                PeersEvent::Asked { peer, origin: Some(origin) }
            }
            Message::Hello(Caller::Holder) => {
                self.balancers[id].came = Some(wire);
                PeersEvent::HolderCame
            }
            Message::Serving => PeersEvent::Serves(peer),
            Message::Settled => PeersEvent::ServesWell(peer),
            Message::Closed if self.balancers[id].holder == Some(wire) => return,
            Message::Closed if self.balancers[id].successors.remove(&wire) => {
                if self.balancers[id].peers.has_given_to(peer) {
                    self.inherits(id);
                }
                PeersEvent::Gone(peer)
            }
            _ => return,
        };
        self.tell_peers(id, event);
    }
}
