//! The programs as the status shows them.

use std::time::Duration;

use super::{ProgramState, Programs};

/// A program, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramView {
    /// The name of its section.
    pub name: String,
    /// `running`, `starting`, `ended` or `leaving`.
    pub state: &'static str,
    /// Its process, if it has one.
    pub pid: Option<u32>,
    /// For how long it has been running.
    pub seconds: Option<u64>,
}

impl Programs {
    /// All programs in the order of the files, then the processes that are to end.
    pub fn status(&self, now: Duration) -> Vec<ProgramView> {
        let programs = self.known.iter().map(|program| {
            let name = program.section.name.clone();
            match program.state {
                ProgramState::Running { id, since } => {
                    let seconds = Some(now.saturating_sub(since).as_secs());
                    ProgramView { name, state: "running", pid: self.pids.get(&id).copied(), seconds }
                }
                ProgramState::Due { .. } => ProgramView { name, state: "starting", pid: None, seconds: None },
                ProgramState::Ended => ProgramView { name, state: "ended", pid: None, seconds: None },
            }
        });
        let leaving = self.leaving.iter().map(|(id, one)| {
            let pid = self.pids.get(id).copied();
            ProgramView { name: one.name.clone(), state: "leaving", pid, seconds: None }
        });
        programs.chain(leaving).collect()
    }
}
