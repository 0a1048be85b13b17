//! When a window begins and ends, read from what the supervisor answers.

use crate::names::Generation;
use crate::supervisor::{Action, AttemptResult, Report, Turn};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostStep {
    /// A window begins; the time after the one before is over.
    Begin,
    /// The window ends with the attempt of this generation, and the time after it begins.
    End(Generation),
    /// Nothing more is to be seen: what there is is told.
    Leave,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WindowState {
    /// No window is open.
    #[default]
    Closed,
    /// An attempt is under way, beside one that serves or at the start.
    Attempt,
    /// Nothing serves: clients wait until something does, however many attempts that takes.
    Outage,
}

/// The windows, one at a time.
#[derive(Debug, Default)]
pub struct CostWindows(WindowState);

impl CostWindows {
    /// What is about to be carried out. `holds`: whether there are listening sockets at which clients may be.
    pub fn hear(&mut self, action: &Action, holds: bool) -> Option<CostStep> {
        match action {
            Action::Prepare(..) | Action::Apply(_) if self.0 == WindowState::Closed && holds => {
                self.begin(WindowState::Attempt)
            }
            Action::Report(
                Report::Crashed { .. } | Report::Takeover(Turn::SuccessorGone { .. } | Turn::PredecessorGone),
            ) if holds => self.begin(WindowState::Outage),
            Action::Attempted(attempted) => {
                let ends = match self.0 {
                    WindowState::Closed => false,
                    WindowState::Attempt => true,
                    WindowState::Outage => attempted.result == AttemptResult::Took,
                };
                ends.then(|| {
                    self.0 = WindowState::Closed;
                    CostStep::End(attempted.generation)
                })
            }
            // What follows is a stop: that is no cost of anything.
            Action::ReleaseCustody | Action::Relieve(_) | Action::GiveBack => {
                self.0 = WindowState::Closed;
                Some(CostStep::Leave)
            }
            _ => None,
        }
    }

    /// One that is open goes on, in its own right.
    fn begin(&mut self, state: WindowState) -> Option<CostStep> {
        let was = std::mem::replace(&mut self.0, state);
        (was == WindowState::Closed).then_some(CostStep::Begin)
    }
}
