//! An attempt that begins with a plan: `clearway apply`, and with `CLEARWAY_APPLY=auto` every reload that is asked for.
//!
//! ```text
//!   ApplyAsked, ReloadAsked -> Plan -> Planned: at run time -> Apply -> Applied: done ---> Adopt      no process is started
//!                               |  |                            |
//!                               |  +-- the same ----------------|------------------------> Adopt
//!                               |                               |
//!                               +-- reload, too late            +-- broken, too late
//!                               v                               v
//!                            Prepare                         Prepare; what serves may have half of it
//! ```
//!
//! The contract:
//!
//! - It is begun only beside a generation that serves and has what its configuration says. A start, a restart, a rollback, and a
//!   worker that HAProxy's own master has started anew have no plan.
//! - After [`Action::Adopt`] the generation that serves has the configuration of this number, in all that hangs on it: a crash,
//!   a rollback, what a reload supersedes. A rollback brings back what it had before.
//! - If applying breaks off, the same attempt goes on as a reload. If that does not take, what is described by files is started,
//!   again and again, until it does ([`Supervisor::mend_after_a_refusal`]): nothing stays half.
//! - If what serves ends while it is planned, it is started again with what it had, and those that asked wait for that: they get
//!   a reload. If it ends while it is changed, the attempt goes on as the restart, with the files that were read for the plan.
//! - A stop gives up a plan, and what is applied is left as it is. A takeover waits, as for every attempt.

use std::time::Duration;

use crate::failure::Failure;
use crate::names::Generation;

use super::action::{Action, Answer, answer};
use super::asker::Asker;
use super::event::Source;
use super::life::{Has, LifeState, Restart, WaitsFor};
use super::limits::{APPLY_DEADLINE, PLAN_DEADLINE};
use super::machine::Supervisor;
use super::planned::{Applied, ApplyOutcome, Planned};
use super::report::Report;
use super::rollback::Succession;
use super::stage::{Attempt, AttemptStage, Purpose};

impl Supervisor {
    /// The generation for which what these want is planned; none if it is a reload at once.
    pub(super) fn serving_to_plan_for(&self, askers: &[Asker]) -> Option<Generation> {
        let serving = self.serving()?;
        let has_its_own = self.lives.get(&serving).is_some_and(|life| life.has == Has::ItsConfiguration);
        let all_plan = askers.iter().all(|asker| asker.plans(self.limits.apply));
        (has_its_own && all_plan && self.waits_for == WaitsFor::ItsTurn).then_some(serving)
    }

    /// What is on disk is wanted, at run time if it can be had so.
    pub(super) fn begin_plan(
        &mut self,
        serving: Generation,
        askers: Vec<Asker>,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let stage = AttemptStage::Planning { serving, until: now + PLAN_DEADLINE };
        let generation = self.begin_at(stage, Purpose::Serve, Source::Disk, askers, now);
        todo.push(Action::Plan(generation));
    }

