//! Sockets that a successor does not use, and that its predecessor keeps open for a while, to come back perhaps: those that
//! would go on getting clients do not listen meanwhile. Not before it has been told to drain: its HAProxy would not accept
//! any more, even if they did listen again.

use super::event::CutoverAction;
use crate::names::Generation;

/// What a predecessor keeps open.
#[derive(Debug, Default)]
pub(super) struct LeftOpen {
    /// Whether a generation of ours has been committed, of which the predecessor was told.
    it_was_told: bool,
    /// Whether there are sockets that are to be closed when it is.
    any: bool,
}

impl LeftOpen {
    /// `left`: whether the switch to this generation has left any to a predecessor.
    pub(super) fn committed(&mut self, generation: Generation, left: bool, todo: &mut Vec<CutoverAction>) {
        if left {
            todo.push(CutoverAction::KeepLeftOpen(generation));
            self.any = true;
        }
        if std::mem::replace(&mut self.it_was_told, true) {
            self.told(todo);
        }
    }

    pub(super) fn told(&mut self, todo: &mut Vec<CutoverAction>) {
        if std::mem::take(&mut self.any) {
            todo.push(CutoverAction::CloseLeftOpen);
        }
    }

    /// The predecessor serves from them again, or nothing is held any more.
    pub(super) fn forget(&mut self, todo: &mut Vec<CutoverAction>) {
        if std::mem::take(&mut self.any) {
            todo.push(CutoverAction::ForgetLeftOpen);
        }
    }
}
