//! Which generation new clients are redirected to, where generations have private ports.

use super::event::{CutoverAction, Redirect};
use crate::names::Generation;

/// Where new clients are redirected.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// The generation that was committed last and has not let go of its clients, dead or alive.
    of: Option<Generation>,
    lent: Lent,
}

/// Which Clearway has the clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lent {
    /// This one.
    #[default]
    No,
    /// Another one, which redirects them: what it redirects comes first.
    ToItsTable,
    /// Another one, to which they come only if they are not redirected here.
    ToPublicPorts,
}

impl Destination {
    pub(super) fn committed(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        self.of = Some(generation);
        todo.push(CutoverAction::Redirect(Redirect::To(generation)));
    }

    /// A switch comes to nothing: it may have redirected new clients already.
    pub(super) fn back(&self, todo: &mut Vec<CutoverAction>) {
        let to = self.of.filter(|_| self.lent != Lent::ToPublicPorts);
        todo.push(CutoverAction::Redirect(Redirect::Back(to)));
    }

    /// The generation is about to close its sockets. If another Clearway that has its clients dies young, these are the
    /// ports at which clients wait for ours.
    pub(super) fn draining(&mut self, generation: Generation, todo: &mut Vec<CutoverAction>) {
        if self.of == Some(generation) && self.lent == Lent::No {
            self.nowhere(todo);
        }
    }

    /// Whether or not a generation of ours drains: it may be dead.
    pub(super) fn superseded(&mut self, redirects: bool, todo: &mut Vec<CutoverAction>) {
        self.lent = if redirects { Lent::ToItsTable } else { Lent::ToPublicPorts };
        if !redirects && self.of.is_some() {
            todo.push(CutoverAction::Redirect(Redirect::Nowhere));
        }
    }

    pub(super) fn taken_back(&mut self, todo: &mut Vec<CutoverAction>) {
        if std::mem::take(&mut self.lent) == Lent::ToPublicPorts && self.of.is_some() {
            self.back(todo);
        }
    }

    /// Nothing serves from our ports any more.
    pub(super) fn nowhere(&mut self, todo: &mut Vec<CutoverAction>) {
        let lent = std::mem::take(&mut self.lent);
        if self.of.take().is_some() && lent != Lent::ToPublicPorts {
            todo.push(CutoverAction::Redirect(Redirect::Nowhere));
        }
    }
}
