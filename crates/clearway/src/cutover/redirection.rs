//! The strategy `tableflip`: generations listen on private ports, as a copy of the configuration says, and the kernel
//! redirects new clients to one of them ([`clearway_kernel::flip`]). To which, the core says ([`clearway_core::cutover`]).
//!
//! ```text
//!   prepare   private ports are reserved, a copy with them is made, the ports are closed to strangers
//!   launch    HAProxy reads the copy
//!   proof     which of them it has really bound (a line may stand in an `.if` block)
//!   switch    new clients are sent to those, in one transaction; those that wait in the former ones are waited for
//!   drain     of the generation that clients are sent to (a stop): they are sent nowhere first
//!   takeover  the newer table comes first, or clients are sent nowhere if the newcomer has none; what this one says counts
//!             again if the newcomer dies young
//!   leave     the table goes, after the last generation: what conntrack translates would end with it
//! ```
//!
//! A start after a crash has the same private ports, whose sockets are in custody, and nothing is flipped.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use clearway_core::cutover::{ListensAt, Redirect};
use clearway_core::failure::Failure;
use clearway_core::names::{Generation, InstanceName};
use clearway_core::strategy::Strategy;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::flip::{Flip, FlipError, Way};
use clearway_kernel::nft::TableName;

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::notices::CutoverNotice;
use crate::ground::failure::Unavailable;
use crate::ground::notice::tell;
use crate::tell::said::{Said, Subject};
use private_ports::{GenerationPorts, PrivateCopy};
use table::{SharedFlip, failed, lock, private_address};

mod private_ports;
mod table;
mod way_change;

pub use private_ports::can_be_copied;
pub use way_change::WayChange;

/// Where new clients are redirected.
#[derive(Debug, Default)]
pub struct Redirection {
    flip: Option<SharedFlip>,
    /// The ways to the generation that was committed last.
    current: Vec<Way>,
    /// No client is to be sent these ways: nothing listens there any more, or another Clearway has the clients.
    suspended: bool,
    /// The private ports of generations that have not been committed.
    ports: BTreeMap<Generation, GenerationPorts>,
    /// The tables that others had when the sockets were handed over: of former ones that still drain.
    elders: HashSet<TableName>,
    /// Whether ours was there then: one that was made later comes before a successor's.
    is_elder: bool,
    /// What was said of lines that stay as they are: not at every reload.
    said: Said,
}

impl Redirection {
    /// Makes the copy for a generation. `serves`: whether another one does, beside which it is to listen; if not, it gets
    /// the ports whose sockets are in custody.
    pub fn prepare(
        &mut self,
        generation: Generation,
        instance: Option<&InstanceName>,
        configuration: &Configuration,
        serves: bool,
    ) -> Result<Arc<Configuration>, Failure> {
        let known: HashMap<SocketAddr, u16> = if serves {
            HashMap::new()
        } else {
            self.current.iter().map(|way| (way.public, way.private)).collect()
        };
        let PrivateCopy { configuration, ports, left } = private_ports::copy(configuration, &known)?;
        self.said.found(Subject::LeftPublic, left);
        let flip = self.table(instance)?;
        lock(&flip).prepare(&ports.ways).map_err(|error| failed(&error))?;
        self.ports.insert(generation, ports);
        Ok(configuration)
    }

    /// The copy for a generation that is only tried, beside the one that serves: nothing leads to its ports.
    pub fn copy_beside(
        &mut self,
        generation: Generation,
        configuration: &Configuration,
    ) -> Result<Arc<Configuration>, Failure> {
        let PrivateCopy { configuration, ports, .. } = private_ports::copy(configuration, &HashMap::new())?;
        self.ports.insert(generation, ports);
        Ok(configuration)
    }

    /// The table, empty if it was not there.
    fn table(&mut self, instance: Option<&InstanceName>) -> Result<SharedFlip, Failure> {
        if let Some(flip) = &self.flip {
            return Ok(Arc::clone(flip));
        }
        let flip = Flip::install(instance, &[]).map_err(|error| failed(&error))?;
        tell(&CutoverNotice::Installed { table: flip.name().to_string() });
        Ok(Arc::clone(self.flip.insert(Arc::new(Mutex::new(flip)))))
    }

    /// What HAProxy has bound is known: nothing has to be kept free for it any more, and no client is sent elsewhere.
    pub fn bound(&mut self, generation: Generation, sockets: &Sockets) {
        let Some(ports) = self.ports.get_mut(&generation) else { return };
        ports.reserved.clear();
        let bound: BTreeSet<SocketAddr> = sockets.all().iter().filter_map(Held::address).collect();
        ports.ways.retain(|way| {
            let private = private_address(way);
            // A socket for both families is bound to the IPv6 one.
            let both = SocketAddr::new(IpAddr::from([0_u16; 8]), way.private);
            bound.contains(&private) || private.ip() == Ipv4Addr::UNSPECIFIED && bound.contains(&both)
        });
    }

