//! Which generation new clients are redirected to, where generations have private ports.

use super::event::{CutoverAction, Redirect};
use crate::names::Generation;

/// Where new clients are redirected.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// The generation that was committed last and does not drain, dead or alive.
    of: Option<Generation>,
    /// Another Clearway has the clients: what it redirects comes first.
    is_another_ones: bool,
}

impl Destination {
    pub(super) fn committed(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        self.of = Some(generation);
        todo.push(CutoverAction::Redirect(Redirect::To(generation)));
    }

    /// A switch comes to nothing: it may have redirected new clients already.
    pub(super) fn back(&self, todo: &mut Vec<CutoverAction>) {
        todo.push(CutoverAction::Redirect(Redirect::Back(self.of)));
    }

    /// The generation is about to close its sockets. Unless another Clearway has its clients: if that dies young, its table
    /// is gone, and these are the ports at which clients wait for ours.
    pub(super) fn draining(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        if self.of == Some(generation) && !self.is_another_ones {
            self.nowhere(todo);
        }
    }

    pub(super) fn superseded(&mut self, redirects: bool) {
        self.is_another_ones = redirects;
    }

    pub(super) fn taken_back(&mut self) {
        self.is_another_ones = false;
    }

    /// Nothing serves from our ports any more.
    pub(super) fn nowhere(&mut self, todo: &mut Vec<CutoverAction>) {
        self.is_another_ones = false;
        if self.of.take().is_some() {
            todo.push(CutoverAction::Redirect(Redirect::Nowhere));
        }
    }
}
