//! The thread that keeps a gate closed, and opens it.
//!
//! It refreshes the elements of the sets, and reads the messages of the queue so that its socket has room. It ends when
//! it is told to, or opens the gate by itself after [`super::LONGEST`]; dropped, it opens the gate as well.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::keys::{Keys, TIMEOUT};
use super::queue::NetfilterQueue;
use super::{GateError, rules, tally};
use crate::nft::{Claim, absent_is_fine};

/// A few times within [`TIMEOUT`].
const REFRESH: Duration = Duration::from_millis(200);
/// After the rule is gone a processor may still be on the way from it into the queue: microseconds. The queue has to be
/// silent for that long.
const SILENCE: Duration = Duration::from_millis(5);
/// How many times silence is waited for.
const ROUNDS: u32 = 40;

/// What a gate did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How many SYNs were held, those that were sent again counted again; 0 with [`Manner::Drop`](super::Manner::Drop).
    pub held: u64,
    /// How many SYNs were dropped, those that were sent again counted again; unset: none is dropped with
    /// [`Manner::Hold`](super::Manner::Hold), or the kernel did not count them.
    pub dropped: Option<u64>,
    /// How long the rules were there.
    pub closed_for: Duration,
    /// Whether new clients may have passed meanwhile: the thread could not refresh the elements in time, the queue
    /// failed or was full, or [`LONGEST`](super::LONGEST) was over.
    pub lapsed: bool,
}

/// What there is of a closed gate.
#[derive(Debug)]
pub(super) struct GateKeeper {
    /// None once it is open.
    closed: Option<ClosedGate>,
    opened: Opened,
    failure: Option<GateError>,
}

#[derive(Debug)]
struct ClosedGate {
    table: Claim,
    keys: Keys,
    queue: Option<NetfilterQueue>,
    since: Instant,
    /// When the elements were last put in.
    fresh: Instant,
    /// After this time it opens by itself.
    longest: Duration,
}

impl GateKeeper {
    /// For a gate that has been closed just now, with elements that are as old as `fresh` at most.
    pub(super) fn new(
        table: Claim,
        keys: Keys,
        queue: Option<NetfilterQueue>,
        fresh: Instant,
        longest: Duration,
    ) -> Self {
        Self {
            closed: Some(ClosedGate { table, keys, queue, since: Instant::now(), fresh, longest }),
            opened: Opened { held: 0, dropped: None, closed_for: Duration::ZERO, lapsed: false },
            failure: None,
        }
    }

    /// Keeps it closed until there is something to read, or until it is time.
    pub(super) fn keep(mut self, stop: &OwnedFd) -> Self {
        while let Some(closed) = &mut self.closed {
            match closed.wait(stop) {
                Ok(true) => return self,
                // A gate that cannot be told to open must not stay closed.
                Err(_) => self.let_go(),
                Ok(false) if closed.since.elapsed() > closed.longest => {
                    self.opened.lapsed = true;
                    self.let_go();
                }
                Ok(false) => closed.tend(&mut self.opened),
            }
        }
        self
    }

    /// Opens, and says what the gate did.
    pub(super) fn open(mut self) -> Result<Opened, GateError> {
        self.let_go();
        match self.failure.take() {
            None => Ok(self.opened.clone()),
            Some(error) => Err(error),
        }
    }

    /// Opens; a second time does nothing.
    fn let_go(&mut self) {
        let Some(mut closed) = self.closed.take() else { return };
        let removed = closed.remove_rule();
        self.opened.closed_for = closed.since.elapsed();
        // An element that had timed out by the end let clients through.
        self.opened.lapsed |= closed.fresh.elapsed() > TIMEOUT;
        let released = closed.release(&mut self.opened);
        self.opened.dropped = tally::dropped(&mut closed.table);
        let gone = closed.table.remove().map_err(GateError::from);
        self.failure = removed.and(released).and(gone).err();
    }
}

impl Drop for GateKeeper {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl ClosedGate {
    /// Whether it is time to open. Returns when there is something to do.
    fn wait(&self, stop: &OwnedFd) -> Result<bool, Errno> {
        let rest = Timespec::try_from(REFRESH.saturating_sub(self.fresh.elapsed()));
        let rest = rest.map_err(|_| Errno::INVAL)?;
        let mut watched = vec![PollFd::new(stop, PollFlags::IN)];
        watched.extend(self.queue.as_ref().map(|queue| PollFd::new(queue, PollFlags::IN)));
        match poll(&mut watched, Some(&rest)) {
            Ok(_) | Err(Errno::INTR) => Ok(watched.first().is_some_and(|stop| !stop.revents().is_empty())),
            Err(errno) => Err(errno),
        }
    }

    /// Reads and refreshes. A failure here may open the gate, and never closes it.
    fn tend(&mut self, opened: &mut Opened) {
        self.hear(opened);
        if self.fresh.elapsed() < REFRESH {
            return;
        }
        let refreshed = self.keys.refresh(self.table.name());
        let begun = Instant::now();
        opened.lapsed |= self.fresh.elapsed() > TIMEOUT;
        opened.lapsed |= self.table.commit("keeping closed the nftables table", &refreshed).is_err();
        self.fresh = begun;
    }

    /// Counts the packets that wait; a queue that fails is given up, and its packets are accepted. Says whether any
    /// came.
    fn hear(&mut self, opened: &mut Opened) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        let Ok(heard) = queue.hear() else {
            opened.lapsed = true;
            let _ = queue.release();
            self.queue = None;
            return false;
        };
        opened.held = opened.held.saturating_add(heard.packets);
        opened.lapsed |= heard.passed;
        heard.packets > 0
    }

    fn remove_rule(&mut self) -> Result<(), GateError> {
        let opening = rules::opening(self.table.name());
        Ok(absent_is_fine(self.table.commit("opening the nftables table", &opening))?)
    }

    /// Accepts the packets that wait, and those that still come, until none comes.
    fn release(&mut self, opened: &mut Opened) -> Result<(), GateError> {
        for _ in 0..ROUNDS {
            let Some(queue) = &mut self.queue else { return Ok(()) };
            queue.release()?;
            self.hear(opened);
            let silence = Timespec { tv_sec: 0, tv_nsec: SILENCE.subsec_nanos().into() };
            let watched = self.queue.as_ref().map(|queue| PollFd::new(queue, PollFlags::IN));
            let mut watched: Vec<_> = watched.into_iter().collect();
            if matches!(poll(&mut watched, Some(&silence)), Ok(0)) {
                return Ok(());
            }
        }
        Ok(())
    }
}
