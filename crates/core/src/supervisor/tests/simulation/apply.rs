//! What the imagined HAProxy has, and what is done to it at run time.

use super::*;

/// What a HAProxy has.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Content {
    /// What was read under this number.
    Whole(Generation),
    /// Half of a change.
    Half,
}

/// What is under way at the runtime API.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Doing {
    Planning(Generation),
    /// The number of the plan, and the generation that is changed.
    Applying(Generation, Generation),
}

impl Doing {
    fn number(self) -> Generation {
        match self {
            Self::Planning(number) | Self::Applying(number, _) => number,
        }
    }
}

/// What the shell knows of it, and what it has seen.
#[derive(Default)]
pub(super) struct AtRunTime {
    /// What each generation has that has served.
    has: BTreeMap<Generation, Content>,
    doing: Option<Doing>,
    /// What was under way at the generation that has just ended.
    ended_in: Option<Doing>,
    /// The number under which files were read for a plan last.
    read_for_plan: Option<Generation>,
    /// A clock that ticks with what is read and what is asked for.
    ticks: u64,
    read_at: BTreeMap<Generation, u64>,
    asked_at: BTreeMap<u64, u64>,
}

impl AtRunTime {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub(super) fn asked(&mut self, request: u64) {
        let tick = self.tick();
        self.asked_at.insert(request, tick);
    }

    pub(super) fn reads(&mut self, generation: Generation) {
        let tick = self.tick();
        self.read_at.insert(generation, tick);
    }

    pub(super) fn was_read(&self, generation: Generation) -> bool {
        self.read_for_plan == Some(generation)
    }

    pub(super) fn is_given_up(&mut self, generation: Generation) {
        self.doing.take_if(|doing| doing.number() == generation);
    }

    pub(super) fn commits(&mut self, generation: Generation, configuration: Generation) {
        self.has.insert(generation, Content::Whole(configuration));
    }

    /// A process ends.
    pub(super) fn ends(&mut self, generation: Generation, is_stopping: bool) {
        let served = self.has.remove(&generation).is_some();
        let at_it = |doing: &Doing| match doing {
            Doing::Planning(_) => served,
            Doing::Applying(_, serving) => *serving == generation,
        };
        self.ended_in = self.doing.filter(|doing| at_it(doing) && !is_stopping);
    }

    /// All that follows at once has been done.
    pub(super) fn has_ended(&mut self) {
        assert!(!matches!(self.ended_in, Some(Doing::Applying(..))), "the restart does not follow at once");
        self.ended_in = None;
    }

    /// Never a mixture: if the plan had begun, what was read for it, and else what is not on the disk now.
    pub(super) fn prepares(&mut self, generation: Generation, source: Source) {
        self.is_given_up(generation);
        match self.ended_in.take() {
            Some(Doing::Applying(number, _)) => {
                assert_eq!((generation, source), (number, Source::Served(number)), "not what was begun with");
            }
            Some(Doing::Planning(number)) => {
                assert!(generation != number && source != Source::Disk, "not what served");
            }
            None => {}
        }
    }
}

impl Simulation {
    pub(super) fn asks_to_apply(&mut self) {
        let request = self.request();
        self.step(Event::ApplyAsked(request));
    }

    /// The generation that serves, and what it has.
    fn content(&self) -> (Generation, Content) {
        let serving = self.committed.expect("it is planned, and none serves");
        (serving, self.at_run_time.has[&serving])
    }

    pub(super) fn plans(&mut self, generation: Generation) {
        let (_, content) = self.content();
        assert!(matches!(content, Content::Whole(_)), "what serves has half of a change");
        let doing = self.at_run_time.doing;
        assert!(self.stopping_since.is_none() && doing.is_none(), "it is planned, and {doing:?}");
        assert_eq!(self.peer, None, "another one has the sockets {:?}", self.supervisor.role);
        self.reads(generation);
        self.at_run_time.read_for_plan = Some(generation);
        self.at_run_time.doing = Some(Doing::Planning(generation));
        if self.random.u8(0..3) == 0 {
            let planned = self.some_plan(generation);
            self.events.push_back(Event::Planned { generation, planned });
        }
    }

    fn some_plan(&mut self, generation: Generation) -> Planned {
        let (_, Content::Whole(configuration)) = self.content() else { panic!("half of a change") };
        let is_same = self.texts[&generation] == self.texts[&configuration];
        match self.random.u8(0..4) {
            0 => Planned::Reload { reasons: vec!["made up".to_owned()] },
            _ if is_same => Planned::Same,
            _ => Planned::RunTime { tally: "made up".to_owned(), commands: 3 },
        }
    }

