//! Where a connection comes from: addresses in turn, and for each its ports in order.
//!
//! With an address bound and no port, the kernel would look for a port that is free for *every* destination and
//! run out early. A port chosen here with `SO_REUSEADDR` only has to be free for this destination.

use std::net::{IpAddr, SocketAddr};

/// The ports that the walk uses.
pub(super) const PORTS: std::ops::Range<u16> = 10_000..64_000;

/// How many ports a connection may try before it gives up.
const PORTS_TO_TRY: usize = 8;

/// The walks of each family.
#[derive(Debug)]
pub(super) struct Sources {
    v4: Family,
    v6: Family,
}

/// Each address with the port that its walk has come to, and which one is next.
#[derive(Debug, Default)]
struct Family {
    walks: Vec<(IpAddr, u16)>,
    turn: usize,
}

impl Sources {
    /// Each walk begins somewhere else, so that two generators on one host seldom meet.
    pub(super) fn new(addresses: &[IpAddr]) -> Self {
        let walks = addresses.iter().map(|address| (*address, fastrand::u16(PORTS)));
        let (v4, v6) = walks.partition(|(address, _)| address.is_ipv4());
        Self { v4: Family { walks: v4, turn: 0 }, v6: Family { walks: v6, turn: 0 } }
    }

    /// Candidates for the next connection to `target`: one address, some ports. None: the kernel shall choose.
    pub(super) fn next(&mut self, target: SocketAddr) -> Vec<SocketAddr> {
        let family = if target.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        family.turn += 1;
        let index = family.turn % family.walks.len().max(1);
        let Some((address, port)) = family.walks.get_mut(index) else { return Vec::new() };
        *port = after(*port);
        // Should the port of the walk be taken, the next ones most likely are as well: try some at random.
        std::iter::once(*port)
            .chain(std::iter::repeat_with(|| fastrand::u16(PORTS)))
            .take(PORTS_TO_TRY)
            .map(|port| SocketAddr::new(*address, port))
            .collect()
    }
}

fn after(port: u16) -> u16 {
    if port + 1 < PORTS.end { port + 1 } else { PORTS.start }
}
