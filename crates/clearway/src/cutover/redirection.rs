//! The strategy `tableflip`: generations listen on private ports, as a copy of the configuration says, and the kernel
//! sends new clients to one of them ([`clearway_kernel::flip`]).
//!
//! ```text
//!   prepare   private ports are reserved, a copy with them is made, the ports are closed to strangers
//!   launch    HAProxy reads the copy
//!   proof     which of them it has really bound (a line may stand in an `.if` block)
//!   switch    new clients are sent to those, in one transaction; who waits in the former ones is waited for
//!   drain     of the generation that clients are sent to (a stop): they are sent nowhere first
//!   takeover  the newer table comes first; what this one says counts again if the newcomer dies young
//!   leave     the table goes, after the last generation: what conntrack translates would end with it
//! ```
//!
//! A start after a crash has the same private ports, whose sockets are in custody, and nothing is flipped.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clearway_core::failure::Failure;
use clearway_core::names::{Generation, InstanceName};
use clearway_core::strategy::Strategy;
use clearway_haproxy::configuration::{Configuration, SourceFile, Span, V6};
use clearway_haproxy::derived::{self, Derived};
use clearway_kernel::flip::{self, Flip, Way};
use clearway_kernel::listeners::{Reserved, is_local, reserve};
use clearway_kernel::nft::TableName;
use tracing::{error, info, warn};

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::switch::Cancel;
use crate::ground::failure::{self, Unavailable};
use crate::tell::said::{Said, Subject};

/// How many ports are thrown back because they are somebody's public ones, until none is looked for any more.
const TRIES: usize = 64;

/// The table that all generations share.
pub type SharedFlip = Arc<Mutex<Flip>>;

/// Where clients are sent.
#[derive(Debug, Default)]
pub struct Redirection {
    flip: Option<SharedFlip>,
    /// The ways that are in use, and whose they are.
    current: Vec<Way>,
    of: Option<Generation>,
    /// Another Clearway has the clients: its table comes first.
    is_relieved: bool,
    /// The tables that others had when the sockets were handed over: of former ones that still drain.
    elders: HashSet<TableName>,
    /// What was said of lines that stay as they are: not at every reload.
    said: Said,
}

/// What one generation is started from.
#[derive(Debug)]
pub struct Private {
    /// The copy.
    pub configuration: Arc<Configuration>,
    /// Where its clients are to be sent: after its proof only what it has bound.
    pub ways: Vec<Way>,
    reserved: Vec<Reserved>,
}

impl Private {
    /// What HAProxy has bound is known: nothing has to be kept free for it any more, and nobody is sent elsewhere.
    pub fn bound(&mut self, sockets: &Sockets) {
        self.reserved.clear();
        let bound: BTreeSet<SocketAddr> = sockets.all().iter().filter_map(Held::address).collect();
        self.ways.retain(|way| {
            let private = at(way);
            // A socket for both families is bound to the IPv6 one.
            let both = SocketAddr::new(IpAddr::from([0_u16; 8]), way.private);
            bound.contains(&private) || private.ip() == Ipv4Addr::UNSPECIFIED && bound.contains(&both)
        });
    }
}

/// A copy with private ports, and which lines keep their addresses.
struct Copy {
    private: Private,
    left: Vec<String>,
}

/// The copy for a generation that is only tried, beside the one that serves: nothing leads to its ports.
pub fn copy_beside(configuration: &Configuration) -> Result<Private, Failure> {
    copy(configuration, &HashMap::new()).map(|copy| copy.private)
}

fn copy(configuration: &Configuration, known: &HashMap<SocketAddr, u16>) -> Result<Copy, Failure> {
    let publics: BTreeSet<u16> = configuration.tcp_addresses().map(|(_, public)| public.port()).collect();
    let kept = kept_ports(configuration)?;
    let mut reserved = Vec::new();
    let derived = derived::derive(configuration, &mut |public| {
        if let Some(port) = known.get(&public) {
            return Some(*port);
        }
        if public.ip().is_unspecified() && kept.contains(&public.port()) {
            return None;
        }
        let free = is_local(public.ip()).then(|| find(public.ip(), &publics)).flatten()?;
        let port = free.port();
        reserved.push(free);
        Some(port)
    })
    .map_err(|error| failure::copy(&error))?;
    let left = derived.left.iter();
    let left = left
        .map(|left| format!("{} keeps its address and is handed over: {}", left.span, left.why))
        .collect();
    let ways = ways(&derived);
    let files = configuration.files.iter().zip(derived.files).map(|(file, bytes)| SourceFile {
        name: file.name.clone(),
        path: file.path.clone(),
        bytes,
    });
    let lookup = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let configuration = Arc::new(Configuration::scan(files.collect(), &lookup));
    Ok(Copy { private: Private { configuration, ways, reserved }, left })
}

