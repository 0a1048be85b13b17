//! The switches of a balancer: their threads, which may be late or fail, and what is undone of what they have done.

use clearway_core::cutover::{CutoverAction, CutoverEvent, Done, FORMER_CLOSING, GATE_CLOSED, Whose};

use super::clients::Port;
use super::diverting::Strategy;
use super::*;

/// What happens to a switch.
#[derive(Debug)]
pub enum OnSwitch {
    /// Its thread sends clients elsewhere.
    Diverts(Id, Generation),
    /// Its thread tells what it has done.
    Tells(Id, Generation),
    /// A thread looks whether sockets are closed, until then.
    Looks(Id, Generation, Vec<Socket>, Duration),
    /// The machine looks at the clock.
    Wake(Id),
}

/// What is to be done for a generation, and what was.
#[derive(Debug, Default)]
pub struct Switch {
    pub former: Vec<Socket>,
    new: Vec<Socket>,
    ways: Option<(Option<Port>, Port)>,
    gates: bool,
    abandoned: bool,
    overtaken: bool,
    told: bool,
    committed: Option<Duration>,
    steered: Option<Port>,
    sealed: Vec<Socket>,
    /// What leaves and would go on getting clients.
    pub alone: Vec<Socket>,
    /// What is stopped until that is closed.
    gated: Vec<Socket>,
    pub gate: Option<Port>,
    redirected: bool,
    failed: bool,
}

impl Switch {
    fn is_decided(&self) -> bool {
        self.abandoned || self.overtaken
    }

    fn leaving(&self) -> Vec<Socket> {
        self.former.iter().copied().filter(|socket| !self.new.contains(socket)).collect()
    }

    fn leads_away_from(&self, port: Option<Port>) -> bool {
        self.redirected && self.ways.is_some_and(|(from, _)| from.is_none() || from == port)
    }
}

impl World {
    pub fn happens_to_switch(&mut self, happening: OnSwitch) {
        match happening {
            OnSwitch::Diverts(id, generation) if self.balancers[id].is_running() => {
                self.thread_diverts(id, generation);
                let late =
                    if self.switch_random.u8(0..10) == 0 { Duration::from_secs(5) } else { Duration::ZERO };
                let delay = self.soon() + late;
                self.at(delay, Happening::OnSwitch(OnSwitch::Tells(id, generation)));
            }
            OnSwitch::Tells(id, generation) if self.balancers[id].is_running() => {
                self.thread_tells(id, generation);
            }
            OnSwitch::Looks(id, generation, sockets, until) if self.balancers[id].is_running() => {
                self.look_whether_closed(id, generation, sockets, until);
            }
            OnSwitch::Wake(id) if self.balancers[id].is_running() => {
                self.step_cutover(id, CutoverEvent::TimePassed);
            }
            _ => {}
        }
    }

    /// The core wants clients to be brought to a generation.
    pub fn begin_switch(&mut self, id: Id, generation: Generation) -> Option<Event> {
        let Balancer { processes, custody, peers, cutover, .. } = &mut self.balancers[id];
        let Some(process) = processes.get(&generation) else {
            return Some(Event::Switched { generation, moved: Vec::new() });
        };
        let switch = Switch {
            former: custody.clone(),
            new: vec![process.socket],
            ways: cutover.ways(generation),
            gates: cutover.strategy == Strategy::Plug && !peers.has_predecessor(),
            ..Switch::default()
        };
        cutover.switches.insert(generation, switch);
        self.step_cutover(id, CutoverEvent::SwitchAsked(generation));
        None
    }

    /// Whether what was held is still.
    pub fn has_former(&self, id: Id, switch: &Switch) -> bool {
        let Balancer { custody, cutover, .. } = &self.balancers[id];
        *custody == switch.former || cutover.former == switch.former
    }

    fn has_new(&self, id: Id, generation: Generation, switch: &Switch) -> bool {
        let Balancer { custody, processes, .. } = &self.balancers[id];
        *custody == switch.new || processes.contains_key(&generation)
    }

