//! A first start beside balancers that are not ours, as when Clearway comes into the place of a script.
//!
//! Both listen on the same addresses by `SO_REUSEPORT`, and the kernel would share new clients out among them; those
//! that wait in the sockets of the other one when it is stopped would be reset. So as soon as ours serves, new clients
//! are steered to it ([`clearway_kernel::steering`]): the other one may be stopped at any time. It needs no capability and
//! touches nothing of the other one. What is steered when, the core says ([`clearway_core::cutover`]):
//!
//! ```text
//!   launch, with nothing in custody   what listens already is known
//!   commit                            steers, before anything else is told that we serve
//!   thread                            no client waits at the others any more: said
//!     five times a second             what has changed is steered anew; what is gone is not steered round any more
//!   takeover                          pauses: the Clearway that has the sockets now has the clients, too
//!   stop                              gives back: new clients are theirs, before our HAProxy drains
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clearway_core::cutover::{SharedAddress, Sharing};
use clearway_kernel::steering::{self, NotSteerable, Present, Reason, ReuseportGroup};
use clearway_kernel::{listeners, queues};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::notices::CutoverNotice;
use crate::cutover::steer::{Steering, through, wait_for};
use crate::debug;
use crate::ground::aside;
use crate::ground::notice::tell;

/// How long clients are waited for that came to the others before they could come here.
const WAITING: Duration = Duration::from_secs(2);
/// The same for those that came here before a stop gave the clients back: our HAProxy takes a millisecond.
const GIVING_BACK: Duration = Duration::from_millis(50);

/// What was found at each address that we may share.
pub type SharingSeen = Vec<Result<ReuseportGroup, NotSteerable>>;

/// A comparison that is to be made: its round, and our sockets (by inode).
type ComparisonAsked = (u64, Arc<Present>, HashSet<u64>);

/// What is known of processes that listened before we did.
#[derive(Debug, Default)]
pub struct FirstComers {
    present: Option<Arc<Present>>,
    /// What can be steered, and is as the core says. Those that [leave](ReuseportGroup::leaving) are the others.
    groups: BTreeMap<SharedAddress, ReuseportGroup>,
    /// Why an address cannot be steered.
    reasons: HashMap<SocketAddr, String>,
    /// The thread that compares, from the first time on.
    comparing: Option<Sender<ComparisonAsked>>,
}

impl FirstComers {
    /// HAProxy is about to be started, and nothing is in custody: what listens now came before it. Says whether that is
    /// known.
    pub fn look(&mut self) -> bool {
        let present = Present::now();
        let present = present.inspect_err(|error| debug!("looking which processes listen already: {error}"));
        self.present = present.ok().map(Arc::new);
        self.present.is_some()
    }

    /// Compares at once what listens with what did then. Our sockets are those.
    pub fn compare(&self, ours: &Sockets) -> Option<SharingSeen> {
        compare(self.present.as_deref()?, &ours.inodes())
    }

    /// The same on a thread, which `answer` hears.
    pub fn begin_to_compare(
        &mut self,
        round: u64,
        ours: &Sockets,
        answer: impl Fn(u64, Option<SharingSeen>) + Send + 'static,
    ) {
        let Some(present) = self.present.clone() else { return };
        if self.comparing.is_none() {
            let (questions, asked) = channel::<ComparisonAsked>();
            aside::spawn("watching others that listen here", move || {
                for (round, present, ours) in asked {
                    answer(round, compare(&present, &ours));
                }
            });
            self.comparing = Some(questions);
        }
        // Without a thread nothing is looked at again: what is steered stays so.
        let _ = self.comparing.as_ref().map(|thread| thread.send((round, present, ours.inodes())));
    }

    /// What that is for the core.
    pub fn found(&mut self, comparison: SharingSeen) -> Vec<Sharing> {
        self.reasons.clear();
        let sharing = |outcome| match outcome {
            Ok(group) => {
                let shared = shared(&group);
                self.groups.insert(shared.clone(), group);
                Some(Sharing::CanBeSteered(shared))
            }
            Err(cannot) => {
                let NotSteerable { address: Some(address), reason, .. } = &cannot else { return None };
                let (address, has_gone) = (*address, *reason == Reason::OtherGone);
                self.reasons.insert(address, cannot.to_string());
                Some(if has_gone { Sharing::OneHasGone(address) } else { Sharing::CannotBeSteered(address) })
            }
        };
        comparison.into_iter().filter_map(sharing).collect()
    }

