//! The switch: how the clients of sockets that were not handed over come to the new generation, so that nobody is
//! lost when the old sockets are closed. Beside the loop: it waits for clients.
//!
//! ```text
//!   core              shell, in the loop              this thread                    HAProxy, old
//!    |                 Proved(new), settled
//!    |- Switch(new) --> begin ---------------------->  send new clients elsewhere     accepts who is there
//!    |                                                 wait: nobody half open,
//!    |                                                 nobody in a queue
//!    |<---- Switched ---------------------------------- close it exactly
//!    |- Commit(new) -----------> our duplicates are closed
//!    |- Drain(old) ----------------------------------------------------------------> closes its own
//!    |                           release, when the last copy of the old sockets is closed
//!    |- Abandon(new), instead -> revert, and release when the new sockets are gone
//! ```
//!
//! How they are sent elsewhere is up to the strategy, and to the socket ([`plan`]): by steering within the kernel's
//! group ([`clearway_kernel::steering`] has the rules), by a gate that stops SYNs until the old sockets are closed
//! ([`clearway_kernel::gate`]), or by a seal, which makes one socket deaf to SYNs. No thread keeps a socket open: each
//! looks them up in custody when it needs one, so that a stop is a stop. A gate opens with its owner.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::{Generation, InstanceName};
use clearway_core::strategy::{Means, Moved, Strategy};
use clearway_core::supervisor::{Event, SWITCHING};
use clearway_kernel::listeners;
use clearway_kernel::queues::{self, Listener, Waiting};
use clearway_kernel::steering::{self, Fate, ReuseportGroup, SocketOrder};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::redirection::Turn;
use crate::cutover::steer::through;
use crate::ground::failure::Unavailable;
use crate::ground::{aside, steps};
use crate::shell::Inner;
use closed::Closed;
use plan::Plan;

mod closed;
mod plan;

/// How often it is looked whether somebody waits.
const PACE: Duration = Duration::from_millis(5);

/// How long the old generation may take to close its sockets after it was told to drain, before the kernel is
/// left as it is: the next reload steers anew.
const CLOSING: Duration = Duration::from_secs(30);

/// How long handshakes that do not go on are waited for behind a closed gate: their clients are slow or gone, and
/// everybody else waits meanwhile. Less than what a dropped SYN costs.
const HALF_OPEN_BEHIND_A_GATE: Duration = Duration::from_millis(500);

/// Counts the switches: whoever is late must not undo what a later one has done.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// The time between two switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    /// What is now.
    pub fn current() -> Self {
        Self(EPOCH.load(Ordering::Relaxed))
    }

    fn next() -> Self {
        Self(EPOCH.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Whether no other switch has begun since.
    pub fn is_current(self) -> bool {
        EPOCH.load(Ordering::Relaxed) == self.0
    }
}

/// How it is to be done.
#[derive(Debug)]
pub struct Manners {
    /// What the settings say.
    pub strategy: Strategy,
    /// The name that a gate carries.
    pub instance: Option<InstanceName>,
    /// Ports that a gate is closed for although no socket of them is known (`HAPROXY_PORTS`).
    pub ports: Vec<u16>,
    /// From which private ports to which, if the generation has some.
    pub turn: Option<Turn>,
}

/// What was done for a generation that has not been committed yet.
#[derive(Debug)]
pub struct Switch {
    /// For which.
    pub generation: Generation,
    epoch: Epoch,
    groups: Vec<ReuseportGroup>,
    sealed: Vec<Listener>,
    /// Those that leave and that nobody is steered away from.
    alone: Vec<Listener>,
    gate: Option<Closed>,
    /// Set when clients are sent to its private ports.
    turned: Option<Turn>,
    former: Weak<Sockets>,
    new: Weak<Sockets>,
    /// What is to be reported.
    moved: Vec<Moved>,
    failed: Option<Failure>,
    cancel: Cancel,
}

/// Tells the thread that nobody waits for its work any more.
#[derive(Clone, Debug)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    turn: Option<Turn>,
}

impl Cancel {
    /// From now on. Whoever was sent to private ports that nobody will serve is sent back at once: the thread may take
    /// its time.
    pub fn now(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.turn_back();
    }

    fn turn_back(&self) {
        if let Some(turn) = &self.turn {
            turn.undo();
        }
    }