    fn thread_diverts(&mut self, id: Id, generation: Generation) {
        let Some(mut switch) = self.balancers[id].cutover.switches.remove(&generation) else { return };
        let wanted =
            !switch.abandoned && self.has_former(id, &switch) && self.has_new(id, generation, &switch);
        if wanted {
            self.note(format!(
                "balancer {id} diverts the clients of {:?} to {:?}",
                switch.leaving(),
                switch.new
            ));
            self.send_elsewhere(id, &mut switch);
            // A strategy that was asked for is done, or fails.
            if self.balancers[id].cutover.strategy != Strategy::Handoff && self.switch_random.u8(0..6) == 0 {
                self.bring_back(id, &mut switch);
            }
        }
        self.balancers[id].cutover.switches.insert(generation, switch);
    }

    fn send_elsewhere(&mut self, id: Id, switch: &mut Switch) {
        let leaving = switch.leaving();
        for socket in leaving.iter().copied().filter(|socket| self.listeners.listens(*socket)) {
            let Some(port) = self.listeners.port(socket) else { continue };
            let group = self.listeners.group(port);
            let is_served = group.iter().any(|one| switch.new.contains(one));
            let is_known = |one: &Socket| switch.new.contains(one) || switch.former.contains(one);
            match (is_served, group.iter().all(is_known)) {
                (true, _) if switch.gates => switch.gated.push(socket),
                (true, true) => switch.steered = Some(port),
                _ => switch.sealed.push(socket),
            }
        }
        switch.gate = switch.gated.first().and_then(|socket| self.listeners.port(*socket));
        if let Some((_, to)) = switch.ways
            && !switch.is_decided()
        {
            self.set_way(id, Some(to));
            switch.redirected = true;
        }
        if let Some(port) = switch.steered {
            self.listeners.steer(port, &switch.new);
        }
        let stay_open: Vec<Socket> =
            leaving.into_iter().filter(|one| !switch.leads_away_from(self.listeners.port(*one))).collect();
        switch.sealed.retain(|one| stay_open.contains(one));
        for socket in &switch.sealed {
            self.listeners.set_sealed(*socket, true);
        }
        let is_steered =
            |one: &Socket| switch.steered.is_some() && self.listeners.port(*one) == switch.steered;
        switch.alone = stay_open.into_iter().filter(|one| !is_steered(one)).collect();
    }

    fn set_way(&mut self, id: Id, way: Option<Port>) {
        if let Some(table) = &mut self.balancers[id].cutover.table {
            table.way = way;
        }
    }

    /// It has failed.
    fn bring_back(&mut self, id: Id, switch: &mut Switch) {
        self.note(format!("balancer {id} fails to divert"));
        switch.failed = true;
        if !switch.overtaken {
            switch.gate = None;
            if let Some((from, _)) = switch.ways {
                self.set_way(id, from);
            }
        }
        if !switch.is_decided()
            && let Some(port) = switch.steered
        {
            self.listeners.steer(port, &switch.former);
        }
    }

    fn thread_tells(&mut self, id: Id, generation: Generation) {
        let Some(switch) = self.balancers[id].cutover.switches.get_mut(&generation) else { return };
        switch.told = true;
        let done = Done {
            gate: switch.gate.is_some(),
            steers: switch.steered.is_some(),
            leaves_listeners: !switch.alone.is_empty(),
        };
        let event = if switch.failed {
            Event::Failed { generation, failure: Failure::new(ExitCode::Kernel, "made up") }
        } else {
            Event::Switched { generation, moved: Vec::new() }
        };
        self.step_cutover(id, CutoverEvent::Moved(generation, done));
        self.tell_if_it_lives(id, event);
    }

