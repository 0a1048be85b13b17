//! What a holder is told, and in which order: the sockets first, as it takes the state of servers only from the balancer
//! whose sockets it keeps; a release last.

use super::event::{PeersAction, PeersReport, ToHolder};

/// What there is to tell a holder, if one is there.
#[derive(Debug, Default)]
pub(super) struct HolderLink {
    is_there: bool,
    /// Whether there are sockets to keep.
    serves: bool,
    servers_known: bool,
}

impl HolderLink {
    /// One was there at the beginning.
    pub(super) fn begin(&mut self, is_there: bool) {
        self.is_there = is_there;
    }

    /// One has come: it is told what there is now, or after the next commit.
    pub(super) fn came(&mut self, todo: &mut Vec<PeersAction>) {
        let replaces = std::mem::replace(&mut self.is_there, true);
        todo.extend([PeersAction::Report(PeersReport::HolderCame { replaces }), PeersAction::TalkToHolder]);
        if self.serves {
            todo.push(PeersAction::TellHolder(ToHolder::Keep));
            self.tell_servers(todo);
        }
    }

    /// There are sockets to keep.
    pub(super) fn committed(&mut self, todo: &mut Vec<PeersAction>) {
        self.serves = true;
        self.tell(ToHolder::Keep, todo);
    }

    /// Something new is known of the servers.
    pub(super) fn servers_known(&mut self, todo: &mut Vec<PeersAction>) {
        self.servers_known = true;
        self.tell_servers(todo);
    }

    /// Nothing is to be kept any more.
    pub(super) fn released(&mut self, at_once: bool, todo: &mut Vec<PeersAction>) {
        self.serves = false;
        self.tell(ToHolder::Release { at_once }, todo);
    }

    fn tell_servers(&self, todo: &mut Vec<PeersAction>) {
        if self.serves && self.servers_known {
            self.tell(ToHolder::Servers, todo);
        }
    }

    fn tell(&self, what: ToHolder, todo: &mut Vec<PeersAction>) {
        if self.is_there {
            todo.push(PeersAction::TellHolder(what));
        }
    }
}
