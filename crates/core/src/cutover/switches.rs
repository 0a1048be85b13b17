//! The switches: in which of them clients are being moved, wait for the commit, or are led away from what is being closed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{CutoverAction, Done, Whose};
use crate::names::Generation;

/// How long a gate stays closed after the commit, while the former generation does not close its sockets.
pub const GATE_CLOSED: Duration = Duration::from_secs(2);

/// How long sockets may take to be closed after a switch, before the kernel is left as it is: the next one steers anew.
pub const FORMER_CLOSING: Duration = Duration::from_secs(30);

/// How far a switch has come.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// Its thread is at work.
    AtWork(Decided),
    /// Clients are moved, and the commit is awaited.
    Waiting(Done),
    /// It was committed or taken back, and sockets are awaited to be closed.
    Ending {
        /// When the gate is opened all the same, if there is one.
        gate_until: Option<Duration>,
        /// Whether new clients are steered for it.
        steers: bool,
        /// When that is not waited for any longer.
        until: Duration,
    },
}

/// What became of a generation while the thread of its switch is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    NotYet,
    /// It was committed without waiting any longer, at this time.
    Committed(Duration),
    /// It will not serve.
    Abandoned,
}

/// All switches that are not over.
#[derive(Debug, Default)]
pub(super) struct Switches {
    courses: BTreeMap<Generation, Course>,
    /// The last one that was begun: new clients are steered for no other one.
    last: Option<Generation>,
}

impl Switches {
    pub(super) fn due(&self) -> Option<Duration> {
        let due = |course: &Course| match course {
            Course::Ending { gate_until, until, .. } => Some(gate_until.map_or(*until, |at| at.min(*until))),
            _ => None,
        };
        self.courses.values().filter_map(due).min()
    }

    /// Whether none steers at this moment, whose work must not be undone.
    pub(super) fn are_over(&self) -> bool {
        self.courses.is_empty()
    }

    /// What was done for a switch that waits for its commit.
    pub(super) fn done(&self, generation: Generation) -> Option<Done> {
        match self.courses.get(&generation) {
            Some(Course::Waiting(done)) => Some(*done),
            _ => None,
        }
    }

    pub(super) fn asked(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        // What they steer, this one steers anew.
        self.steer_no_more(todo);
        self.last = Some(generation);
        self.courses.insert(generation, Course::AtWork(Decided::NotYet));
        todo.push(CutoverAction::Move(generation));
    }

    /// What new clients are steered for from now on begins later than this. A gate stays until it is to be opened.
    fn steer_no_more(&mut self, todo: &mut Vec<CutoverAction>) {
        self.last = None;
        self.courses.retain(|generation, course| match course {
            Course::Ending { gate_until: None, .. } => {
                todo.push(CutoverAction::Forget(*generation));
                false
            }
            Course::Ending { steers, .. } => {
                *steers = false;
                true
            }
            _ => true,
        });
    }

    /// A successor has the sockets: from now on it steers. What a thread has not done yet it is not to do.
    pub(super) fn handed_over(&mut self, todo: &mut Vec<CutoverAction>) {
        self.steer_no_more(todo);
        todo.extend(self.at_work().map(CutoverAction::Cancel));
    }

    /// The predecessor serves from its sockets again, and ours are about to be closed: no client is to be led there.
    pub(super) fn parted(&mut self, todo: &mut Vec<CutoverAction>) {
        todo.extend(self.at_work().map(CutoverAction::Cancel));
        for course in self.courses.values_mut() {
            if let Course::AtWork(decided) = course {
                *decided = Decided::Abandoned;
            }
        }
        let steers = |course: &Course| matches!(course, Course::Ending { steers: true, .. });
        let steering =
            self.courses.iter().find(|(_, course)| steers(course)).map(|(generation, _)| *generation);
        if let Some(generation) = steering {
            todo.push(CutoverAction::TakeBack { generation, steers: true });
            self.forget(generation, todo);
        }
    }