    /// It is known how the generation that serves comes to have what is on disk.
    pub(super) fn planned(
        &mut self,
        generation: Generation,
        planned: Planned,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation) else {
            return;
        };
        let AttemptStage::Planning { serving, .. } = attempt.stage else { return };
        if !self.lives.get(&serving).is_some_and(|life| life.has == Has::ItsConfiguration) {
            let reasons = vec!["HAProxy's own master has started another worker".to_owned()];
            return self.not_at_run_time(reasons, now, todo);
        }
        match planned {
            Planned::Same => self.adopt(serving, Applied::Nothing, now, todo),
            Planned::RunTime { tally, .. } => {
                let until = now + APPLY_DEADLINE;
                attempt.enter(AttemptStage::Applying { serving, tally, until }, now);
                todo.push(Action::Apply(generation));
            }
            Planned::Reload { reasons } => self.not_at_run_time(reasons, now, todo),
        }
    }

    /// The plan is carried out, or not.
    pub(super) fn applied(
        &mut self,
        generation: Generation,
        outcome: ApplyOutcome,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.generation == generation) else {
            return;
        };
        let AttemptStage::Applying { serving, tally, .. } = &attempt.stage else { return };
        let (serving, tally) = (*serving, tally.clone());
        let has_its_own = self.lives.get(&serving).is_some_and(|life| life.has == Has::ItsConfiguration);
        match outcome {
            ApplyOutcome::Done { commands } if has_its_own => {
                self.adopt(serving, Applied::AtRunTime { tally, commands }, now, todo);
            }
            ApplyOutcome::Done { commands } => {
                let why = "HAProxy's own master has started another worker meanwhile".to_owned();
                self.broken(commands, why, now, todo);
            }
            ApplyOutcome::Broken { steps_done, why } => self.broken(steps_done, why, now, todo),
        }
    }

    /// The plan is not ready in time, or was not carried out in time.
    pub(super) fn apply_timed_out(&mut self, now: Duration, todo: &mut Vec<Action>) {
        match self.attempt.as_ref().map(|attempt| &attempt.stage) {
            Some(AttemptStage::Planning { .. }) => {
                let reason = format!("it was not planned within {} s", PLAN_DEADLINE.as_secs());
                self.not_at_run_time(vec![reason], now, todo);
            }
            Some(AttemptStage::Applying { .. }) => {
                let why = format!("it was not over within {} s", APPLY_DEADLINE.as_secs());
                self.broken(0, why, now, todo);
            }
            _ => {}
        }
    }

    /// The shell says that it could not go on, while it was applying: that is half of it.
    pub(super) fn apply_failed(&mut self, failure: &Failure, now: Duration, todo: &mut Vec<Action>) {
        self.broken(0, failure.message.clone(), now, todo);
    }

    /// The attempt goes on as a reload, for these reasons.
    fn not_at_run_time(&mut self, reasons: Vec<String>, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = &mut self.attempt else { return };
        let generation = attempt.generation;
        attempt.goes_on_as_a_reload(Applied::Not { reasons: reasons.clone() }, now);
        todo.push(Action::Report(Report::NotAtRunTime { generation, reasons }));
        todo.push(Action::Prepare(generation, Source::Disk));
    }

    /// The generation that serves may have half of the change: the attempt goes on as a reload, which puts that right.
    fn broken(&mut self, steps_done: usize, why: String, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = &mut self.attempt else { return };
        let AttemptStage::Applying { serving, .. } = attempt.stage else { return };
        let generation = attempt.generation;
        attempt.goes_on_as_a_reload(Applied::Broken { steps_done, why: why.clone() }, now);
        if let Some(life) = self.lives.get_mut(&serving).filter(|life| life.has == Has::ItsConfiguration) {
            life.has = Has::Half;
        }
        todo.push(Action::Report(Report::ApplyBroken { generation, serving, steps_done, why }));
        todo.push(Action::Prepare(generation, Source::Disk));
    }

    /// The generation that serves has what was read for this attempt from now on, which is over.
    fn adopt(&mut self, serving: Generation, applied: Applied, now: Duration, todo: &mut Vec<Action>) {
        let Some(mut attempt) = self.attempt.take() else { return };
        let Attempt { generation, same_as, cause, since, .. } = attempt;
        let Some(life) = self.lives.get_mut(&serving) else { return };
        let (gave_way, configured) = (life.configuration, life.configured);
        life.configuration = generation;
        if applied != Applied::Nothing {
            life.configured = now;
        }
        todo.push(Action::Adopt { generation, serving });
        attempt.applied = Some(applied.clone());
        let attempted = attempt.over(None, false, now);
        let (askers, took) = (attempted.by.clone(), attempted.took);
        todo.push(Action::Report(match &applied {
            Applied::AtRunTime { tally, .. } => {
                Report::Applied { generation, serving, tally: tally.clone(), took }
            }
            _ => Report::NothingToApply { generation, serving },
        }));
        self.remember(attempted, todo);
        self.crashes.reloaded(since);
        self.served = Some(generation);
        self.gives_way(gave_way, configured, now);
        let gave_way = Some(gave_way);
        let source = Source::Disk;
        let succession =
            Succession { generation, configuration: generation, gave_way, source, same_as, cause };
        self.succeeds(succession, now, todo);
        self.remember_only(generation, todo);
        answer(&askers, &Answer::Applied { generation, serving, applied }, todo);
        self.after_an_attempt(now, todo);
    }

    /// What serves has ended. If it was planned for, those that asked wait for the restart.
    pub(super) fn give_up_a_plan(&mut self, todo: &mut Vec<Action>) {
        let is_planned = |attempt: &mut Attempt| matches!(attempt.stage, AttemptStage::Planning { .. });
        let Some(attempt) = self.attempt.take_if(is_planned) else { return };
        todo.push(Action::Abandon(attempt.generation));
        self.waiting.splice(0..0, attempt.askers);
        self.waits_for = WaitsFor::Restart;
    }

    /// What serves has ended while it was changed: the attempt goes on with the files that were read for it. Says whether it was.
    pub(super) fn go_on_as_the_restart(&mut self, now: Duration, todo: &mut Vec<Action>) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        let AttemptStage::Applying { .. } = attempt.stage else { return false };
        let generation = attempt.generation;
        let why = "HAProxy has ended meanwhile".to_owned();
        attempt.applied = Some(Applied::Broken { steps_done: 0, why });
        attempt.enter(AttemptStage::Preparing, now);
        todo.push(Action::Prepare(generation, Source::Served(generation)));
        true
    }

    /// An attempt failed, and what serves has half of a change: what it had before is started, or else what is on disk, in turns,
    /// until one of them takes.
    pub(super) fn mend_after_a_refusal(&mut self, tried: Source, now: Duration) {
        let Some(life) = self.lives.values().find(|life| matches!(life.state, LifeState::Serving { .. }))
        else {
            return;
        };
        if life.has != Has::Half {
            return;
        }
        let before = Source::Served(life.configuration);
        let source = if tried == before { Source::Disk } else { before };
        let at = now + self.pause();
        self.restart = Some(Restart { at, source });
    }

    /// When the next start is due that nothing has asked for. One beside a generation that serves waits while another Clearway
    /// has the sockets, as every reload does.
    pub(super) fn restart_due(&self) -> Option<Restart> {
        let waits = self.serving().is_some() && self.role.refuses_reloads();
        self.restart.filter(|_| !waits)
    }
}
