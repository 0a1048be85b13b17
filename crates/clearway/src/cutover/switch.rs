//! The switch: how the clients of sockets that were not handed over come to the new generation, so that none is lost when the
//! old sockets are closed. When it begins and ends is decided in [`clearway_core::cutover`].
//!
//! ```text
//!   core              room, in the loop               this thread                    HAProxy, old
//!    |                 Proved(new), settled
//!    |- Switch(new) --> Move ------------------------>  send new clients elsewhere     accepts those that wait
//!    |                                                 wait: no handshake under way,
//!    |                                                 no client in a queue
//!    |<---- Switched ---------------------------------- close it exactly
//!    |- Commit(new) -----------> our duplicates are closed
//!    |- Drain(old) ----------------------------------------------------------------> closes its own
//!    |                 EndSteering, when the last copy of the old sockets is closed
//!    |- Abandon(new), instead -> TakeBack, and EndSteering when the new sockets are gone
//! ```
//!
//! How they are sent elsewhere is up to the strategy, and to the socket ([`plan`]): by steering within the kernel's
//! group ([`clearway_kernel::steering`] has the rules), by a gate that stops SYNs until the old sockets are closed
//! ([`clearway_kernel::gate`]), or by a seal, which makes one socket deaf to SYNs. No thread keeps a socket open: each
//! looks them up in custody when it needs one, so that a stop is a stop. A gate opens with its owner.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Instant;

use clearway_core::cutover::{Done, Whose};
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::{Generation, InstanceName};
use clearway_core::strategy::{Moved, Strategy};
use clearway_core::supervisor::{Event, SWITCHING};
use clearway_kernel::queues::Listener;
use clearway_kernel::steering::{self, ReuseportGroup};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::counted::GateCounts;
use crate::cutover::notices::CutoverNotice;
use crate::cutover::redirection::WayChange;
use crate::cutover::steer::{Steering, through};
use crate::ground::aside;
use crate::ground::notice;
use crate::tell::cost::GateReports;
use cancel::Cancel;
use gate::SwitchGate;

pub mod cancel;
mod divert;
mod gate;
mod plan;

/// How it is to be done.
#[derive(Debug)]
pub struct Manners {
    /// What the settings say.
    pub strategy: Strategy,
    /// The name that a gate carries.
    pub instance: Option<InstanceName>,
    /// Ports that a gate is closed for although no socket of them is known (`HAPROXY_PORTS`).
    pub ports: Vec<u16>,
    /// Where it counts what has waited or was dropped.
    pub counts: Arc<GateCounts>,
    /// From which private ports to which, if the generation has some.
    pub ways: Option<WayChange>,
    /// What hears how long a gate was closed.
    pub reports: GateReports,
    /// What is held.
    pub former: Weak<Sockets>,
    /// What the generation has proved to use.
    pub new: Weak<Sockets>,
}

/// What was done for a generation that has not been committed yet.
#[derive(Debug)]
pub struct Switch {
    /// For which.
    pub generation: Generation,
    groups: Vec<ReuseportGroup>,
    sealed: Vec<Listener>,
    /// Those that leave and that new clients are not led away from.
    alone: Vec<Listener>,
    gate: Option<SwitchGate>,
    reports: GateReports,
    /// Set when clients are redirected to its private ports.
    redirected: Option<WayChange>,
    former: Weak<Sockets>,
    new: Weak<Sockets>,
    /// What is to be reported.
    moved: Vec<Moved>,
    failed: Option<Failure>,
    cancel: Cancel,
}

/// Begins. `tell` hears, on a thread, what comes of it.
pub fn begin(
    generation: Generation,
    mut manners: Manners,
    tell: impl FnOnce(Switch) + Send + 'static,
) -> Result<Cancel, Event> {
    let cancel = Cancel::default();
    let strategy = manners.strategy;
    let its = cancel.clone();
    let begun = aside::spawn("moving clients to the new generation", move || {
        let mut switch = Switch {
            generation,
            groups: Vec::new(),
            sealed: Vec::new(),
            alone: Vec::new(),
            gate: None,
            reports: manners.reports.clone(),
            redirected: None,
            former: manners.former.clone(),
            new: manners.new.clone(),
            moved: Vec::new(),
            failed: None,
            cancel: its,
        };
        let until = Instant::now() + SWITCHING;
        switch.failed = switch.divert_and_wait(&mut manners, until).err();
        if switch.failed.is_some() {
            switch.bring_back(manners.ways.as_ref(), until);
        }
        tell(switch);
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
    /// What the supervisor is told, once.
    pub fn event(&mut self) -> Event {
        let generation = self.generation;
        match self.failed.take() {
            Some(failure) => Event::Failed { generation, failure },
            None => Event::Switched { generation, moved: std::mem::take(&mut self.moved) },
        }
    }

    /// What has been done, for the core.
    pub fn done(&self) -> Done {
        Done {
            gate: self.gate.is_some(),
            steers: !self.groups.is_empty(),
            leaves_listeners: !self.alone.is_empty(),
        }
    }

    /// The sockets that leave and would go on getting clients as long as they are open, with the set that they are of.
    pub fn left_open(&self) -> Option<(Arc<Sockets>, Vec<Listener>)> {
        Some((self.former.upgrade()?, self.alone.clone()))
    }

    /// Everything as before, but where new clients are redirected. `steers`: unless a later switch steers.
    pub fn take_back(&mut self, steers: bool) {
        self.open_gate();
        if let Some(former) = self.former.upgrade() {
            for held in self.sealed.iter().filter_map(|one| former.socket(one.inode)) {
                if let Err(error) = steering::unseal(held.descriptor()) {
                    notice::tell(&CutoverNotice::SteeringFailed { error: error.to_string() });
                }
            }
        }
        if steers {
            self.at_each(ReuseportGroup::revert, None);
        }
    }

    /// Lets SYNs go on, if they were stopped.
    pub fn open_gate(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.open(self.generation, self.reports.clone());
        }
    }

    /// The sockets (by inode) that new clients are led away from.
    pub fn watched(&self, whose: Whose) -> HashSet<u64> {
        match whose {
            Whose::Former => {
                let steered = self.groups.iter().flat_map(ReuseportGroup::leaving);
                let gated = self.gate.iter().flat_map(|gate| &gate.listeners);
                steered.chain(gated).map(|listener| listener.inode).collect()
            }
            Whose::New => {
                let inodes = |set: &Weak<Sockets>| set.upgrade().map(|set| set.inodes()).unwrap_or_default();
                &inodes(&self.new) - &inodes(&self.former)
            }
        }
    }

    /// They are closed: the kernel may share out again. `held`: what is in custody now.
    pub fn end_steering(&mut self, held: &Sockets) {
        self.at_each(ReuseportGroup::release, Some(held));
    }

    /// Does something to each group, by way of one of its sockets that we hold.
    fn at_each(&mut self, what: Steering, held: Option<&Sockets>) {
        let sets = [self.former.upgrade(), self.new.upgrade()];
        let sets: Vec<&Sockets> = sets.iter().flatten().map(|set| &**set).chain(held).collect();
        self.groups.retain(|group| through(group, &sets, what));
    }
}

/// The sockets that were not there before.
fn fresh<'a>(new: &'a Sockets, known: &HashSet<u64>) -> impl Iterator<Item = &'a Held> {
    new.all().iter().filter(|held| !known.contains(&held.inode()))
}
