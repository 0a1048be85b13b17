//! A balancer that runs, as the rooms of the crate `clearway` have it: what it does is what its [`Supervisor`] says.

use clearway_core::cutover::CutoverEvent;
use clearway_core::path::PathEvent;

use super::*;

impl World {
    pub fn origin(&self, id: Id) -> String {
        self.containers[self.balancers[id].container].origin.clone()
    }

    pub fn tell_if_it_lives(&mut self, id: Id, event: Event) {
        if self.balancers[id].is_running() {
            self.tell(id, event);
        } else if self.balancers[id].alive && matches!(event, Event::StopAsked(_)) {
            self.dies(id, Some(ExitCode::Done));
        }
    }

    /// It looks at the clock, for both of its machines.
    pub fn wake(&mut self, id: Id) {
        self.balancers[id].wakes = Duration::MAX;
        if self.balancers[id].is_running() {
            self.tell_peers(id, PeersEvent::TimePassed);
            self.tell_if_it_lives(id, Event::TimePassed);
        }
    }

    pub fn tell(&mut self, id: Id, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now - self.balancers[id].begun;
            for action in self.balancers[id].supervisor.step(event, now) {
                self.cost_hears(id, &action);
                if let Action::Exit(code) = action {
                    self.all_are_answered(id);
                    self.tell_peers(id, PeersEvent::Leaves);
                    self.path_leaves(id, code);
                    return self.dies(id, Some(code));
                }
                events.extend(self.carry_out(id, action));
            }
        }
        self.wake_in_time(id);
    }

    /// Looks at the clock when either machine has something due.
    pub fn wake_in_time(&mut self, id: Id) {
        let balancer = &mut self.balancers[id];
        let due = [balancer.supervisor.due(), balancer.peers.due()].into_iter().flatten().min();
        let Some(due) = due else { return };
        let at = (balancer.begun + due).max(self.now);
        if at < balancer.wakes || balancer.wakes <= self.now {
            balancer.wakes = at;
            self.at(at - self.now, Happening::Wake(id));
        }
    }

    pub fn carry_out(&mut self, id: Id, action: Action) -> Option<Event> {
        let delay = self.soon();
        match action {
            Action::Plan(generation) => return self.plans(id, generation),
            Action::Apply(generation) => self.applies(id, generation),
            Action::Adopt { generation, serving } => self.adopts(id, generation, serving),
            Action::Answer(request, answer) => self.is_answered(id, request, &answer),
            Action::Prepare(generation, source) => {
                self.balancers[id].at_run_time.is_given_up(generation);
                self.balancers[id].preparing.insert(generation);
                let file = match source {
                    Source::Disk => self.good_file.then(|| self.file.clone()),
                    Source::Served(former) => self.balancers[id].past.file(former).cloned(),
                };
                let past = &mut self.balancers[id].past;
                let former = file.as_ref().and_then(|file| past.reads(generation, source, file));
                self.at(delay, Happening::OnPath(OnPath::Prepare(id, generation, file)));
                return former.map(|former| Event::SameFiles { generation, former });
            }
            Action::Launch(generation, _) => {
                let socket = self.launch(id, generation);
                let process = Process { leaves: false, committed: false, socket };
                let held = &self.balancers[id].custody;
                let is_held = held.contains(&socket);
                let names = |there: bool| if there { vec!["127.0.0.1:80".to_owned()] } else { Vec::new() };
                let unclaimed = names(!is_held && !held.is_empty());
                let proof = Proof { worker: 1, adopted: names(is_held), fresh: names(!is_held), unclaimed };
                self.balancers[id].processes.insert(generation, process);
                self.at(delay, Happening::Tell(id, Event::Proved { generation, proof }));
                return Some(Event::Started { generation, pid: 1 });
            }
            Action::Abandon(generation) => {
                self.balancers[id].at_run_time.is_given_up(generation);
                self.balancers[id].preparing.remove(&generation);
                self.abandons(id, generation);
            }
            Action::Carry(generation) => {
                return Some(Event::Carried { generation, carried: Carried::default() });
            }
            Action::Switch(generation) => return self.begin_switch(id, generation),
            Action::Commit(generation) => {
                self.note(format!("balancer {id} commits generation {generation}"));
                self.switch_is_committed(id, generation);
                self.balancers[id].past.commits(generation);
                self.has_what_it_was_started_from(id, generation);
                self.commits(id, generation);
                self.path_serves(id, generation);
                self.tell_peers(id, PeersEvent::Committed);
                self.tell_peers(id, PeersEvent::ServersKnown);
            }
            Action::RememberOnly(wanted) => self.balancers[id].past.remember_only(&wanted),
            Action::Attempted(attempted) => {
                if let Err(what) = self.balancers[id].past.check(&attempted) {
                    self.fault = Some(format!("balancer {id}: {what}"));
                }
            }
            Action::Unplumb => self.step_path(id, PathEvent::Unplumb),
            Action::Drain(generation) => self.step_cutover(id, CutoverEvent::Draining(generation)),
            Action::End(generation, How::Terminate | How::Kill) => self.process_leaves(id, generation, 100),
            Action::Survey(generations) => {
                let told = |generation| Survey { generation, sessions: None, memory: None };
                return Some(Event::Surveyed(generations.into_iter().map(told).collect()));
            }
            Action::ReleaseCustody => {
                self.step_cutover(id, CutoverEvent::Released);
                let balancer = &mut self.balancers[id];
                (balancer.custody, balancer.released) = (Vec::new(), true);
                let at_once = self.random.u8(0..8) == 0;
                self.step_path(id, PathEvent::ReleaseCustody);
                self.tell_peers(id, PeersEvent::Released { at_once });
            }
            action => self.deal_with_others(id, action),
        }
        None
    }

    pub fn process_leaves(&mut self, id: Id, generation: Generation, within: u64) {
        let Some(process) = self.balancers[id].processes.get_mut(&generation) else { return };
        process.leaves = true;
        let delay = Duration::from_millis(self.random.u64(0..within));
        self.at(delay, Happening::Ends(id, generation));
    }

    pub fn process_ends(&mut self, id: Id, generation: Generation, end: End) {
        let Some(process) = self.balancers[id].processes.remove(&generation) else { return };
        self.close_what_nothing_has();
        if !self.balancers[id].is_running() {
            return;
        }
        self.abandons(id, generation);
        if let Some(event) = if process.committed { self.misplaced(id) } else { None } {
            self.tell_if_it_lives(id, event);
        }
        self.tell_if_it_lives(id, Event::Exited { generation, end });
        let failure = Failure::new(ExitCode::NotReady, "made up");
        let delay = self.soon();
        self.at(delay, Happening::Tell(id, Event::LastWords { generation, failure }));
    }

    pub fn balancer_hears(&mut self, id: Id, wire: Wire, side: usize, message: Message) {
        match (&self.balancers[id].phase, side) {
            (Phase::Asking(asked), 0) if *asked == wire => self.newcomer_hears(id, wire, message),
            (Phase::AskingHolder(asked), 0) if *asked == wire => self.asker_hears(id, wire, message),
            (Phase::Running, 0) if self.balancers[id].predecessor == Some(wire) => {
                self.successor_hears(id, message);
            }
            (Phase::Running, 1) => self.incumbent_hears(id, wire, message),
            _ => {}
        }
    }
}
