//! What has to be so, at every moment and at rest.

use super::*;

impl Balancer {
    pub fn is_running(&self) -> bool {
        self.alive && matches!(self.phase, Phase::Running)
    }

    /// Whether clients are accepted.
    fn accepts(&self) -> bool {
        self.processes.values().any(|process| process.accepts())
    }
}

impl World {
    /// The known exception (decision 0012): its predecessor was killed before it gave the name, and a third one took that
    /// first. Both serve, clients are the third one's (it steers round the other), and the log of this one says so.
    pub fn has_lost_its_name(&self, id: Id) -> bool {
        let Balancer { name, predecessor, .. } = &self.balancers[id];
        let has_ended = |wire: Wire| {
            let Conversation { open, queues, .. } = &self.wires[wire];
            !open && !queues[0].iter().any(|message| matches!(message, Message::Relieved(_)))
        };
        name.sockets.is_empty() && predecessor.is_none_or(has_ended)
    }

    pub fn check(&self) -> Result<(), String> {
        let running =
            || self.living.iter().map(|id| (*id, &self.balancers[*id])).filter(|(_, one)| one.is_running());
        let doors: Vec<Id> = running()
            .filter(|(_, one)| !one.name.sockets.is_empty() && !one.name.gate_closed)
            .map(|(id, _)| id)
            .collect();
        if doors.len() > 1 {
            return Err(format!("several balancers serve one name: {doors:?}"));
        }
        for (id, one) in running() {
            if one.peers.has_the_name() != doors.contains(&id) {
                return Err(format!("balancer {id} is wrong about what it has of the name: {:?}", one.name));
            }
            if one.custody.is_empty() || one.released {
                continue;
            }
            let due = one.supervisor.due().is_some() || !one.preparing.is_empty();
            let waits = !one.successors.is_empty() || one.predecessor.is_some();
            if !one.accepts() && !due && !waits {
                return Err(format!("balancer {id} holds sockets, and nothing will accept on them"));
            }
        }
        self.check_what_serves()?;
        self.check_those_that_accept()?;
        self.check_gates()?;
        self.check_clients()?;
        self.check_paths()
    }

    /// Two accept clients only in a takeover, which has not been heard of everywhere yet.
    fn check_those_that_accept(&self) -> Result<(), String> {
        let accept: Vec<Id> =
            self.living.iter().copied().filter(|id| self.balancers[*id].accepts()).collect();
        for (place, one) in accept.iter().enumerate() {
            for other in &accept[..place] {
                let excused = [one, other].iter().any(|id| self.has_lost_its_name(**id));
                if !excused && !self.are_talking(*one, *other) {
                    return Err(format!("balancers {other} and {one} serve, and do not talk to each other"));
                }
            }
        }
        Ok(())
    }

    fn are_talking(&self, one: Id, other: Id) -> bool {
        let both = [Some(Party::Balancer(one)), Some(Party::Balancer(other))];
        let ends = self.talking.iter().map(|wire| self.wires[*wire].ends);
        ends.into_iter().any(|ends| ends == both || ends == [both[1], both[0]])
    }

    /// Nothing has happened for a long time.
    pub fn check_at_rest(&self) -> Result<(), String> {
        self.check_paths_at_rest()?;
        self.check_what_serves_at_rest()?;
        let wanted = |one: &&Balancer| one.alive && !one.stopped;
        let serving: Vec<Id> = (0..self.balancers.len())
            .filter(|id| {
                let one = &self.balancers[*id];
                one.alive && one.supervisor.is_ready() && one.accepts() && !self.has_lost_its_name(*id)
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
        if !one.peers.has_the_name() || !one.name.at_door {
            return Err(format!("balancer {id} serves, and the next one cannot take over from it"));
        }
        if one.predecessor.is_some() || !one.successors.is_empty() {
            return Err(format!("balancer {id} still talks to another one"));
        }
        // Of two that serve, the holder holds for the one that has told it last.
        if self.living.iter().any(|id| self.balancers[*id].accepts() && self.has_lost_its_name(*id)) {
            return Ok(());
        }
        let deaf: Vec<Socket> =
            self.open_sockets(Purpose::Clients).filter(|socket| one.custody != [*socket]).collect();
        if !deaf.is_empty() {
            return Err(format!(
                "clients wait in {deaf:?}, where nothing accepts: {:?} is served",
                one.custody
            ));
        }
        self.check_clients_at_rest(id)?;
        self.check_costs_at_rest(id)?;
        self.check_the_holder(id)
    }

    fn check_the_holder(&self, id: Id) -> Result<(), String> {
        let Some(holder) = self.holders.iter().find(|one| one.alive) else { return Ok(()) };
        let (one, owner) =
            (&self.balancers[id], holder.keeping.owner().map(|BalancerId(wire)| wire_of(Peer(wire))));
        if owner.is_none() || owner != one.holder || holder.keeping.sockets() != one.custody {
            return Err(format!(
                "the holder does not hold for balancer {id} ({:?}): {:?} of {owner:?}, until {:?}",
                one.holder,
                holder.keeping.sockets(),
                holder.keeping.until()
            ));
        }
        Ok(())
    }
}