    pub fn do_with_switch(&mut self, id: Id, action: CutoverAction) -> Option<CutoverEvent> {
        let switches = &mut self.balancers[id].cutover.switches;
        match action {
            CutoverAction::Move(generation) => {
                let delay = self.soon();
                self.at(delay, Happening::OnSwitch(OnSwitch::Diverts(id, generation)));
            }
            CutoverAction::Cancel(generation) => {
                switches.get_mut(&generation).into_iter().for_each(|one| one.abandoned |= !one.told);
            }
            CutoverAction::Overtake(generation) => {
                switches.get_mut(&generation).into_iter().for_each(|one| one.overtaken |= !one.told);
            }
            CutoverAction::TakeBack { generation, steers } => self.take_switch_back(id, generation, steers),
            CutoverAction::Watch(generation, whose) => return self.watch_closing(id, generation, whose),
            CutoverAction::OpenGate { generation, .. } => {
                switches.get_mut(&generation).into_iter().for_each(|one| one.gate = None);
            }
            CutoverAction::EndSteering(generation) => {
                let port = switches.get(&generation).and_then(|one| one.steered);
                let held = |port: &Port| {
                    self.balancers[id].custody.iter().any(|one| self.listeners.port(*one) == Some(*port))
                };
                if let Some(port) = port.filter(held) {
                    self.listeners.release(port);
                }
            }
            CutoverAction::Forget(generation) => drop(switches.remove(&generation)),
            _ => {}
        }
        None
    }

    fn take_switch_back(&mut self, id: Id, generation: Generation, steers: bool) {
        let Some(mut switch) = self.balancers[id].cutover.switches.remove(&generation) else { return };
        switch.gate = None;
        let (former, new) = (self.has_former(id, &switch), self.has_new(id, generation, &switch));
        for socket in switch.sealed.iter().filter(|_| former) {
            self.listeners.set_sealed(*socket, false);
        }
        if let Some(port) = switch.steered.filter(|_| steers && (former || new)) {
            self.listeners.steer(port, &switch.former);
        }
        self.balancers[id].cutover.switches.insert(generation, switch);
    }

    fn watch_closing(&mut self, id: Id, generation: Generation, whose: Whose) -> Option<CutoverEvent> {
        let switch = self.balancers[id].cutover.switches.get(&generation)?;
        let sockets = match whose {
            Whose::Former => switch.leaving(),
            Whose::New => switch.new.iter().copied().filter(|one| !switch.former.contains(one)).collect(),
        };
        if self.switch_random.u8(0..20) == 0 {
            return Some(CutoverEvent::NotWatched(generation));
        }
        let until = self.now + FORMER_CLOSING;
        self.at(Duration::ZERO, Happening::OnSwitch(OnSwitch::Looks(id, generation, sockets, until)));
        None
    }

    fn look_whether_closed(&mut self, id: Id, generation: Generation, sockets: Vec<Socket>, until: Duration) {
        if !sockets.iter().any(|socket| self.listeners.listens(*socket)) {
            self.step_cutover(id, CutoverEvent::FormerClosed(generation));
        } else if self.now >= until {
            self.step_cutover(id, CutoverEvent::NotWatched(generation));
        } else {
            let pause = Duration::from_millis(self.switch_random.u64(5..500));
            self.at(pause, Happening::OnSwitch(OnSwitch::Looks(id, generation, sockets, until)));
        }
    }

    /// A gate is for a switch, and not closed for long after its commit.
    pub fn check_gates(&self) -> Result<(), String> {
        for id in &self.living {
            let late = |switch: &&Switch| {
                let since = switch.committed.filter(|_| switch.told && switch.gate.is_some());
                since.is_some_and(|since| self.now > since + GATE_CLOSED)
            };
            if let Some(switch) = self.balancers[*id].cutover.switches.values().find(late) {
                return Err(format!("a gate of balancer {id} stays closed: {switch:?}"));
            }
        }
        Ok(())
    }

    /// It serves, whether its thread is done or not.
    pub fn switch_is_committed(&mut self, id: Id, generation: Generation) {
        let now = self.now;
        if let Some(switch) = self.balancers[id].cutover.switches.get_mut(&generation) {
            switch.committed = Some(now);
        }
    }
}
