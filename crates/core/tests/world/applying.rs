//! Changes at run time: what the HAProxy of a balancer has, and what is done to it over its runtime API.

use super::*;

/// What has to do with changes at run time.
#[derive(Debug)]
pub enum OnApply {
    /// A plan is ready. Unset: the file is bad.
    Planned(Id, Generation, Option<File>),
    /// The last command is answered.
    Applied(Id, Generation),
}

/// What a HAProxy has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Whole(File),
    /// Half of a change.
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Planning(Generation),
    Applying(Generation),
}

/// Of one balancer.
pub struct AtRunTime {
    setting: ApplySetting,
    has: BTreeMap<Generation, Content>,
    doing: Option<Doing>,
    asked: u64,
    unanswered: BTreeSet<u64>,
}

impl AtRunTime {
    pub fn new(auto: bool) -> Self {
        let setting = if auto { ApplySetting::Auto } else { ApplySetting::Reload };
        Self { setting, has: BTreeMap::new(), doing: None, asked: 0, unanswered: BTreeSet::new() }
    }

    pub fn supervisor(&self) -> Supervisor {
        Supervisor::new(Limits { apply: self.setting, ..LIMITS })
    }

    /// Whatever is under way under this number comes to nothing.
    pub fn is_given_up(&mut self, generation: Generation) {
        let (planning, applying) = (Doing::Planning(generation), Doing::Applying(generation));
        self.doing.take_if(|doing| *doing == planning || *doing == applying);
    }
}

impl World {
    pub fn something_happens_at_run_time(&mut self) {
        if self.apply_random.u8(0..4) > 0 || self.living.is_empty() {
            return;
        }
        let id = self.living[self.apply_random.usize(0..self.living.len())];
        if !self.balancers[id].is_running() {
            return;
        }
        let side = &mut self.balancers[id].at_run_time;
        side.asked += 1;
        let request = RequestId(1_000 + side.asked);
        side.unanswered.insert(request.0);
        self.note(format!("balancer {id} is to apply: {request:?}"));
        self.tell(id, Event::ApplyAsked(request));
    }

    pub fn plans(&mut self, id: Id, generation: Generation) -> Option<Event> {
        let file = self.good_file.then(|| self.file.clone());
        let one = &mut self.balancers[id];
        let is_free = one.at_run_time.doing.replace(Doing::Planning(generation)).is_none();
        let serving = one.supervisor.serving().and_then(|serving| one.at_run_time.has.get(&serving));
        let is_whole = matches!(serving, Some(Content::Whole(_)));
        let is_ours = !one.successors.iter().any(|wire| one.peers.has_given_to(Peer(*wire as u64)));
        if !is_free || !is_whole || !is_ours {
            self.fault = Some(format!("balancer {id} plans generation {generation} beside something else"));
        }
        let past = &mut self.balancers[id].past;
        let former = file.as_ref().and_then(|file| past.reads(generation, Source::Disk, file));
        if let Some(file) = file.clone() {
            self.balancers[id].path.files.insert(generation, file);
        }
        let delay = self.soon();
        self.at(delay, Happening::OnApply(OnApply::Planned(id, generation, file)));
        former.map(|former| Event::SameFiles { generation, former })
    }

    pub fn happens_at_run_time(&mut self, happening: OnApply) {
        match happening {
            OnApply::Planned(id, generation, file) => {
                if self.balancers[id].at_run_time.doing == Some(Doing::Planning(generation)) {
                    let event = self.plan(id, generation, file);
                    self.tell_if_it_lives(id, event);
                }
            }
            OnApply::Applied(id, generation) => {
                if self.balancers[id].at_run_time.doing == Some(Doing::Applying(generation)) {
                    self.is_applied(id, generation);
                }
            }
        }
    }

    /// What is transparent needs more than HAProxy.
    fn plan(&mut self, id: Id, generation: Generation, file: Option<File>) -> Event {
        let Some(file) = file else {
            let failure = Failure::new(ExitCode::ConfigurationRefused, "made up");
            return Event::Failed { generation, failure };
        };
        let one = &self.balancers[id];
        let serving = one.supervisor.serving().and_then(|serving| one.at_run_time.has.get(&serving));
        let planned = match serving {
            Some(Content::Whole(has)) if *has == file => Planned::Same,
            Some(Content::Whole(has))
                if has.transparent == file.transparent && self.apply_random.u8(0..4) > 0 =>
            {
                Planned::RunTime { tally: "made up".to_owned(), commands: 1 }
            }
            _ => Planned::Reload { reasons: vec!["made up".to_owned()] },
        };
        Event::Planned { generation, planned }
    }