    /// Only these are steered.
    pub fn keep(&mut self, steered: &[SharedAddress]) {
        self.groups.retain(|shared, _| steered.contains(shared));
    }

    /// Does something to a group, by way of a socket of ours; says whether it is done.
    pub fn steer(&self, shared: &SharedAddress, ours: &Sockets, what: Steering) -> bool {
        self.groups.get(shared).is_some_and(|group| through(group, &[ours], what))
    }

    /// Says that new clients of an address are shared.
    pub fn say_shared(&self, address: SocketAddr) {
        if let Some(why) = self.reasons.get(&address) {
            tell(&CutoverNotice::Shared { why: why.clone() });
        }
    }

    /// Waits on a thread until no client waits at the others any more, and says so; then it is `served`. False if there
    /// can be no thread.
    pub fn await_theirs(&self, served: impl FnOnce() + Send + 'static) -> bool {
        if self.groups.is_empty() {
            return true;
        }
        let leaving = self.groups.values().flat_map(ReuseportGroup::leaving).copied().collect();
        let addresses = self.addresses();
        aside::spawn("waiting for the clients of others that listen here", move || {
            wait_for(leaving, Instant::now() + WAITING, &|| true);
            tell(&CutoverNotice::TheirsServed { addresses });
            served();
        })
    }

    /// New clients are theirs again. Those that have come to our sockets are waited for on a thread; then it is `done`.
    /// False if there can be no thread.
    pub fn give_back(&mut self, ours: &Sockets, done: impl FnOnce() + Send + 'static) -> bool {
        for group in self.groups.values() {
            through(group, &[ours], ReuseportGroup::revert);
        }
        tell(&CutoverNotice::GivenBack { addresses: self.addresses() });
        self.groups.clear();
        let arrived = ours.inodes();
        aside::spawn("waiting for clients that have come here", move || {
            let until = Instant::now() + GIVING_BACK;
            while Instant::now() < until
                && queues::queues(&arrived).is_ok_and(|all| all.iter().any(|queue| queue.waiting > 0))
            {
                sleep(Duration::from_millis(1));
            }
            done();
        })
    }

    /// The sockets (by inode) of the others, which get no new clients.
    pub fn without_clients(&self) -> HashSet<u64> {
        self.groups.values().flat_map(ReuseportGroup::leaving).map(|listener| listener.inode).collect()
    }

    fn addresses(&self) -> Vec<String> {
        self.groups.keys().map(|shared| shared.address.to_string()).collect()
    }
}

fn shared(group: &ReuseportGroup) -> SharedAddress {
    let sockets = group.members().to_vec();
    SharedAddress { address: group.address(), sockets, theirs: group.leaving().len() }
}

fn compare(present: &Present, ours: &HashSet<u64>) -> Option<SharingSeen> {
    let found = present.beside(ours);
    found.inspect_err(|error| debug!("looking which processes listen beside us: {error}")).ok()
}

/// Where no other process listens any more, nothing has to be steered round; says whether that was so everywhere.
pub fn release_inherited(sockets: &Sockets) -> bool {
    let ours: Vec<BorrowedFd<'_>> = sockets.all().iter().map(Held::descriptor).collect();
    let Ok(crowded) = steering::crowded(&ours).inspect_err(|error| debug!("{error}")) else { return false };
    // Thousands of sockets have few addresses.
    let mut local = HashMap::new();
    let mut is_local = |address| *local.entry(address).or_insert_with(|| listeners::is_local(address));
    let alone = |held: &&Held| !held.is_one_of(&crowded) && held.can_be_bound_beside(&mut is_local);
    for held in sockets.all().iter().filter(alone) {
        if let Err(error) = steering::release(held.descriptor()) {
            debug!("{}: {error}", held.identity);
        }
    }
    crowded.is_empty()
}
