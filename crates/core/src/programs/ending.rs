//! Which process is told to end, and how firmly.

use std::time::Duration;

use super::{
    Leaving, ManagedProgram, ProgramAction, ProgramId, ProgramReport, ProgramSignal, ProgramState, Programs,
    ProgramsStage,
};

/// After `SIGKILL`: what the kernel cannot end now is not waited for.
const KILLED: Duration = Duration::from_secs(2);

impl Leaving {
    /// Tells it again.
    fn press(&mut self, id: ProgramId, signal: ProgramSignal, todo: &mut Vec<ProgramAction>) {
        self.told = signal;
        todo.push(ProgramAction::Tell(id, signal));
        todo.push(ProgramAction::Report(ProgramReport::Pressed { program: self.name.clone(), signal }));
    }
}

impl Programs {
    /// Tells the process of a program to end, if it has one.
    pub(super) fn finish(
        &mut self,
        program: &ManagedProgram,
        now: Duration,
        todo: &mut Vec<ProgramAction>,
    ) -> Option<ProgramId> {
        match program.state {
            ProgramState::Running { id, .. } => {
                self.leave(id, &program.section.name, ProgramSignal::Finish, now, todo);
                Some(id)
            }
            ProgramState::Due { after, .. } => after.filter(|id| self.leaving.contains_key(id)),
            ProgramState::Ended => None,
        }
    }

    fn leave(
        &mut self,
        id: ProgramId,
        name: &str,
        told: ProgramSignal,
        now: Duration,
        todo: &mut Vec<ProgramAction>,
    ) {
        self.leaving.insert(id, Leaving { name: name.to_owned(), told, since: now });
        todo.push(ProgramAction::Tell(id, told));
    }

    /// What was told to end at an earlier reload and is still there.
    pub(super) fn press_those_that_stay(&mut self, todo: &mut Vec<ProgramAction>) {
        for (id, one) in &mut self.leaving {
            let firmer = one.told >= ProgramSignal::Terminate;
            one.press(*id, if firmer { ProgramSignal::Kill } else { ProgramSignal::Terminate }, todo);
        }
    }

    /// `SIGTERM` to everything.
    pub(super) fn end_all(&mut self, now: Duration, todo: &mut Vec<ProgramAction>) {
        for (id, one) in &mut self.leaving {
            if one.told < ProgramSignal::Terminate {
                (one.told, one.since) = (ProgramSignal::Terminate, now);
                todo.push(ProgramAction::Tell(*id, ProgramSignal::Terminate));
            }
        }
        let running: Vec<(ProgramId, String)> =
            self.running().map(|(id, name)| (id, name.to_owned())).collect();
        for (id, name) in running {
            self.leave(id, &name, ProgramSignal::Terminate, now, todo);
        }
        for program in &mut self.known {
            if let ProgramState::Running { id, .. } = program.state {
                program.state = ProgramState::Due { at: now, after: Some(id) };
            }
        }
    }

    pub(super) fn kill(&mut self, now: Duration, todo: &mut Vec<ProgramAction>) {
        self.stage = ProgramsStage::Killed(now + KILLED);
        for (id, one) in &mut self.leaving {
            one.press(*id, ProgramSignal::Kill, todo);
        }
    }
}
