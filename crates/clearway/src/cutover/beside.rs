//! A first start beside balancers that are not ours, as when Clearway comes into the place of a script.
//!
//! Both listen on the same addresses by `SO_REUSEPORT`, and the kernel would share new clients out among them; those
//! that wait in the sockets of the other one when it is stopped would be reset. So as soon as ours serves, new clients
//! are steered to it ([`clearway_kernel::steering`]): the other one may be stopped at any time. It needs no capability and
//! touches nothing of the other one.
//!
//! ```text
//!   launch, with nothing in custody   begins: who listens already is known
//!   commit                            steers, before anybody is told that we serve
//!   thread                            nobody waits at the others any more: said
//!     five times a second             what has changed is steered anew; who is gone is not steered round any more
//!   takeover                          pauses: whoever has the sockets now has the clients, too
//!   stop                              gives back: new clients are theirs, before our HAProxy drains
//! ```

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clearway_kernel::steering::{self, Present, Reason, ReuseportGroup};
use clearway_kernel::{listeners, queues};
use tracing::{debug, info};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::steer::through;
use crate::cutover::switch::{Epoch, wait_for};
use crate::ground::aside;

/// How often it is looked what has changed.
const PACE: Duration = Duration::from_millis(200);
/// How long a switch of generations may still be at work, which steers as well.
const SWITCHED: Duration = Duration::from_secs(5);
/// How long those are waited for who came to the others before they could come here.
const WAITING: Duration = Duration::from_secs(2);
/// The same for those who came here before a stop gave the clients back: our HAProxy takes a millisecond.
const GIVING_BACK: Duration = Duration::from_millis(50);

/// Those whose new clients are ours, as long as they are there.
#[derive(Clone, Debug, Default)]
pub struct Others(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Who listened before our first HAProxy did. None: nobody's clients are taken, or not any more.
    before: Option<Present>,
    custody: Weak<Sockets>,
    /// What is steered. Those that [leave](Group::leaving) are the others.
    groups: Vec<ReuseportGroup>,
    is_watched: bool,
    /// Another Clearway has the sockets.
    is_paused: bool,
    /// Whoever had our sockets before us may have steered them.
    is_inherited: bool,
    /// The last switch, and since when there was no other.
    quiet: Option<(Epoch, Instant)>,
    /// Where it was said that nothing can be done.
    refused: HashSet<SocketAddr>,
}

impl Others {
    /// HAProxy is about to be started, and nothing is in custody: who listens now came before it.
    pub fn begin(&self) {
        self.state().before = Present::now()
            .inspect_err(|error| debug!("looking which processes listen already: {error}"))
            .ok();
    }

    /// The sockets, if there are any, were another Clearway's, which may have steered them, or died in the middle of a
    /// switch.
    pub fn inherit(&self, sockets: &Sockets) {
        self.state().is_inherited = !sockets.is_empty();
    }

    /// Another Clearway serves from our sockets, or does not any more.
    pub fn pause(&self, is_paused: bool) {
        self.state().is_paused = is_paused;
    }

    /// HAProxy is about to be started with these: what another Clearway has done with them must not send all clients to
    /// what is bound beside them.
    pub fn begin_with(&self, sockets: &Sockets) {
        let mut state = self.state();
        if state.is_inherited {
            state.is_inherited = !release_inherited(sockets);
        }
    }

    /// These serve from now on.
    pub fn steer_round(&self, sockets: &Arc<Sockets>) {
        self.begin_with(sockets);
        let mut state = self.state();
        if state.before.is_none() {
            return;
        }
        state.custody = Arc::downgrade(sockets);
        state.update();
        if state.groups.is_empty() {
            // Nobody was there, or nothing can be done: who comes now is behind us.
            state.before = None;
        } else if !state.is_watched {
            let others = self.clone();
            state.is_watched = aside::spawn("watching others that listen here", move || others.watch());
        }
    }

    /// The sockets (by inode) of those that get no new clients.
    pub fn without_clients(&self) -> HashSet<u64> {
        self.state().groups.iter().flat_map(ReuseportGroup::leaving).map(|listener| listener.inode).collect()
    }

