//! What looks at the listening sockets come to: what they dropped, what was closed with clients in it, which client waited and how long.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Both ends of a client's connection: what it called, and where it comes from.
pub type ClientEnds = (SocketAddr, SocketAddr);

/// A listening socket at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSeen {
    /// Its inode.
    pub inode: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// How many clients wait in its queue.
    pub waiting: u32,
    /// How many packets it has dropped since it was made; unset: the kernel does not say.
    pub drops: Option<u32>,
}

/// One look at all listening sockets of the network namespace.
#[derive(Clone, Debug, Default)]
pub struct CostLook {
    /// When.
    pub at: Duration,
    /// All of them, ours or not.
    pub sockets: Vec<QueueSeen>,
    /// The inodes of those that are ours now.
    pub ours: HashSet<u64>,
    /// The clients that wait in queues of ours; unset: could not be listed.
    pub clients: Option<HashSet<ClientEnds>>,
}

/// What is known of one socket.
#[derive(Debug)]
struct QueueRecord {
    address: SocketAddr,
    /// What it had dropped when this part of the time began.
    base: Option<u32>,
    drops: Option<u32>,
    /// How many clients waited when it was seen last.
    waiting: u32,
    /// Whether it was there at the last look.
    is_there: bool,
}

/// What is known of one client that waits.
#[derive(Clone, Copy, Debug)]
struct ClientRecord {
    /// When it was seen first.
    since: Duration,
    /// The look before that, when it was not there yet; the first look if it was there then.
    not_before: Duration,
}

/// What was found out at our sockets in one part of the time; nothing where it could not be looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SocketFigures {
    pub dropped: Option<u64>,
    pub reset: Option<u64>,
    pub waited: Option<Duration>,
    pub waited_at_most: Option<Duration>,
    /// Whether at each look something listened at each address of ours.
    pub always_listened: bool,
    /// Whether each socket of ours was there all the time.
    pub none_closed: bool,
}

/// All looks so far.
#[derive(Debug, Default)]
pub(super) struct SocketWatch {
    ours: HashSet<u64>,
    sockets: HashMap<u64, QueueRecord>,
    clients: HashMap<ClientEnds, ClientRecord>,
    last: Option<Duration>,
    /// The longest time between two looks of this part.
    gap: Duration,
    waited: Duration,
    /// No client that was seen and has gone waited for longer.
    most: Duration,
    has_stopped_listening: bool,
    has_failed: bool,
    clients_unknown: bool,
}

impl SocketWatch {
    /// It could not be looked.
    pub(super) fn fail(&mut self) {
        self.has_failed = true;
    }

    pub(super) fn look(&mut self, look: CostLook) {
        let CostLook { at, sockets, ours, clients } = look;
        self.ours.extend(ours);
        let is_first = self.last.is_none();
        let there: HashSet<SocketAddr> = sockets.iter().map(|socket| socket.address).collect();
        self.sockets.values_mut().for_each(|record| record.is_there = false);
        for QueueSeen { inode, address, waiting, drops } in sockets {
            // What was not there at the first look has been made since, and had dropped nothing.
            let base = if is_first { drops } else { drops.map(|_| 0) };
            let record = self.sockets.entry(inode).or_insert(QueueRecord {
                address,
                base,
                drops,
                waiting,
                is_there: true,
            });
            *record = QueueRecord { drops, waiting, is_there: true, ..*record };
        }
        let is_missing = self.of_ours().any(|record| !there.contains(&record.address));
        self.has_stopped_listening |= is_missing;
        match clients {
            Some(clients) => self.note_clients(&clients, at),
            None => self.clients_unknown = true,
        }
        self.gap = self.gap.max(at.saturating_sub(self.last.unwrap_or(at)));
        self.last = Some(at);
    }

    fn of_ours(&self) -> impl Iterator<Item = &QueueRecord> {
        self.sockets.iter().filter(|(inode, _)| self.ours.contains(inode)).map(|(_, record)| record)
    }

    fn note_clients(&mut self, now: &HashSet<ClientEnds>, at: Duration) {
        let last = self.last;
        let gone: Vec<ClientRecord> =
            self.clients.extract_if(|client, _| !now.contains(client)).map(|(_, record)| record).collect();
        for record in gone {
            self.note_wait(record, last.unwrap_or(at), at);
        }
        for client in now {
            let not_before = last.unwrap_or(at);
            self.clients.entry(*client).or_insert(ClientRecord { since: at, not_before });
        }
    }

    /// A client has waited: it was seen until `seen`, and is not there `at` that time.
    fn note_wait(&mut self, record: ClientRecord, seen: Duration, at: Duration) {
        self.waited = self.waited.max(seen.saturating_sub(record.since));
        self.most = self.most.max(at.saturating_sub(record.not_before));
    }

    /// What this part of the time has come to; the next one begins.
    pub(super) fn end_part(&mut self) -> SocketFigures {
        let now = self.last.unwrap_or_default();
        let still: Vec<ClientRecord> = self.clients.values().copied().collect();
        for record in still {
            self.note_wait(record, now, now);
        }
        let figures = self.figures();
        self.begin_part();
        figures
    }

    fn figures(&self) -> SocketFigures {
        // The sockets of another network namespace are not in the list.
        let is_seen = self.ours.is_empty() || self.of_ours().next().is_some();
        let is_known = self.last.is_some() && !self.has_failed && is_seen;
        let drops = self.of_ours().map(|one| Some(u64::from(one.drops?.saturating_sub(one.base?))));
        let closed = || self.of_ours().filter(|record| !record.is_there);
        let are_clients_known = is_known && !self.clients_unknown;
        SocketFigures {
            dropped: if is_known { drops.sum() } else { None },
            reset: is_known.then(|| closed().map(|record| u64::from(record.waiting)).sum()),
            waited: are_clients_known.then_some(self.waited),
            waited_at_most: are_clients_known.then(|| self.gap.max(self.most)),
            always_listened: is_known && !self.has_stopped_listening,
            none_closed: is_known && closed().next().is_none(),
        }
    }

    /// The last look of the part before is the first one of the next. An address of ours at which nothing listens any more
    /// refuses clients from then on.
    fn begin_part(&mut self) {
        let there: HashSet<SocketAddr> =
            self.sockets.values().filter(|record| record.is_there).map(|record| record.address).collect();
        let has_stopped_listening = self.of_ours().any(|record| !there.contains(&record.address));
        let mut former = std::mem::take(self);
        former.sockets.retain(|_, record| record.is_there);
        former.sockets.values_mut().for_each(|record| record.base = record.drops);
        let Self { ours, sockets, clients, last, .. } = former;
        *self = Self { ours, sockets, clients, last, has_stopped_listening, ..Self::default() };
    }
}
