//! Clients of sockets that could not be handed over: steered to the new generation, and waited for.
//!
//! ```text
//!   core                       shell, on a thread of its own                   HAProxy
//!     |- Steer(new) ------------> groups: which sockets leave, who stands in for them
//!     |                           steer: new clients go to the new sockets
//!     |                           wait: until nobody is left in those that leave <--- the old one accepts them
//!     |<------------ Steered ---- narrow
//!     |- Commit(new) -----------> our duplicates are closed
//!     |- Drain(old) ----------------------------------------------------------------> closes its own
//!     |                           release, when the last copy of the old sockets is closed
//!     |- Abandon(new), instead -> revert, and release when the new sockets are gone
//! ```
//!
//! What can be had depends on the socket; [`clearway_kernel::steering`] has the rules. No thread keeps a socket
//! open: each looks them up in custody when it needs one, so that a stop is a stop.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, STEERING};
use clearway_kernel::queues::{self, Listener, Waiting};
use clearway_kernel::steering::{self, Fate, Group, Order, Reason};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use super::custody::{Custody, Held};
use super::{Inner, thread};

/// How often it is looked whether somebody waits.
const PACE: Duration = Duration::from_millis(5);

/// How long the old generation may take to close its sockets after it was told to drain, before the kernel is
/// left as it is: the next reload steers anew.
const CLOSING: Duration = Duration::from_secs(30);

/// Counts the steerings: whoever is late must not undo what a later one has done.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// What was done for a generation that has not been committed yet.
#[derive(Debug)]
pub struct Steered {
    /// For which.
    pub generation: Generation,
    epoch: u64,
    groups: Vec<Group>,
    sealed: Vec<Listener>,
    former: Weak<Custody>,
    new: Weak<Custody>,
}

/// Begins; what comes of it arrives as [`Inner::Steered`].
pub fn begin(
    generation: Generation,
    former: &Arc<Custody>,
    new: &Arc<Custody>,
    inner: UnboundedSender<Inner>,
) {
    let (former, new) = (Arc::downgrade(former), Arc::downgrade(new));
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
    let failed = inner.clone();
    let begun = thread::spawn("steering clients", move || {
        let mut steered = Steered { generation, epoch, groups: Vec::new(), sealed: Vec::new(), former, new };
        steered.steer_and_wait();
        let _ = inner.send(Inner::Steered(steered));
    });
    if !begun {
        let _ = failed.send(Inner::Event(Event::Steered(generation)));
    }
}

impl Steered {
    /// What the core is told.
    pub fn event(&self) -> Event {
        Event::Steered(self.generation)
    }

    fn steer_and_wait(&mut self) {
        let until = Instant::now() + STEERING;
        let Some(leaving) = self.steer() else { return };
        let Ok(mut waiting) = Waiting::begin(leaving) else { return };
        loop {
            match waiting.poll() {
                Ok(remaining) if remaining.is_nothing() => break,
                Ok(remaining) if Instant::now() >= until => {
                    warn!(
                        "{} client(s) still wait in sockets that generation {} does not use: they will be reset",
                        usize::try_from(remaining.queued)
                            .unwrap_or(usize::MAX)
                            .saturating_add(remaining.half_open),
                        self.generation
                    );
                    break;
                }
                Ok(_) => sleep(PACE),
                Err(error) => {
                    warn!("looking whether clients wait in sockets that are about to be closed: {error}");
                    break;
                }
            }
        }
        self.at_each(Group::narrow);
    }