impl Redirection {
    /// Makes the copy for a generation. `serves`: whether another one does, beside which it is to listen; if not, it gets
    /// the ports whose sockets are in custody.
    pub fn prepare(
        &mut self,
        instance: Option<&InstanceName>,
        configuration: &Configuration,
        serves: bool,
    ) -> Result<Private, Failure> {
        let known: HashMap<SocketAddr, u16> = if serves {
            HashMap::new()
        } else {
            self.current.iter().map(|way| (way.public, way.private)).collect()
        };
        let Copy { private, left } = copy(configuration, &known)?;
        self.said.found(Subject::LeftPublic, left);
        self.table(instance)?;
        self.with_table(|flip| flip.prepare(&private.ways)).map_err(|error| failed(&error))?;
        Ok(private)
    }

    /// Makes the table, empty, unless it is there.
    fn table(&mut self, instance: Option<&InstanceName>) -> Result<(), Failure> {
        if self.flip.is_none() {
            let flip = Flip::install(instance, &[]).map_err(|error| failed(&error))?;
            info!("new clients are sent to private ports: table inet {}; conntrack is on", flip.name());
            self.flip = Some(Arc::new(Mutex::new(flip)));
        }
        Ok(())
    }

    fn with_table(
        &self,
        work: impl FnOnce(&mut Flip) -> Result<(), flip::FlipError>,
    ) -> Result<(), flip::FlipError> {
        self.flip.as_ref().map_or(Ok(()), |flip| work(&mut lock(flip)))
    }

    /// What a switch to these ways needs, if there is a table.
    pub fn turn_to(&self, ways: &[Way]) -> Option<Turn> {
        let flip = Arc::clone(self.flip.as_ref()?);
        let publics = ways.iter().map(|way| way.public).collect();
        let formers = self.current.iter().map(|way| (at(way), way.public)).collect();
        Some(Turn { flip, to: ways.to_vec(), from: self.current.clone(), publics, formers })
    }

    /// The generation serves: clients are sent to it, unless they are already.
    pub fn commit(&mut self, generation: Generation, ways: &[Way], turned: Turned) {
        if self.flip.is_none() {
            return;
        }
        let is_due = turned == Turned::NotYet && self.current != ways;
        if is_due && let Err(error) = self.with_table(|flip| flip.flip(ways)) {
            error!(
                "clients are not sent to generation {generation}, and are refused: {error} (`clearway reload` tries again)"
            );
        }
        self.current = ways.to_vec();
        self.of = Some(generation);
    }

    /// Whether these lead elsewhere than the ways that are in use.
    pub fn leaves(&self, ways: &[Way]) -> bool {
        let current: HashMap<SocketAddr, u16> =
            self.current.iter().map(|way| (way.public, way.private)).collect();
        ways.iter().any(|one| current.get(&one.public).is_some_and(|private| *private != one.private))
    }

    /// The generation is about to close its sockets. Unless another one has its clients, they are sent nowhere: refused,
    /// or served by whoever listens at the public port.
    pub fn drain(&mut self, generation: Generation) {
        // If the other one dies young, its table is gone, and these are the ports at which clients wait for ours.
        if self.of == Some(generation) && !self.is_relieved {
            self.send_nowhere();
        }
    }

    /// Another Clearway gets the sockets, and makes its table, if it has one, from now on.
    pub fn hand_over(&mut self) {
        self.elders = self.siblings();
    }

    /// It serves. If it has a table, new clients are its own as long as that is there.
    pub fn relieve(&mut self) {
        let elders = std::mem::take(&mut self.elders);
        self.is_relieved = self.siblings().difference(&elders).next().is_some();
    }

    fn siblings(&self) -> HashSet<TableName> {
        let found = self.flip.as_ref().map(|flip| lock(flip).siblings()).transpose();
        let found = found.inspect_err(|error| warn!("looking for the tables of other Clearways: {error}"));
        found.ok().flatten().unwrap_or_default()
    }

    /// It has come to nothing: new clients wait for the next generation.
    pub fn take_back(&mut self) {
        self.is_relieved = false;
    }

    /// The sockets are about to be let go, or the predecessor serves again: nobody is sent anywhere any more.
    pub fn release(&mut self) {
        self.is_relieved = false;
        if !self.current.is_empty() {
            self.send_nowhere();
        }
    }

    fn send_nowhere(&mut self) {
        self.of = None;
        self.current.clear();
        if let Err(error) = self.with_table(|flip| flip.flip(&[])) {
            error!("new clients are still sent to private ports that are about to be closed: {error}");
        }
    }

    /// Takes the table out of the kernel.
    pub fn remove(&mut self) -> Result<(), flip::FlipError> {
        let Some(flip) = self.flip.take() else { return Ok(()) };
        lock(&flip).remove()
    }

    /// For what clients call which private address stands, for people: of what is in use, and of these.
    pub fn names(&self, more: &[Way]) -> HashMap<SocketAddr, SocketAddr> {
        self.current.iter().chain(more).map(|way| (at(way), way.public)).collect()
    }

    /// The ways in use, for the status.
    pub fn describe(&self) -> Vec<String> {
        self.current.iter().map(|way| format!("{} to port {}", way.public, way.private)).collect()
    }
}