    /// Whether that was said.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

/// Begins; what comes of it arrives as [`Inner::Switched`].
pub fn begin(
    generation: Generation,
    mut manners: Manners,
    former: &Arc<Sockets>,
    new: &Arc<Sockets>,
    inner: UnboundedSender<Inner>,
) -> Result<Cancel, Event> {
    let (former, new) = (Arc::downgrade(former), Arc::downgrade(new));
    let epoch = Epoch::next();
    let cancel = Cancel { flag: Arc::default(), turn: manners.turn.clone() };
    let strategy = manners.strategy;
    let cancelled = cancel.clone();
    let begun = aside::spawn("moving clients to the new generation", move || {
        let mut switch = Switch {
            generation,
            epoch,
            groups: Vec::new(),
            sealed: Vec::new(),
            alone: Vec::new(),
            gate: None,
            turned: None,
            former,
            new,
            moved: Vec::new(),
            failed: None,
            cancel: cancelled,
        };
        let until = Instant::now() + SWITCHING;
        switch.failed = switch.divert_and_wait(&mut manners, until).err();
        if switch.failed.is_some() {
            switch.bring_back(until);
        }
        let _ = inner.send(Inner::Switched(switch));
    });
    if begun {
        return Ok(cancel);
    }
    // It was logged why.
    if strategy.hands_over() {
        return Err(Event::Switched { generation, moved: Vec::new() });
    }
    let message = format!("the strategy `{strategy}`: no thread could be started for it");
    let failure = Failure::new(ExitCode::Internal, message).hint(aside::LIMIT_REACHED);
    Err(Event::Failed { generation, failure })
}

impl Switch {
    /// What the core is told.
    pub fn event(&mut self) -> Event {
        let generation = self.generation;
        match self.failed.take() {
            Some(failure) => Event::Failed { generation, failure },
            None => Event::Switched { generation, moved: std::mem::take(&mut self.moved) },
        }
    }

    fn divert_and_wait(&mut self, manners: &mut Manners, until: Instant) -> Result<(), Failure> {
        steps::at("diverts", &"Clients");
        let Some(leaving) = self.divert(manners)? else { return Ok(()) };
        steps::at("waits", &"Clients");
        let mut waiting = match Waiting::begin(leaving) {
            Ok(waiting) => waiting,
            Err(error) => return cannot(manners.strategy, &error),
        };
        // From now on, as what was before may have taken its time on a busy machine.
        let half_open_until = Instant::now() + HALF_OPEN_BEHIND_A_GATE;
        loop {
            match waiting.poll() {
                Ok(remaining) if remaining.is_nothing() || self.cancel.is_set() => break,
                Ok(remaining)
                    if self.gate.is_some() && remaining.queued == 0 && Instant::now() >= half_open_until =>
                {
                    info!("not waiting for {} without progress", Count(remaining.half_open, "handshake"));
                    break;
                }
                Ok(remaining) if Instant::now() >= until => {
                    warn!(
                        "resetting {} in sockets that generation {} does not use",
                        Count(
                            usize::try_from(remaining.queued)
                                .unwrap_or(usize::MAX)
                                .saturating_add(remaining.half_open),
                            "waiting client"
                        ),
                        self.generation
                    );
                    break;
                }
                Ok(_) => sleep(PACE),
                Err(error) => return cannot(manners.strategy, &error),
            }
        }
        self.at_each(ReuseportGroup::narrow);
        Ok(())
    }

    /// It failed, and the new generation is about to be drained: new clients go to the former one again, and
    /// those that have come to the new sockets, for as long as both listened, are waited for.
    fn bring_back(&mut self, until: Instant) {
        if let Some(gate) = self.gate.take() {
            gate.undo();
        }
        self.cancel.turn_back();
        self.at_each(ReuseportGroup::revert);
        let (Some(former), Some(new)) = (self.former.upgrade(), self.new.upgrade()) else { return };
        let listeners = fresh(&new, &former.inodes()).filter_map(Held::listener).collect();
        drop((former, new));
        wait_for(listeners, until, &|| !self.cancel.is_set());
    }

