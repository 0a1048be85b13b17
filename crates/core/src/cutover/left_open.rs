//! Sockets that a successor does not use, and that its predecessor keeps open for a while, to come back perhaps: those that
//! would go on getting clients do not listen meanwhile. Not before it has been told to drain: its HAProxy would not accept
//! any more, even if they did listen again.

use super::event::CutoverAction;
use crate::names::Generation;

/// What a predecessor keeps open.
#[derive(Debug, Default)]
pub(super) struct LeftOpen {
    /// Whether the predecessor accepts no client any more.
    it_drains: bool,
    /// Whether there are sockets that are to be closed when that is so.
    any: bool,
}

impl LeftOpen {
    /// `left`: whether the switch to this generation has left any to a predecessor.
    pub(super) fn committed(&mut self, generation: Generation, left: bool, todo: &mut Vec<CutoverAction>) {
        if left {
            todo.push(CutoverAction::KeepLeftOpen(generation));
            self.any = true;
        }
        if self.it_drains {
            self.close(todo);
        }
    }

    pub(super) fn it_drains(&mut self, todo: &mut Vec<CutoverAction>) {
        self.it_drains = true;
        self.close(todo);
    }

    fn close(&mut self, todo: &mut Vec<CutoverAction>) {
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
