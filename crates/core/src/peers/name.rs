//! What this Clearway has of the name of its instance.

use std::time::Duration;

use super::event::{NameGate, NamePart, PeersAction, PeersReport};
use super::patience::{Again, Patience, Persistence};
use crate::failure::Failure;

/// When a successor tries to take the name of a predecessor that has died before it gave it: ten times a second for ten
/// seconds, and then every five seconds, because as long as it has none no other Clearway can take over from it.
const NAME_OF_THE_DEAD: Persistence = Persistence::new(
    Patience::new(Duration::from_millis(100), Duration::from_secs(10)),
    Duration::from_secs(5),
);

/// When one that has the name tries to open it, if it cannot: a directory may come later, descriptors may be free.
const OPENING: Persistence =
    Persistence::new(Patience::new(Duration::from_secs(1), Duration::ZERO), Duration::from_secs(1));

/// Whose the name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameOwner {
    /// A predecessor's, which will give it.
    Predecessor,
    /// That of no process that this one talks to: a predecessor has gone and did not give it. It is taken as soon as it is
    /// free.
    Unknown,
    /// Ours.
    This,
    /// A successor's, which may fail: duplicates are kept, and nothing is accepted.
    Successor,
    /// That of another one, for good; a private instance has none.
    Another,
}

/// The name of an instance, as one of its Clearways sees it.
#[derive(Debug)]
pub(super) struct Tenure {
    owner: NameOwner,
    /// What there is to open, in this order.
    parts: &'static [NamePart],
    /// How many of them are open.
    open: usize,
    /// When it is tried again to take or to open it.
    next: Option<Duration>,
    taking: Persistence,
    opening: Persistence,
}

impl Tenure {
    /// Nothing of it yet. A private instance is never asked for its sockets.
    pub(super) fn new(is_private: bool) -> Self {
        Self {
            owner: NameOwner::Another,
            parts: if is_private { &[NamePart::Lock] } else { &[NamePart::Lock, NamePart::Door] },
            open: 0,
            next: None,
            taking: NAME_OF_THE_DEAD,
            opening: OPENING,
        }
    }

    /// A predecessor has it.
    pub(super) fn expect(&mut self) {
        self.owner = NameOwner::Predecessor;
    }

    pub(super) fn is_ours(&self) -> bool {
        self.owner == NameOwner::This
    }

    /// When something is to be tried again.
    pub(super) fn due(&self) -> Option<Duration> {
        self.next
    }

    /// It is ours from now on; nothing of it is open here.
    pub(super) fn take(&mut self, todo: &mut Vec<PeersAction>) {
        self.owner = NameOwner::This;
        self.open = 0;
        self.taking.renew();
        self.open_next(todo);
    }

    /// The predecessor has gone or was left: if it did not give the name, it is taken as soon as it is free.
    pub(super) fn predecessor_gone(&mut self, todo: &mut Vec<PeersAction>) {
        if self.owner == NameOwner::Predecessor {
            self.owner = NameOwner::Unknown;
            todo.push(PeersAction::TakeLock);
        }
    }

    /// A process that is killed closes its descriptors one after the other: the end of the conversation may be seen
    /// before the name is free.
    pub(super) fn not_free(&mut self, failure: Failure, now: Duration, todo: &mut Vec<PeersAction>) {
        if self.owner != NameOwner::Unknown {
            return;
        }
        let Again { pause, say } = self.taking.again();
        self.next = Some(now.saturating_add(pause));
        if say {
            todo.push(PeersAction::Report(PeersReport::LockNotFree { failure }));
        }
    }

    /// A part of it is open.
    pub(super) fn opened(&mut self, part: NamePart, todo: &mut Vec<PeersAction>) {
        if self.parts.get(self.open) == Some(&part) {
            self.open += 1;
            self.open_next(todo);
        }
    }

    /// A part of it could not be opened.
    pub(super) fn not_opened(&mut self, why: String, now: Duration, todo: &mut Vec<PeersAction>) {
        let Again { pause, say } = self.opening.again();
        self.next = Some(now.saturating_add(pause));
        if say {
            todo.push(PeersAction::Report(PeersReport::NotOpened { error: why }));
        }
    }

    /// Tries what is due.
    pub(super) fn time_passed(&mut self, now: Duration, todo: &mut Vec<PeersAction>) {
        if self.next.take_if(|next| *next <= now).is_none() {
            return;
        }
        match self.owner {
            NameOwner::Unknown => todo.push(PeersAction::TakeLock),
            NameOwner::This => self.open_next(todo),
            NameOwner::Predecessor | NameOwner::Successor | NameOwner::Another => {}
        }
    }

    fn open_next(&mut self, todo: &mut Vec<PeersAction>) {
        self.next = None;
        match self.parts.get(self.open) {
            Some(part) => todo.push(PeersAction::Open(*part)),
            None if self.opening.renew() => todo.push(PeersAction::Report(PeersReport::Opened)),
            None => {}
        }
    }

    /// A successor serves under it.
    pub(super) fn lend(&mut self, todo: &mut Vec<PeersAction>) {
        self.owner = NameOwner::Successor;
        self.next = None;
        todo.push(PeersAction::SetGate(NameGate::Closed));
    }

    /// The successor has failed.
    pub(super) fn take_back(&mut self, todo: &mut Vec<PeersAction>) {
        if self.owner != NameOwner::Successor {
            return;
        }
        self.owner = NameOwner::This;
        todo.extend([PeersAction::ListenAnew, PeersAction::SetGate(NameGate::Open)]);
        self.open_next(todo);
    }

    /// This one will not serve again: what a successor has is its own.
    pub(super) fn stop(&mut self, todo: &mut Vec<PeersAction>) {
        match self.owner {
            NameOwner::Successor => self.let_go(todo),
            NameOwner::Predecessor | NameOwner::Unknown => {
                (self.owner, self.next) = (NameOwner::Another, None);
            }
            NameOwner::This | NameOwner::Another => {}
        }
    }

    /// It is another one's: nothing of it is kept. A name that is kept behind a closed gate is one that no other Clearway
    /// can take, and the one that serves may be killed while this one drains for hours.
    pub(super) fn let_go(&mut self, todo: &mut Vec<PeersAction>) {
        (self.owner, self.open, self.next) = (NameOwner::Another, 0, None);
        todo.push(PeersAction::LetGoOfName);
    }
}