    /// Sends new clients where somebody will accept them; tells which sockets leave.
    fn divert(&mut self, manners: &mut Manners) -> Result<Option<Vec<Listener>>, Failure> {
        let (Some(former), Some(new)) = (self.former.upgrade(), self.new.upgrade()) else { return Ok(None) };
        let mut plan = match look(&former, &new, manners.strategy) {
            Ok(plan) => plan,
            Err(error) => return cannot(manners.strategy, &error).map(|()| None),
        };
        self.groups = std::mem::take(&mut plan.groups);
        self.close_the_gate(manners, &mut plan)?;
        if let Some(turn) = manners.turn.take()
            && turn.make(&self.cancel)?
        {
            // Nobody comes to those any more but whose SYN was there before, and that one is to be served.
            plan.sealed.retain(|listener| !turn.leads_away_from(listener.address));
            self.turned = Some(turn);
        }
        self.sealed = std::mem::take(&mut plan.sealed);
        self.sealed.extend(
            self.groups.iter().filter(|group| group.needs_seal()).flat_map(ReuseportGroup::leaving).copied(),
        );
        let wanted = self.groups.len();
        self.at_each(ReuseportGroup::steer);
        if self.groups.len() < wanted && !manners.strategy.hands_over() {
            let message =
                format!("the strategy `{}`: new connections could not be steered", manners.strategy);
            let hint =
                "the line before says why; the strategy `handoff` does not steer what it can hand over";
            return Err(Failure::new(ExitCode::Kernel, message).hint(hint));
        }
        self.sealed.retain(|listener| {
            let sealed = former.socket(listener.inode).map(|held| steering::seal(held.descriptor()));
            if let Some(Err(error)) = &sealed {
                debug!("{error}");
            }
            matches!(sealed, Some(Ok(())))
        });
        let steered: HashSet<u64> =
            self.groups.iter().flat_map(ReuseportGroup::leaving).map(|one| one.inode).collect();
        let redirected =
            |one: &Listener| self.turned.as_ref().is_some_and(|turn| turn.leads_away_from(one.address));
        let alone = plan.leaving.iter().filter(|one| !steered.contains(&one.inode) && !redirected(one));
        self.alone = alone.copied().collect();
        // Whoever cancels lets go of the sockets next, and nobody could mend this later.
        if self.cancel.is_set() {
            former.unseal();
        }
        let name = |listener: &Listener| {
            let held = former.socket(listener.inode);
            held.map_or_else(|| listener.address.to_string(), |held| held.identity.to_string())
        };
        let gated = self.gate.as_ref().map(|gate| (&*gate.listeners, gate.means()));
        self.moved = plan.moved(&self.groups, &self.sealed, gated, &name);
        let left: Vec<&str> =
            self.moved.iter().filter(|one| one.by == Means::Nothing).map(|one| &*one.address).collect();
        if !left.is_empty() {
            warn!(
                "new clients cannot be moved away from {}, which is about to be closed: a client that connects in that moment is \
                 reset (with NET_ADMIN their SYNs are stopped meanwhile, and with `--strategy auto` delayed by milliseconds)",
                left.join(", ")
            );
        }
        if let Some(turn) = &self.turned {
            self.moved.extend(plan.redirected(turn));
        }
        Ok(Some(plan.leaving))
    }

    /// Stops SYNs to the sockets that the plan has for it. Where that was asked for and cannot be had, nothing has been
    /// changed; where it is only the best that might be had, the next best follows.
    fn close_the_gate(&mut self, manners: &Manners, plan: &mut Plan) -> Result<(), Failure> {
        if plan.gated.is_empty() {
            return Ok(());
        }
        let gated = std::mem::take(&mut plan.gated);
        match Closed::close(manners, gated.clone()) {
            Ok(gate) => {
                self.gate = Some(gate);
                Ok(())
            }
            Err(error) if manners.strategy == Strategy::Auto => {
                info!("SYNs are not stopped while sockets are closed: {error}");
                plan.sealed.extend(gated);
                Ok(())
            }
            Err(error) => Err(Unavailable::of(manners.strategy, &error).into()),
        }
    }