    /// We are about to go: new clients are theirs again. Before our HAProxy drains, those that have come to us are to be
    /// waited for, if there may be some.
    pub fn give_back(&self) -> Option<Arrived> {
        let mut state = self.state();
        if state.is_paused {
            return None;
        }
        state.before = None;
        let groups = std::mem::take(&mut state.groups);
        let custody = state.custody.upgrade().filter(|_| !groups.is_empty())?;
        for group in &groups {
            through(group, &[&custody], ReuseportGroup::revert);
        }
        info!("new connections to {} go to the process that listened there before", addresses(&groups));
        Some(Arrived(custody.inodes()))
    }

    fn watch(&self) {
        let (leaving, addresses) = {
            let state = self.state();
            let leaving = state.groups.iter().flat_map(ReuseportGroup::leaving).copied().collect();
            (leaving, addresses(&state.groups))
        };
        let until = Instant::now() + WAITING;
        wait_for(leaving, until, &|| true);
        info!(
            "new connections to {addresses} come here; the process that listened there before gets none any more, and may be stopped"
        );
        loop {
            sleep(PACE);
            let mut state = self.state();
            if state.before.is_some() && state.custody.strong_count() > 0 {
                state.update();
                if !state.groups.is_empty() {
                    continue;
                }
                info!("the processes that listened here before have ended");
            }
            state.before = None;
            state.is_watched = false;
            return;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sockets (by inode) to which clients have come until now, whom HAProxy is to accept before it drains.
#[derive(Debug)]
pub struct Arrived(HashSet<u64>);

impl Arrived {
    /// Waits a moment for them.
    pub fn wait(self) {
        let until = Instant::now() + GIVING_BACK;
        while Instant::now() < until
            && queues::queues(&self.0).is_ok_and(|all| all.iter().any(|queue| queue.waiting > 0))
        {
            sleep(Duration::from_millis(1));
        }
    }
}

impl State {
    /// Steers what is to be steered, as things are.
    fn update(&mut self) {
        let (Some(before), Some(custody)) = (&self.before, self.custody.upgrade()) else { return };
        if self.is_paused {
            return;
        }
        let outcomes = match before.beside(&custody.inodes()) {
            Ok(outcomes) => outcomes,
            Err(error) => return debug!("looking which processes listen beside us: {error}"),
        };
        let may_release = self.is_quiet();
        let mut former: BTreeMap<SocketAddr, VecDeque<ReuseportGroup>> = BTreeMap::new();
        for group in std::mem::take(&mut self.groups) {
            former.entry(group.address()).or_default().push_back(group);
        }
        let mut take = |address| former.get_mut(&address)?.pop_front();
        let ours = [&*custody];
        for outcome in outcomes {
            match outcome {
                Ok(group) => {
                    let as_before = take(group.address());
                    if as_before.as_ref() == Some(&group) || through(&group, &ours, ReuseportGroup::steer) {
                        self.groups.push(group);
                    }
                }
                Err(cannot) => {
                    let Some(address) = cannot.address else { continue };
                    // A third one has come, or our former sockets are not closed yet: what is steered stays so. Or
                    // one of the others has gone: as few go astray as can be, until all have.
                    if let Some(group) = take(address) {
                        if cannot.reason == Reason::OtherGone {
                            through(&group, &ours, ReuseportGroup::narrow);
                        }
                        self.groups.push(group);
                    } else if self.refused.insert(address) {
                        info!("new connections are shared with others: {cannot}");
                    }
                }
            }
        }
        // Nobody else is there any more.
        let left = former.into_values().flatten();
        if may_release {
            for group in left {
                through(&group, &ours, ReuseportGroup::release);
            }
        } else {
            self.groups.extend(left);
        }
    }

    /// Whether no switch steers at this moment, whose work must not be undone.
    fn is_quiet(&mut self) -> bool {
        let now = Epoch::current();
        match self.quiet {
            Some((epoch, since)) if epoch == now => since.elapsed() > SWITCHED,
            _ => {
                self.quiet = Some((now, Instant::now()));
                false
            }
        }
    }
}

/// Where nobody else listens any more, nobody has to be steered round; says whether that was so everywhere.
fn release_inherited(sockets: &Sockets) -> bool {
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

fn addresses(groups: &[ReuseportGroup]) -> String {
    groups.iter().map(|group| group.address().to_string()).collect::<Vec<_>>().join(", ")
}
