//! What a path asks for, done: the kernel puts rules, hints and refuses, servers answer the canary.

use super::*;

impl World {
    pub(super) fn carry_out_on_path(&mut self, id: Id, action: PathAction) -> Option<PathEvent> {
        match action {
            PathAction::Install(needs) => {
                if self.kernel_refuses(id) {
                    return None;
                }
                self.network.install(id, &needs);
                self.after_a_change(false);
                return Some(PathEvent::Installed(needs));
            }
            PathAction::Follow(needs) => {
                if self.kernel_refuses(id) {
                    return None;
                }
                let former = self.network.tables.get(&id).map(|table| table.needs.clone());
                let (made, removed) = self.network.follow(id, &needs);
                self.nothing_is_taken_away(id, &former.unwrap_or_default());
                self.after_a_change(removed);
                return Some(PathEvent::Followed { needs, changed: made || removed });
            }
            PathAction::Watch => return self.watch(id),
            PathAction::Unwatch => self.balancers[id].path.watch = None,
            PathAction::Look => return Some(self.look(id)),
            PathAction::StopIntercepting => {
                if let Some(table) = self.network.tables.get_mut(&id) {
                    table.intercepts = false;
                }
            }
            PathAction::Remove(closing) => {
                self.network.remove(id, closing);
                self.after_a_change(true);
            }
            PathAction::Ask(round) => return self.ask(id, round),
            PathAction::GiveUp => {
                if let Some(last) = self.balancers[id].path.asking.last_mut() {
                    last.given_up = true;
                }
            }
            PathAction::SweepTheRest | PathAction::SayRemovedAgainAndAgain => {}
        }
        None
    }

    /// From a generation that drains, or that serves while another one is prepared.
    fn nothing_is_taken_away(&mut self, id: Id, former: &BTreeSet<u16>) {
        let one = &self.balancers[id];
        let others = one.path.prepares || one.processes.len() > 1;
        let keeps = |table: &network::Table| former.is_subset(&table.needs);
        if others && !self.network.tables.get(&id).is_some_and(keeps) {
            self.fault = Some(format!("balancer {id} takes a rule away that another generation may need"));
        }
    }

    fn kernel_refuses(&mut self, id: Id) -> bool {
        let refuses = !self.rests && self.path_random.u8(0..30) == 0;
        self.balancers[id].path.failed |= refuses;
        refuses
    }

    fn watch(&mut self, id: Id) -> Option<PathEvent> {
        let fails = self.path_random.u8(0..10) == 0;
        let path = &mut self.balancers[id].path;
        path.watches += 1;
        (path.watch, path.hints) = (Some(path.watches).filter(|_| !fails), 0);
        fails.then_some(PathEvent::CannotWatch)
    }

    fn look(&mut self, id: Id) -> PathEvent {
        let now = self.now;
        if self.kernel_refuses(id) {
            return PathEvent::LookFailed;
        }
        let (repaired, removed) = self.network.put(id);
        let path = &mut self.balancers[id].path;
        if !path.prepares {
            remember(&mut path.looks, now);
        }
        if repaired && !path.prepares {
            remember(&mut path.repairs, now);
        }
        self.after_a_change(removed);
        if repaired && self.network.fight_until > now {
            let delay = Duration::from_millis(self.path_random.u64(0..50));
            self.at(delay, Happening::OnPath(OnPath::Flush));
        }
        PathEvent::Looked { repaired }
    }

    fn ask(&mut self, id: Id, round: Round) -> Option<PathEvent> {
        if self.path_random.u8(0..30) == 0 {
            return Some(PathEvent::CouldNotAsk);
        }
        let (hangs, late) = (self.path_random.u8(0..25) == 0, self.path_random.u8(0..5) == 0);
        let took = Duration::from_millis(self.path_random.u64(0..if late { 120_000 } else { 5_000 }));
        let now = self.now;
        let path = &mut self.balancers[id].path;
        remember(&mut path.rounds, now);
        let servers = path.machine.servers().map(|(server, _)| server).collect();
        path.asking.push(Asking { round, given_up: false, servers });
        if !hangs {
            self.at(took, Happening::OnPath(OnPath::RoundEnds(id, round)));
        }
        None
    }
}