    /// Does something to each group, by way of one of its sockets that we hold.
    fn at_each(&mut self, what: fn(&ReuseportGroup, BorrowedFd<'_>) -> Result<(), steering::SteeringError>) {
        let sets = [self.former.upgrade(), self.new.upgrade()];
        let sets: Vec<&Sockets> = sets.iter().flatten().map(|set| &**set).collect();
        self.groups.retain(|group| through(group, &sets, what));
    }

    /// The sockets that leave and would go on getting clients, as long as somebody keeps them open.
    pub fn alone(&self) -> &[Listener] {
        &self.alone
    }

    /// The generation was committed: the kernel may share out again, and SYNs go on, when the old sockets are closed.
    pub fn committed(mut self) {
        if let Some(gate) = self.gate.take() {
            gate.open_without_the_old();
        }
        let leaving: HashSet<u64> =
            self.groups.iter().flat_map(ReuseportGroup::leaving).map(|listener| listener.inode).collect();
        self.release_without(leaving);
    }

    /// The generation failed: everything as before. `later`: another one has been committed meanwhile.
    pub fn abandoned(mut self, later: bool) {
        if let Some(gate) = self.gate.take() {
            gate.undo();
        }
        if let Some(former) = self.former.upgrade() {
            for listener in &self.sealed {
                let held = former.socket(listener.inode);
                if let Some(Err(error)) = held.map(|held| steering::unseal(held.descriptor())) {
                    warn!("{error}");
                }
            }
        }
        if self.epoch.is_current() {
            self.at_each(ReuseportGroup::revert);
            if let Some(turn) = self.turned.as_ref().filter(|_| !later && !self.cancel.is_set()) {
                turn.undo();
            }
        }
        let (new, former) = (self.new.upgrade(), self.former.upgrade());
        let known = former.as_deref().map(Sockets::inodes).unwrap_or_default();
        let fresh = new.as_deref().map(Sockets::inodes).unwrap_or_default();
        drop((new, former));
        self.release_without(fresh.difference(&known).copied().collect());
    }

    /// Whether clients are sent to its private ports.
    pub fn has_turned(&self) -> bool {
        self.turned.is_some()
    }

    /// Waits until none of these sockets listens any more, then lets the kernel share out.
    fn release_without(self, sockets: HashSet<u64>) {
        if self.groups.is_empty() {
            return;
        }
        let mut it = self;
        aside::spawn("ending the steering of clients", move || {
            if all_closed(&sockets, CLOSING, &|| it.epoch.is_current()) {
                it.at_each(ReuseportGroup::release);
            }
        });
    }
}

/// Waits until none of these sockets listens any more; says no if that takes too long, or nobody wants to know.
fn all_closed(sockets: &HashSet<u64>, limit: Duration, wanted: &dyn Fn() -> bool) -> bool {
    let until = Instant::now() + limit;
    while Instant::now() < until && wanted() {
        match queues::queues(sockets) {
            Ok(open) if open.is_empty() => return true,
            Ok(_) => sleep(PACE),
            Err(error) => {
                debug!("{error}");
                return false;
            }
        }
    }
    false
}

/// Which sockets leave, and what is to be done for their clients.
fn look(former: &Sockets, new: &Sockets, strategy: Strategy) -> Result<Plan, listeners::SockDiagError> {
    let (used, known) = (new.inodes(), former.inodes());
    let held: Vec<(BorrowedFd<'_>, Fate)> = former
        .all()
        .iter()
        .map(|held| {
            let stays = used.contains(&held.inode());
            (held.descriptor(), if stays { Fate::Stays } else { Fate::Leaves })
        })
        .collect();
    let fresh: Vec<BorrowedFd<'_>> = fresh(new, &known).map(Held::descriptor).collect();
    let outcomes = steering::groups(&held, &fresh, SocketOrder::KnownBehind(former.shuffled()))?;
    Ok(Plan::of(outcomes, strategy, new.crowded()))
}

/// The sockets that were not there before.
fn fresh<'a>(new: &'a Sockets, known: &HashSet<u64>) -> impl Iterator<Item = &'a Held> {
    new.all().iter().filter(|held| !known.contains(&held.inode()))
}

/// Waits until those who have come to these sockets are served, not longer than that, and only as long as it is wanted.
pub fn wait_for(listeners: Vec<Listener>, until: Instant, wanted: &dyn Fn() -> bool) {
    let mut waiting = Waiting::begin(listeners).inspect_err(|error| debug!("{error}")).ok();
    while let Some(one) = &mut waiting
        && Instant::now() < until
        && wanted()
        && one.poll().is_ok_and(|remaining| !remaining.is_nothing())
    {
        sleep(PACE);
    }
}

/// What could not be handed over is moved as well as can be had; a strategy that was asked for is done or is not.
fn cannot(strategy: Strategy, error: &listeners::SockDiagError) -> Result<(), Failure> {
    if strategy.hands_over() {
        warn!("clients are not moved away from sockets that are about to be closed: {error}");
        return Ok(());
    }
    Err(Unavailable::of(strategy, error).into())
}
