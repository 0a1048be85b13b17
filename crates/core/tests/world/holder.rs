//! A holder, as `hold` and `hold::store` have it.

use super::*;

impl World {
    pub fn holder_wakes(&mut self, id: Id) {
        if !self.holders[id].alive {
            return;
        }
        let now = self.now - self.holders[id].begun;
        if self.holders[id].until.is_some_and(|until| until <= now) {
            (self.holders[id].sockets, self.holders[id].until) = (false, None);
        }
        if self.holders[id].lookout.look(now) && self.name_is_taken() {
            let wire = self.knock(Party::Holder(id), Message::Greeting);
            self.holders[id].lookout.begun(wire as u64);
        }
        let next = [self.holders[id].until, self.holders[id].lookout.due()].into_iter().flatten().min();
        if let Some(next) = next {
            let pause = next.saturating_sub(now).max(Duration::from_millis(1));
            if self.now + pause < self.holders[id].wakes || self.holders[id].wakes <= self.now {
                self.holders[id].wakes = self.now + pause;
                self.at(pause, Happening::HolderWakes(id));
            }
        }
    }

    pub fn holder_hears(&mut self, id: Id, wire: Wire, message: Message) {
        let now = self.now - self.holders[id].begun;
        let holder = &mut self.holders[id];
        match message {
            Message::Greeting => holder.lookout.begun(wire as u64),
            Message::Keep => {
                holder.lookout.kept(wire as u64);
                (holder.sockets, holder.owner, holder.until) = (true, Some(wire), None);
                holder.serving.insert(wire);
            }
            Message::Release | Message::Closed => {
                holder.lookout.over(wire as u64, now);
                holder.serving.remove(&wire);
                if holder.owner == Some(wire) {
                    holder.owner = holder.serving.last().copied();
                    let hold = Duration::from_secs(if matches!(message, Message::Release) { 30 } else { 60 });
                    holder.until = holder.owner.is_none().then(|| now + hold);
                }
            }
            _ => {}
        }
        self.holder_wakes(id);
    }
}