    /// The generations whose threads are at work.
    fn at_work(&self) -> impl Iterator<Item = Generation> + use<'_> {
        let at_work = |course: &Course| matches!(course, Course::AtWork(_));
        self.courses.iter().filter(move |(_, course)| at_work(course)).map(|(generation, _)| *generation)
    }

    pub(super) fn not_begun(&mut self, generation: Generation) {
        self.courses.remove(&generation);
    }

    pub(super) fn moved(
        &mut self,
        generation: Generation,
        done: Done,
        now: Duration,
        todo: &mut Vec<CutoverAction>,
    ) {
        match self.courses.get(&generation) {
            Some(Course::AtWork(Decided::NotYet)) => {
                self.courses.insert(generation, Course::Waiting(done));
            }
            Some(Course::AtWork(Decided::Committed(since))) => {
                let gate_until = *since + GATE_CLOSED;
                self.end(generation, done, Whose::Former, gate_until, now, todo);
            }
            _ => self.take_back(generation, done, now, todo),
        }
    }

    /// A generation serves, whose thread may be at work: from now on that redirects no client.
    pub(super) fn overtake(&mut self, generation: Generation, now: Duration, todo: &mut Vec<CutoverAction>) {
        if let Some(Course::AtWork(decided)) = self.courses.get_mut(&generation) {
            *decided = Decided::Committed(now);
            todo.push(CutoverAction::Overtake(generation));
        }
    }

    pub(super) fn committed(&mut self, generation: Generation, now: Duration, todo: &mut Vec<CutoverAction>) {
        if let Some(done) = self.done(generation) {
            self.end(generation, done, Whose::Former, now + GATE_CLOSED, now, todo);
        }
    }

    /// Says whether there was something to be undone. A generation that was committed has no switch to be undone.
    pub(super) fn abandoned(
        &mut self,
        generation: Generation,
        now: Duration,
        todo: &mut Vec<CutoverAction>,
    ) -> bool {
        match self.courses.get_mut(&generation) {
            Some(Course::AtWork(decided @ Decided::NotYet)) => {
                *decided = Decided::Abandoned;
                todo.push(CutoverAction::Cancel(generation));
            }
            Some(Course::Waiting(done)) => {
                let done = *done;
                todo.push(CutoverAction::Cancel(generation));
                self.take_back(generation, done, now, todo);
            }
            _ => return false,
        }
        true
    }

    fn take_back(
        &mut self,
        generation: Generation,
        done: Done,
        now: Duration,
        todo: &mut Vec<CutoverAction>,
    ) {
        let steers = done.steers && self.last == Some(generation);
        todo.push(CutoverAction::TakeBack { generation, steers });
        // The gate is open with that.
        self.end(generation, Done { gate: false, ..done }, Whose::New, now, now, todo);
    }

    /// Waits until the sockets are closed that new clients are led away from, if there is something to do then.
    fn end(
        &mut self,
        generation: Generation,
        done: Done,
        whose: Whose,
        gate_until: Duration,
        now: Duration,
        todo: &mut Vec<CutoverAction>,
    ) {
        let steers = done.steers && self.last == Some(generation);
        if !done.gate && !steers {
            return self.forget(generation, todo);
        }
        let gate_until = done.gate.then_some(gate_until);
        let course = Course::Ending { gate_until, steers, until: now + FORMER_CLOSING };
        self.courses.insert(generation, course);
        todo.push(CutoverAction::Watch(generation, whose));
    }

    pub(super) fn former_closed(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        let Some(Course::Ending { gate_until, steers, .. }) = self.courses.get(&generation).copied() else {
            return;
        };
        if gate_until.is_some() {
            todo.push(CutoverAction::OpenGate { generation, closed: true });
        }
        if steers {
            todo.push(CutoverAction::EndSteering(generation));
        }
        self.forget(generation, todo);
    }

    /// The gate is opened, and the kernel left as it is.
    pub(super) fn not_watched(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        let Some(Course::Ending { gate_until, .. }) = self.courses.get(&generation) else { return };
        if gate_until.is_some() {
            todo.push(CutoverAction::OpenGate { generation, closed: false });
        }
        self.forget(generation, todo);
    }

    pub(super) fn look_at_the_clock(&mut self, now: Duration, todo: &mut Vec<CutoverAction>) {
        self.courses.retain(|generation, course| {
            let Course::Ending { gate_until, steers, until } = course else { return true };
            if gate_until.take_if(|at| *at <= now).is_some() {
                todo.push(CutoverAction::OpenGate { generation: *generation, closed: false });
            }
            let stays = *until > now && (*steers || gate_until.is_some());
            if !stays {
                todo.push(CutoverAction::Forget(*generation));
            }
            stays
        });
    }

    fn forget(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        self.courses.remove(&generation);
        todo.push(CutoverAction::Forget(generation));
    }
}