    /// Sends new clients where somebody will accept them; tells which sockets leave.
    fn steer(&mut self) -> Option<Vec<Listener>> {
        let (former, new) = (self.former.upgrade()?, self.new.upgrade()?);
        let (used, known) = (new.inodes(), former.inodes());
        let held: Vec<(BorrowedFd<'_>, Fate)> = former
            .sockets()
            .iter()
            .map(|held| {
                let stays = used.contains(&held.identity.inode.0);
                (held.descriptor(), if stays { Fate::Stays } else { Fate::Leaves })
            })
            .collect();
        let fresh: Vec<BorrowedFd<'_>> = new
            .sockets()
            .iter()
            .filter(|held| !known.contains(&held.identity.inode.0))
            .map(Held::descriptor)
            .collect();
        let outcomes = match steering::groups(&held, &fresh, Order::KnownBehind(former.shuffled())) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                warn!("clients are not steered away from sockets that are about to be closed: {error}");
                return None;
            }
        };
        let mut leaving = Vec::new();
        for outcome in outcomes {
            match outcome {
                // Who had listened there besides may have gone, and the last of the new ones be among the old.
                Ok(group) if new.crowded().contains(&group.address()) => {
                    info!("new connections to {} are not steered: others listened there", group.address());
                    self.sealed.extend(group.leaving().iter().copied());
                    leaving.extend(group.leaving().iter().copied());
                }
                Ok(group) => {
                    leaving.extend(group.leaving().iter().copied());
                    self.groups.push(group);
                }
                Err(cannot) => {
                    if matches!(cannot.reason, Reason::Narrower | Reason::Nobody) {
                        debug!("{cannot}");
                    } else {
                        info!("new connections are not steered: {cannot}");
                    }
                    // Where the new sockets get nobody as long as the old one is open, who comes now comes again.
                    if !matches!(cannot.reason, Reason::Narrower | Reason::NotListening) {
                        self.sealed.extend(cannot.leaving.iter().copied());
                    }
                    leaving.extend(cannot.leaving);
                }
            }
        }
        self.sealed
            .extend(self.groups.iter().filter(|group| group.needs_seal()).flat_map(Group::leaving).copied());
        self.at_each(Group::steer);
        self.sealed.retain(|listener| {
            let sealed = descriptor(&former, listener.inode).map(steering::seal);
            if let Some(Err(error)) = &sealed {
                debug!("{error}");
            }
            matches!(sealed, Some(Ok(())))
        });
        Some(leaving)
    }

    /// Does something to each group, by way of one of its sockets that we hold.
    fn at_each(&mut self, what: fn(&Group, BorrowedFd<'_>) -> Result<(), steering::Error>) {
        let custodies = [self.former.upgrade(), self.new.upgrade()];
        self.groups.retain(|group| {
            let mut sockets = custodies.iter().flatten().flat_map(|custody| custody.sockets());
            let via = sockets.find(|held| group.has(held.identity.inode.0));
            match via.map(|held| what(group, held.descriptor())) {
                Some(Ok(())) => true,
                Some(Err(error)) => {
                    warn!("{error}");
                    false
                }
                None => false,
            }
        });
    }

    /// The generation was committed: the kernel may share out again when the old sockets are closed.
    pub fn committed(self) {
        let leaving: HashSet<u64> =
            self.groups.iter().flat_map(Group::leaving).map(|listener| listener.inode).collect();
        self.release_without(leaving);
    }

    /// The generation came to nothing: everything as before.
    pub fn abandoned(mut self) {
        if self.is_latest() {
            self.at_each(Group::revert);
        }
        if let Some(former) = self.former.upgrade() {
            for listener in &self.sealed {
                if let Some(Err(error)) = descriptor(&former, listener.inode).map(steering::unseal) {
                    warn!("{error}");
                }
            }
        }
        let (new, former) = (self.new.upgrade(), self.former.upgrade());
        let known = former.as_deref().map(Custody::inodes).unwrap_or_default();
        let fresh = new.as_deref().map(Custody::inodes).unwrap_or_default();
        drop((new, former));
        self.release_without(fresh.difference(&known).copied().collect());
    }

    fn is_latest(&self) -> bool {
        EPOCH.load(Ordering::Relaxed) == self.epoch
    }

    /// Waits until none of these sockets listens any more, then lets the kernel share out.
    fn release_without(self, sockets: HashSet<u64>) {
        if self.groups.is_empty() {
            return;
        }
        let mut it = self;
        thread::spawn("ending the steering of clients", move || {
            let until = Instant::now() + CLOSING;
            while Instant::now() < until && it.is_latest() {
                match queues::queues(&sockets) {
                    Ok(open) if open.is_empty() => return it.at_each(Group::release),
                    Ok(_) => sleep(PACE),
                    Err(error) => return debug!("{error}"),
                }
            }
        });
    }
}

fn descriptor(custody: &Custody, inode: u64) -> Option<BorrowedFd<'_>> {
    let held = custody.sockets().iter().find(|held| held.identity.inode.0 == inode)?;
    Some(held.descriptor())
}