    /// Where a generation listens that has not been committed.
    pub fn listens(&self, generation: Generation) -> ListensAt {
        if self.flip.is_some() && self.ports.contains_key(&generation) {
            ListensAt::PrivatePorts
        } else {
            ListensAt::PublicPorts
        }
    }

    /// What a switch to a generation needs, if that has private ports.
    pub fn change_to(&self, generation: Generation) -> Option<WayChange> {
        let (flip, ports) = (self.flip.as_ref()?, self.ports.get(&generation)?);
        Some(WayChange::between(Arc::clone(flip), self.in_use(), &ports.ways))
    }

    /// Redirects new clients, unless they are redirected so already.
    pub fn redirect(&mut self, to: Redirect) {
        match to {
            Redirect::To(generation) => {
                let Some(ports) = self.ports.remove(&generation) else { return };
                self.current = ports.ways;
            }
            Redirect::Nowhere | Redirect::Back(_) => {}
        }
        self.suspended = matches!(to, Redirect::Nowhere | Redirect::Back(None));
        let Some(Err(error)) = self.flip.as_ref().map(|flip| table::ensure(&mut lock(flip), self.in_use()))
        else {
            return;
        };
        tell(&match to {
            Redirect::To(generation) => {
                let hints = vec!["`clearway reload` tries again".to_owned()];
                CutoverNotice::NotRedirected { generation, error: error.to_string(), hints }
            }
            Redirect::Back(_) => table::not_redirected_back(&error),
            Redirect::Nowhere => CutoverNotice::StillRedirected { error: error.to_string() },
        });
    }

    /// The ways that new clients are to be sent.
    fn in_use(&self) -> &[Way] {
        if self.suspended { &[] } else { &self.current }
    }

    /// A generation will not be committed, or has ended.
    pub fn forget(&mut self, generation: Generation) {
        self.ports.remove(&generation);
    }

    /// Whether clients wait at other private ports than those of this generation.
    pub fn leads_elsewhere(&self, generation: Generation) -> bool {
        let Some(ports) = self.ports.get(&generation) else { return false };
        let current: HashMap<SocketAddr, u16> =
            self.current.iter().map(|way| (way.public, way.private)).collect();
        ports.ways.iter().any(|one| current.get(&one.public).is_some_and(|private| *private != one.private))
    }

    /// Another Clearway gets the sockets, and makes its table, if it has one, from now on.
    pub fn hand_over(&mut self) {
        self.elders = self.siblings();
        self.is_elder = self.flip.is_some();
    }

    /// It serves. Whether it has a table that comes before ours: then new clients are its own as long as that is there.
    pub fn is_another_ones(&mut self) -> bool {
        let elders = std::mem::take(&mut self.elders);
        self.is_elder && self.siblings().difference(&elders).next().is_some()
    }

    fn siblings(&self) -> HashSet<TableName> {
        match self.flip.as_ref().map(|flip| lock(flip).siblings()) {
            Some(Err(error)) => {
                tell(&CutoverNotice::TablesUnknown { error: error.to_string() });
                HashSet::new()
            }
            siblings => siblings.and_then(Result::ok).unwrap_or_default(),
        }
    }

    /// Takes the table out of the kernel.
    pub fn remove(&mut self) -> Result<(), FlipError> {
        let Some(flip) = self.flip.take() else { return Ok(()) };
        lock(&flip).remove()
    }

    /// The public address for each private one, for people: of what is in use, and of this generation.
    pub fn publics(&self, generation: Generation) -> HashMap<SocketAddr, SocketAddr> {
        let its = self.ports.get(&generation).map_or(&[][..], |ports| &ports.ways);
        self.current.iter().chain(its).map(|way| (private_address(way), way.public)).collect()
    }

    /// The ways in use, for the status.
    pub fn describe(&self) -> Vec<String> {
        self.in_use().iter().map(|way| format!("{} to port {}", way.public, way.private)).collect()
    }
}

impl Drop for Redirection {
    fn drop(&mut self) {
        // An owner table goes with its socket anyhow.
        let _ = self.remove();
    }
}

/// What is wrong with the strategy here, before anything is touched.
pub fn probe() -> Result<(), Unavailable> {
    Flip::probe().map_err(|error| Unavailable::of(Strategy::TableFlip, &error))
}
