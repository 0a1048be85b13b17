//! The budget of old generations: how many may drain, how long, and with how much memory.
//!
//! Beside that of the settings there is the user's own in HAProxy's configuration: `mworker-max-reloads N`, of the generation that
//! serves. As below HAProxy's master, which generation that is and how many sessions it has does not count: one that has
//! outlived more than N reloads is told to end (`mworker_kill_max_reloads`), at once. The smaller budget is reached first. A start
//! after a crash is no reload.
//!
//! A generation over the budget has sessions, so nothing is cut in silence: the shell is asked how many sessions each has
//! ([`Action::Survey`]), those with the fewest go first, and [`WARNING`] before a cut the log says so. Sessions
//! of a draining generation are at least as old as its drain: it accepts no new client.
//!
//! ```text
//!   over the budget ---> Survey ---> Surveyed: the fewest sessions are condemned ---> WARNING ---> End
//! ```

use std::time::Duration;

use crate::names::Generation;

use super::action::Action;
use super::cuts::Condemned;
use super::event::{How, Survey};
use super::life::LifeState;
use super::limits::{Budget, GRACE};
use super::machine::Supervisor;
use super::report::{Over, Report};

/// From the warning to the cut. Where twice as many drain as may, there is none.
pub const WARNING: Duration = Duration::from_secs(10);

/// How often old generations are looked at, if their memory or their age counts.
const PACE: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Generations that drain, with how long they have done so, the oldest first. None during a stop, which has
    /// its own limit.
    fn draining(&self, now: Duration) -> Vec<(Generation, Duration)> {
        let old = self.lives.iter().filter_map(|(generation, life)| match life.state {
            LifeState::Draining { since } => Some((*generation, now.saturating_sub(since))),
            _ => None,
        });
        if self.stop.is_some() { Vec::new() } else { old.collect() }
    }

    /// A generation has taken over from another one: those that drain have outlived one more reload.
    pub(super) fn count_a_reload(&mut self) {
        for life in self.lives.values_mut().filter(|life| matches!(life.state, LifeState::Draining { .. })) {
            life.outlived = life.outlived.saturating_add(1);
        }
    }

    /// The limit of reloads that a generation is over, if it is.
    fn has_outlived(&self, generation: Generation) -> Option<u32> {
        let serving = self.serving().and_then(|serving| self.lives.get(&serving))?;
        let outlived = self.lives.get(&generation)?.outlived;
        serving.most_reloads.filter(|most| outlived > *most)
    }

    /// A generation is ended by hand, which is done at once, also during a stop. One that serves is not: it would be
    /// started again.
    pub(super) fn end_asked(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        if self.lives.get(&generation).is_some_and(|life| matches!(life.state, LifeState::Draining { .. })) {
            todo.push(Action::Report(Report::EndAsked { generation }));
            let by_hand = Condemned { at: now, how: How::Terminate, over: Over::ByHand };
            self.cuts.condemned.insert(generation, by_hand);
        }
    }

    /// Cuts those that are due, and asks the shell for numbers if one may be over the budget.
    pub(super) fn look_at_the_old(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let draining = self.draining(now);
        // Those that are gone, and those that are no longer one too many because others have ended meanwhile.
        self.cuts.condemned.retain(|generation, condemned| {
            let pardoned = matches!(condemned.over, Over::Number(most) if draining.len() <= most);
            let by_hand = condemned.over == Over::ByHand && self.lives.contains_key(generation);
            (by_hand || draining.iter().any(|(one, _)| one == generation))
                && !(pardoned && condemned.how == How::Terminate)
        });
        for (generation, condemned) in &mut self.cuts.condemned {
            if condemned.at <= now {
                todo.push(Action::End(*generation, condemned.how));
                // One that does not follow is killed.
                *condemned = Condemned { at: now + GRACE, how: How::Kill, ..*condemned };
            }
        }
        let due = self.cuts.look_at.is_some_and(|at| at <= now);
        if due {
            self.cuts.look_at = None;
            self.cuts.asked = false;
        }
        let over = self.too_many(&draining) || self.some_have_outlived(&draining);
        if self.cuts.asked || !(due || over || self.cuts.look_at.is_none()) {
            return;
        }
        let Budget { age, memory, .. } = self.limits.old;
        let nearly = |limit: Duration, age: Duration| age + WARNING + PACE >= limit;
        let near = draining.iter().any(|(generation, their_age)| {
            let old = age.is_some_and(|limit| nearly(limit, *their_age));
            (old || memory.is_some()) && !self.cuts.condemned.contains_key(generation)
        });
        if over || (due && near) {
            self.cuts.asked = true;
            todo.push(Action::Survey(draining.iter().map(|(generation, _)| *generation).collect()));
        }
        let watched = !draining.is_empty() && (age.is_some() || memory.is_some());
        self.cuts.look_at = (watched || self.cuts.asked).then_some(now + PACE);
    }

    fn too_many(&self, draining: &[(Generation, Duration)]) -> bool {
        draining.len() > self.limits.old.generations + self.cuts.condemned.len()
    }

    fn some_have_outlived(&self, draining: &[(Generation, Duration)]) -> bool {
        let mut left = draining.iter().filter(|(one, _)| !self.cuts.condemned.contains_key(one));
        left.any(|(one, _)| self.has_outlived(*one).is_some())
    }

    /// The shell has looked: condemns those that are over the budget.
    pub(super) fn surveyed(&mut self, surveys: &[Survey], now: Duration, todo: &mut Vec<Action>) {
        self.cuts.asked = false;
        if self.stop.is_some() {
            return self.surveyed_while_stopping(surveys, now, todo);
        }
        let draining = self.draining(now);
        let Budget { generations, age: longest, memory } = self.limits.old;
        // A generation that does not say how many sessions it has goes before one that does.
        let mut left: Vec<(&Survey, Duration)> = surveys
            .iter()
            .filter_map(|survey| {
                let (_, age) = draining.iter().find(|(generation, _)| *generation == survey.generation)?;
                (!self.cuts.condemned.contains_key(&survey.generation)).then_some((survey, *age))
            })
            .collect();
        left.sort_by_key(|(survey, age)| (survey.sessions, std::cmp::Reverse(*age)));
        let mut condemned = Vec::new();
        left.retain(|(survey, age)| match self.has_outlived(survey.generation) {
            Some(most) => {
                condemned.push((*survey, *age, Over::Reloads(most), Duration::ZERO));
                false
            }
            None => true,
        });
        left.retain(|(survey, age)| match longest.filter(|limit| *age + WARNING + PACE >= *limit) {
            Some(limit) => {
                condemned.push((*survey, *age, Over::Age(limit), limit.saturating_sub(*age).max(WARNING)));
                false
            }
            None => true,
        });
        let hurry = generations > 0 && draining.len() > generations.saturating_mul(2);
        let warning = if hurry { Duration::ZERO } else { WARNING };
        while left.len() > generations {
            let (survey, age) = left.remove(0);
            condemned.push((survey, age, Over::Number(generations), warning));
        }
        while let Some(limit) = memory
            && !left.is_empty()
            && left.iter().filter_map(|(survey, _)| survey.memory).sum::<u64>() > limit
        {
            let (survey, age) = left.remove(0);
            condemned.push((survey, age, Over::Memory(limit), WARNING));
        }
        for (survey, age, over, after) in condemned {
            let generation = survey.generation;
            self.cuts.condemned.insert(generation, Condemned { at: now + after, how: How::Terminate, over });
            let sessions = survey.sessions;
            todo.push(Action::Report(Report::AboutToCut { generation, sessions, age, over, after }));
        }
    }
}
