//! What has to be so, at every moment and at rest.

use super::*;

impl World {
    pub fn check(&self) -> Result<(), String> {
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
    pub fn check_at_rest(&self) -> Result<(), String> {
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
        // Of two that serve, the holder holds for the one that has told it last.
        let in_doubt = self.living.iter().any(|id| lost_its_name(&self.balancers[*id]));
        if let Some(holder) = self.holders.iter().find(|one| one.alive && !in_doubt)
            && !(holder.sockets && holder.owner.is_some() && holder.owner == one.holder)
        {
            return Err(format!(
                "the holder does not hold for balancer {id} ({:?}): sockets {}, owner {:?} {:?}, until {:?}",
                one.holder,
                holder.sockets,
                holder.owner,
                holder.owner.map(|wire| self.wires[wire].ends),
                holder.until
            ));
        }
        Ok(())
    }
}
