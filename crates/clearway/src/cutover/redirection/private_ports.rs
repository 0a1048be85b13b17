//! The private ports of one generation, and the copy of the configuration that names them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clearway_core::failure::Failure;
use clearway_haproxy::configuration::{Configuration, SourceFile, Span, V6};
use clearway_haproxy::derived::{self, Derived};
use clearway_kernel::flip::Way;
use clearway_kernel::listeners::{Reserved, is_local, reserve};

use crate::ground::failure;

/// How many ports are thrown back because they are public ones of the configuration, until none is looked for any more.
const TRIES: usize = 64;

/// The private ports of one generation.
#[derive(Debug)]
pub struct GenerationPorts {
    /// Where its clients are to be sent: after its proof only what it has bound.
    pub ways: Vec<Way>,
    /// Kept free until it has bound them.
    pub reserved: Vec<Reserved>,
}

/// A copy of the configuration with private ports.
pub struct PrivateCopy {
    /// The copy.
    pub configuration: Arc<Configuration>,
    /// Its ports.
    pub ports: GenerationPorts,
    /// The lines that keep their addresses, for people.
    pub left: Vec<String>,
}

/// Makes the copy. `known`: the private port that an address has already.
pub fn copy(configuration: &Configuration, known: &HashMap<SocketAddr, u16>) -> Result<PrivateCopy, Failure> {
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
    Ok(PrivateCopy { configuration, ports: GenerationPorts { ways, reserved }, left })
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

/// A free port that is no public one.
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

/// Whether an IPv6 socket that says nothing about IPv4 leaves it out (`net.ipv6.bindv6only`); hardly ever set.
fn bind_v6_only() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|text| text.trim() == "1")
}

/// Whether there can be a copy that means the same.
pub fn can_be_copied(configuration: &Configuration) -> Result<(), Failure> {
    kept_ports(configuration).map(drop)
}