    /// From here on it has neither the one nor the other.
    pub(super) fn applies(&mut self, generation: Generation) {
        assert_eq!(self.at_run_time.doing, Some(Doing::Planning(generation)), "that was not planned");
        let (serving, _) = self.content();
        self.at_run_time.doing = Some(Doing::Applying(generation, serving));
        self.at_run_time.has.insert(serving, Content::Half);
    }

    /// What is planned or applied comes to something, or to nothing for a long time.
    pub(super) fn a_plan_goes_on(&mut self) {
        let failure = Failure::new(ExitCode::ConfigurationRefused, "made up");
        match self.at_run_time.doing {
            Some(Doing::Planning(generation)) => {
                let event = match self.random.u8(0..8) {
                    0 => Event::Failed { generation, failure },
                    _ => Event::Planned { generation, planned: self.some_plan(generation) },
                };
                self.step(event);
            }
            Some(Doing::Applying(generation, serving)) => {
                let outcome = match self.random.u8(0..4) {
                    0 => ApplyOutcome::Broken { steps_done: 1, why: "made up".to_owned() },
                    1 if self.random.bool() => return self.step(Event::Failed { generation, failure }),
                    _ => {
                        self.at_run_time.has.insert(serving, Content::Whole(generation));
                        ApplyOutcome::Done { commands: 3 }
                    }
                };
                self.step(Event::Applied { generation, outcome });
            }
            // A shell in confusion: all of this comes too late, or of nothing.
            None => {
                let generation = self.at_run_time.read_for_plan.unwrap_or(Generation::FIRST);
                let (done, tally) = (ApplyOutcome::Done { commands: 0 }, String::new());
                let late = [
                    Event::Planned { generation, planned: Planned::RunTime { tally, commands: 0 } },
                    Event::Planned { generation, planned: Planned::Same },
                    Event::Applied { generation, outcome: done },
                ];
                let some = self.random.usize(0..late.len());
                self.step(late[some].clone());
            }
        }
    }

    pub(super) fn adopts(&mut self, generation: Generation, serving: Generation) {
        let (committed, content) = self.content();
        assert_eq!(committed, serving, "it is not the one that serves");
        let has = match (self.at_run_time.doing.take(), content) {
            (Some(Doing::Planning(planned)), Content::Whole(configuration)) => {
                assert_eq!(self.texts[&generation], self.texts[&configuration], "it is not the same");
                planned
            }
            (Some(Doing::Applying(applied, _)), Content::Whole(configuration)) => {
                assert_eq!(applied, configuration, "it was not applied");
                applied
            }
            other => panic!("generation {serving} is to have {generation}: {other:?}"),
        };
        assert_eq!(has, generation);
        self.at_run_time.has.insert(serving, Content::Whole(generation));
        self.configuration.insert(serving, generation);
        self.remembered.insert(generation);
        self.succeeds(serving, true);
    }

    /// All that are told that it went well have what was on the disk after they had asked.
    pub(super) fn is_what_was_asked_for(&self, request: RequestId, answer: &Answer) {
        let serves = match answer {
            Answer::Serving { generation, rolled_back: None, .. } => *generation,
            Answer::Applied { generation, serving, .. } => {
                assert_eq!(self.content(), (*serving, Content::Whole(*generation)));
                *serving
            }
            _ => return,
        };
        assert_eq!(self.committed, Some(serves));
        let read_at = self.at_run_time.read_at[&self.configuration[&serves]];
        assert!(read_at > self.at_run_time.asked_at[&request.0], "what was read before {request:?} serves");
    }

    /// What serves has one configuration, which is known, or it is about to be replaced.
    pub(super) fn check_what_serves(&self) {
        let Some(serving) = self.supervisor.serving() else { return };
        let it = &self.supervisor;
        if it.attempt.is_some() || it.stop.is_some() || self.exit.is_some() {
            return;
        }
        let content = self.at_run_time.has[&serving];
        if it.restart.is_some() {
            return assert!(content == Content::Half, "generation {serving} is whole, and is to be replaced");
        }
        let configuration = it.lives[&serving].configuration;
        assert_eq!(content, Content::Whole(configuration), "generation {serving}");
        assert!(self.remembered.contains(&configuration), "generation {configuration} was forgotten");
        assert_eq!(it.served, Some(configuration));
    }
}