    /// From here on it has neither the one nor the other. Now and then a command is never answered.
    pub fn applies(&mut self, id: Id, generation: Generation) {
        let one = &mut self.balancers[id];
        one.at_run_time.doing = Some(Doing::Applying(generation));
        let Some(serving) = one.supervisor.serving() else { return };
        one.at_run_time.has.insert(serving, Content::Half);
        if self.apply_random.u8(0..10) > 0 {
            let delay = self.soon();
            self.at(delay, Happening::OnApply(OnApply::Applied(id, generation)));
        }
    }

    fn is_applied(&mut self, id: Id, generation: Generation) {
        let breaks = self.apply_random.u8(0..4) == 0;
        let one = &mut self.balancers[id];
        let serving = one.supervisor.serving().filter(|serving| one.processes.contains_key(serving));
        let outcome = match (serving, one.past.file(generation)) {
            (Some(serving), Some(file)) if !breaks => {
                one.at_run_time.has.insert(serving, Content::Whole(file.clone()));
                ApplyOutcome::Done { commands: 1 }
            }
            _ => ApplyOutcome::Broken { steps_done: 0, why: "made up".to_owned() },
        };
        self.tell_if_it_lives(id, Event::Applied { generation, outcome });
    }

    /// From now on it counts as what the generation that serves has.
    pub fn adopts(&mut self, id: Id, generation: Generation, serving: Generation) {
        self.note(format!("balancer {id}: generation {serving} has the file of {generation}"));
        let one = &mut self.balancers[id];
        one.at_run_time.doing = None;
        let file = one.past.file(generation).cloned();
        let has = one.at_run_time.has.get(&serving).cloned();
        if has != file.clone().map(Content::Whole) {
            self.fault = Some(format!("generation {serving} of balancer {id} has {has:?}, and not {file:?}"));
        }
        one.past.commits(generation);
        if let Some(file) = file {
            one.path.files.insert(serving, file);
        }
    }

    pub fn has_what_it_was_started_from(&mut self, id: Id, generation: Generation) {
        let one = &mut self.balancers[id];
        if let Some(file) = one.past.served().cloned() {
            one.at_run_time.has.insert(generation, Content::Whole(file));
        }
    }

    pub fn is_answered(&mut self, id: Id, request: RequestId, answer: &Answer) {
        // Those for rollbacks have all the same number.
        if request.0 > 1_000 && !self.balancers[id].at_run_time.unanswered.remove(&request.0) {
            self.fault = Some(format!("balancer {id} answers {request:?} a second time: {answer:?}"));
        }
    }

    pub fn all_are_answered(&mut self, id: Id) {
        let left = &self.balancers[id].at_run_time.unanswered;
        if !left.is_empty() {
            self.fault = Some(format!("balancer {id} leaves without an answer to {left:?}"));
        }
    }

    /// While nothing is under way, what serves has what was read last, whole, or is about to be replaced.
    pub fn check_what_serves(&self) -> Result<(), String> {
        for id in &self.living {
            let one = &self.balancers[*id];
            let Some(serving) = one.supervisor.serving() else { continue };
            let (has, known) = (one.at_run_time.has.get(&serving), one.past.served());
            if matches!((has, known), (Some(Content::Whole(has)), Some(known)) if has == known) {
                continue;
            }
            let is_due = has == Some(&Content::Half) && one.supervisor.due().is_some();
            let phase = one.supervisor.status(self.now - one.begun).state;
            if phase == SupervisorPhase::Serving && !is_due {
                return Err(format!("generation {serving} of balancer {id} has {has:?}, and not {known:?}"));
            }
        }
        Ok(())
    }

    pub fn check_what_serves_at_rest(&self) -> Result<(), String> {
        for id in &self.living {
            let one = &self.balancers[*id];
            let left = &one.at_run_time.unanswered;
            let serving = one.supervisor.serving();
            if serving.is_some_and(|serving| one.at_run_time.has.get(&serving) == Some(&Content::Half)) {
                return Err(format!("what balancer {id} serves with has half of a change at rest"));
            }
            if one.supervisor.status(self.now - one.begun).state == SupervisorPhase::Serving
                && !left.is_empty()
            {
                return Err(format!("balancer {id} has not answered {left:?}"));
            }
        }
        Ok(())
    }
}