/// Whether the switch has sent clients to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It has.
    Already,
    /// There was none, or it was not waited for.
    NotYet,
}

/// From some ways to others, for the thread that switches.
#[derive(Clone, Debug)]
pub struct Turn {
    flip: SharedFlip,
    /// Where clients are to be sent.
    pub to: Vec<Way>,
    from: Vec<Way>,
    /// The public addresses of `to`.
    publics: HashSet<SocketAddr>,
    /// Which private address stood for which public one.
    formers: HashMap<SocketAddr, SocketAddr>,
}

impl Turn {
    /// Sends new clients the new ways, unless nobody wants that any more; says whether it did.
    pub fn make(&self, cancel: &Cancel) -> Result<bool, Failure> {
        let mut flip = lock(&self.flip);
        if cancel.is_set() {
            return Ok(false);
        }
        flip.flip(&self.to).map(|()| true).map_err(|error| failed(&error))
    }

    /// As before, if they are sent the new ways.
    pub fn undo(&self) {
        let mut flip = lock(&self.flip);
        if flip.ways().iter().eq(self.from.iter().collect::<BTreeSet<_>>()) {
            return;
        }
        if let Err(error) = flip.flip(&self.from) {
            error!(
                "new clients are sent to a generation that failed, and are refused: {error} \
                 (`clearway reload` sends them elsewhere)"
            );
        }
    }

    /// Whether the clients of a socket are sent elsewhere from now on. In a takeover nobody knows which of the former
    /// sockets are at private ports, to which the predecessor's table leads again if this generation comes to nothing.
    pub fn leads_away_from(&self, leaving: SocketAddr) -> bool {
        self.from.is_empty() || self.public_of(leaving).is_some()
    }

    /// The public address of a socket whose clients are sent elsewhere from now on, if it is one.
    pub fn public_of(&self, leaving: SocketAddr) -> Option<SocketAddr> {
        let public = self.formers.get(&leaving).copied().unwrap_or(leaving);
        self.publics.contains(&public).then_some(public)
    }
}

/// Where HAProxy listens.
fn at(way: &Way) -> SocketAddr {
    SocketAddr::new(way.public.ip(), way.private)
}

fn lock(flip: &SharedFlip) -> MutexGuard<'_, Flip> {
    flip.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: &flip::FlipError) -> Failure {
    Unavailable::of(Strategy::TableFlip, error).into()
}

/// The ports of lines that keep their addresses, whatever ports there are: a way from every address would take the
/// clients of theirs.
fn kept_ports(configuration: &Configuration) -> Result<BTreeSet<u16>, Failure> {
    let derived = derived::derive(configuration, &mut |public| Some(public.port()))
        .map_err(|error| failure::copy(&error))?;
    let kept: HashSet<&Span> = derived.left.iter().map(|left| &left.span).collect();
    let addresses = configuration.tcp_addresses().filter(|(bind, _)| kept.contains(&bind.span));
    Ok(addresses.map(|(_, address)| address.port()).collect())
}

/// A free port that nobody calls in public.
fn find(address: IpAddr, publics: &BTreeSet<u16>) -> Option<Reserved> {
    // Held meanwhile, so that the kernel gives another one.
    let mut thrown_back = Vec::new();
    for _ in 0..TRIES {
        let reserved = reserve(address).ok()?;
        if !publics.contains(&reserved.port()) {
            return Some(reserved);
        }
        thrown_back.push(reserved);
    }
    None
}

/// The ways to what was moved. A socket that takes both families has one for each, unless another socket has the other.
fn ways(derived: &Derived) -> Vec<Way> {
    let mut ways: BTreeSet<Way> =
        derived.moved.iter().map(|moved| Way { public: moved.public, private: moved.private }).collect();
    let of_v4: BTreeSet<u16> =
        ways.iter().filter(|way| way.public.is_ipv4()).map(|way| way.public.port()).collect();
    for moved in &derived.moved {
        let takes_both = moved.v6 == V6::Both || moved.v6 == V6::Unsaid && !bind_v6_only();
        let any = moved.public.is_ipv6() && moved.public.ip().is_unspecified();
        if any && takes_both && !of_v4.contains(&moved.public.port()) {
            let public = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), moved.public.port());
            ways.insert(Way { public, private: moved.private });
        }
    }
    ways.into_iter().collect()
}

/// Whether an IPv6 socket that says nothing about IPv4 leaves it out (`net.ipv6.bindv6only`); hardly anybody sets it.
fn bind_v6_only() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|text| text.trim() == "1")
}

/// Whether there can be a copy that means the same.
pub fn can_be_copied(configuration: &Configuration) -> Result<(), Failure> {
    kept_ports(configuration).map(drop)
}

/// What is wrong with the strategy here, before anything is touched.
pub fn probe() -> Result<(), Unavailable> {
    Flip::probe().map_err(|error| Unavailable::of(Strategy::TableFlip, &error))
}

impl Drop for Redirection {
    fn drop(&mut self) {
        // An owner table goes with its socket anyhow.
        let _ = self.remove();
    }
}
