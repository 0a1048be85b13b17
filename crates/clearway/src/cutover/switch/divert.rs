//! What the thread of a switch does: it sends new clients elsewhere, and waits for those that came before.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::strategy::{Means, Strategy};
use clearway_kernel::listeners::SockDiagError;
use clearway_kernel::queues::{Listener, Waiting};
use clearway_kernel::steering::{self, Fate, ReuseportGroup, SocketOrder};

use super::gate::SwitchGate;
use super::plan::MovePlan;
use super::{Manners, Switch, fresh};
use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::notices::CutoverNotice;
use crate::cutover::redirection::WayChange;
use crate::cutover::steer::{PACE, wait_for};
use crate::debug;
use crate::ground::failure::Unavailable;
use crate::ground::notice::tell;
use crate::ground::steps;

/// How long handshakes that do not go on are waited for behind a closed gate: their clients are slow or gone, and
/// all others wait meanwhile. Less than what a dropped SYN costs.
const HALF_OPEN_BEHIND_A_GATE: Duration = Duration::from_millis(500);

impl Switch {
    pub(super) fn divert_and_wait(&mut self, manners: &mut Manners, until: Instant) -> Result<(), Failure> {
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
                // What is decided is not waited for: it closes the former sockets, or keeps them.
                Ok(remaining) if remaining.is_nothing() || self.cancel.is_decided() => break,
                Ok(remaining)
                    if self.gate.is_some() && remaining.queued == 0 && Instant::now() >= half_open_until =>
                {
                    tell(&CutoverNotice::HalfOpen { handshakes: remaining.half_open });
                    break;
                }
                Ok(remaining) if Instant::now() >= until => {
                    let queued = usize::try_from(remaining.queued).unwrap_or(usize::MAX);
                    let clients = queued.saturating_add(remaining.half_open);
                    tell(&CutoverNotice::Resetting { generation: self.generation, clients });
                    break;
                }
                Ok(_) => sleep(PACE),
                Err(error) => return cannot(manners.strategy, &error),
            }
        }
        self.at_each(ReuseportGroup::narrow, None);
        Ok(())
    }

    /// It failed, and the new generation is about to be drained: new clients go to the former one again, and
    /// those that have come to the new sockets, for as long as both listened, are waited for. Unless it was committed
    /// without waiting for us: then the gate is opened by the loop, when the former sockets are closed.
    pub(super) fn bring_back(&mut self, ways: Option<&WayChange>, until: Instant) {
        if !self.cancel.is_overtaken() {
            self.open_gate();
        }
        if let Some(ways) = ways {
            ways.undo(&self.cancel);
        }
        if self.cancel.is_decided() {
            return;
        }
        self.at_each(ReuseportGroup::revert, None);
        let (Some(former), Some(new)) = (self.former.upgrade(), self.new.upgrade()) else { return };
        let listeners = fresh(&new, &former.inodes()).filter_map(Held::listener).collect();
        drop((former, new));
        wait_for(listeners, until, &|| !self.cancel.is_abandoned());
    }

    /// Sends new clients to sockets that are accepted from; tells which sockets leave.
    fn divert(&mut self, manners: &Manners) -> Result<Option<Vec<Listener>>, Failure> {
        let (Some(former), Some(new)) = (self.former.upgrade(), self.new.upgrade()) else { return Ok(None) };
        if self.cancel.is_abandoned() {
            return Ok(None);
        }
        let mut plan = match look(&former, &new, manners.strategy) {
            Ok(plan) => plan,
            Err(error) => return cannot(manners.strategy, &error).map(|()| None),
        };
        self.groups = std::mem::take(&mut plan.groups);
        self.close_the_gate(manners, &mut plan)?;
        if let Some(ways) = &manners.ways
            && ways.make(&self.cancel)?
        {
            // No client comes to those any more but one whose SYN was there before, and that one is to be served.
            plan.sealed.retain(|listener| !ways.leads_away_from(listener.address));
            self.redirected = Some(ways.clone());
        }
        self.steer(manners.strategy)?;
        self.seal(&former, std::mem::take(&mut plan.sealed));
        let steered: HashSet<u64> =
            self.groups.iter().flat_map(ReuseportGroup::leaving).map(|one| one.inode).collect();
        let redirected =
            |one: &Listener| self.redirected.as_ref().is_some_and(|ways| ways.leads_away_from(one.address));
        let alone = plan.leaving.iter().filter(|one| !steered.contains(&one.inode) && !redirected(one));
        self.alone = alone.copied().collect();
        // The sockets are let go of next, and this could not be mended later.
        if self.cancel.is_abandoned() {
            former.unseal();
        }
        self.report(&plan, &former);
        Ok(Some(plan.leaving))
    }

    fn steer(&mut self, strategy: Strategy) -> Result<(), Failure> {
        let wanted = self.groups.len();
        self.at_each(ReuseportGroup::steer, None);
        if self.groups.len() == wanted || strategy.hands_over() {
            return Ok(());
        }
        let message = format!("the strategy `{strategy}`: new connections could not be steered");
        let hint = "the line before says why; the strategy `handoff` does not steer what it can hand over";
        Err(Failure::new(ExitCode::Kernel, message).hint(hint))
    }

    /// Seals what the plan has for it, and what steering alone does not close exactly.
    fn seal(&mut self, former: &Sockets, planned: Vec<Listener>) {
        let inexact = self.groups.iter().filter(|group| group.needs_seal());
        let inexact = inexact.flat_map(ReuseportGroup::leaving).copied();
        let seal =
            |one: &Listener| match former.socket(one.inode).map(|held| steering::seal(held.descriptor())) {
                Some(Err(error)) => {
                    debug!("{error}");
                    false
                }
                sealed => sealed.is_some(),
            };
        self.sealed = planned.into_iter().chain(inexact).filter(seal).collect();
    }

    /// Stops SYNs to the sockets that the plan has for it. Where that was asked for and cannot be had, nothing has been
    /// changed; where it is only the best that might be had, the next best follows.
    fn close_the_gate(&mut self, manners: &Manners, plan: &mut MovePlan) -> Result<(), Failure> {
        if plan.gated.is_empty() {
            return Ok(());
        }
        let gated = std::mem::take(&mut plan.gated);
        let Manners { strategy, instance, ports, counts, .. } = manners;
        match SwitchGate::close(*strategy, instance.as_ref(), ports, gated.clone(), Arc::clone(counts)) {
            Ok(gate) => {
                self.gate = Some(gate);
                Ok(())
            }
            Err(error) if manners.strategy == Strategy::Auto => {
                tell(&CutoverNotice::NoGate { error: error.to_string() });
                plan.sealed.extend(gated);
                Ok(())
            }
            Err(error) => Err(Unavailable::of(manners.strategy, &error).into()),
        }
    }

    /// What was done for which address, and for which nothing could be done.
    fn report(&mut self, plan: &MovePlan, former: &Sockets) {
        let name = |listener: &Listener| {
            let held = former.socket(listener.inode);
            held.map_or_else(|| listener.address.to_string(), |held| held.identity.to_string())
        };
        let gated = self.gate.as_ref().map(|gate| (&*gate.listeners, gate.means()));
        self.moved = plan.moved(&self.groups, &self.sealed, gated, &name);
        let left = self.moved.iter().filter(|one| one.by == Means::Nothing);
        let addresses: Vec<String> = left.map(|one| one.address.clone()).collect();
        if !addresses.is_empty() {
            tell(&CutoverNotice::Unmoved { addresses });
        }
        if let Some(ways) = &self.redirected {
            self.moved.extend(plan.redirected(ways));
        }
    }
}

/// Which sockets leave, and what is to be done for their clients.
fn look(former: &Sockets, new: &Sockets, strategy: Strategy) -> Result<MovePlan, SockDiagError> {
    let (used, known) = (new.inodes(), former.inodes());
    let fate = |held: &Held| if used.contains(&held.inode()) { Fate::Stays } else { Fate::Leaves };
    let held: Vec<(BorrowedFd<'_>, Fate)> =
        former.all().iter().map(|held| (held.descriptor(), fate(held))).collect();
    let fresh: Vec<BorrowedFd<'_>> = fresh(new, &known).map(Held::descriptor).collect();
    let outcomes = steering::groups(&held, &fresh, SocketOrder::KnownBehind(former.shuffled()))?;
    Ok(MovePlan::of(outcomes, strategy, new.crowded()))
}

/// What could not be handed over is moved as well as can be had; a strategy that was asked for is done or is not.
fn cannot(strategy: Strategy, error: &SockDiagError) -> Result<(), Failure> {
    if strategy.hands_over() {
        tell(&CutoverNotice::NotMoved { error: error.to_string() });
        return Ok(());
    }
    Err(Unavailable::of(strategy, error).into())
}
