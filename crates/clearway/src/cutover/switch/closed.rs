//! A gate that is closed for sockets which are about to be closed themselves, until they are.

use std::collections::HashSet;
use std::time::Duration;

use clearway_core::strategy::{Means, Strategy};
use clearway_kernel::gate::{self, BoundAddress, Gate, Manner};
use clearway_kernel::queues::Listener;
use tracing::{debug, info, warn};

use crate::cutover::switch::{Manners, all_closed};
use crate::ground::{aside, steps};

/// How long the former generation may take to close its sockets, while clients wait.
const CLOSING: Duration = Duration::from_secs(2);

/// The gate, and for whom it is closed. Dropping it opens it.
#[derive(Debug)]
pub struct Closed {
    gate: Gate,
    manner: Manner,
    /// The sockets that SYNs do not come to.
    pub listeners: Vec<Listener>,
    /// The ports that were named besides.
    ports: Vec<u16>,
}

impl Closed {
    /// Closes it as the strategy says; for `auto` as can be had.
    pub fn close(manners: &Manners, listeners: Vec<Listener>) -> Result<Self, gate::GateError> {
        let at = |listener: &Listener| BoundAddress { address: listener.address, v6only: listener.v6only };
        let addresses: Vec<BoundAddress> = listeners.iter().map(at).collect();
        let close = |manner| {
            Gate::close(manners.instance.as_ref(), manner, &addresses, &manners.ports)
                .map(|gate| (gate, manner))
        };
        let closed = match manners.strategy {
            Strategy::SynDrop => close(Manner::Drop),
            Strategy::Auto => close(Manner::Hold).or_else(|error| {
                debug!("{error}");
                close(Manner::Drop)
            }),
            _ => close(Manner::Hold),
        };
        closed.map(|(gate, manner)| Self { gate, manner, listeners, ports: manners.ports.clone() })
    }

    /// What it is to the clients.
    pub fn means(&self) -> Means {
        match self.manner {
            Manner::Drop => Means::SynDrop,
            Manner::Hold => Means::Plug,
        }
    }

    /// Opens when none of the sockets behind it listens any more, or when that takes too long. On a thread.
    pub fn open_without_the_old(self) {
        aside::spawn("letting clients go on", move || {
            let old: HashSet<u64> = self.listeners.iter().map(|listener| listener.inode).collect();
            if !all_closed(&old, CLOSING, &|| true) {
                warn!(
                    "the former generation does not close its sockets: clients that connect now may be reset"
                );
            }
            self.open();
        });
    }

    /// Opens now: everything as before. On a thread.
    pub fn undo(self) {
        aside::spawn("letting clients go on", move || self.open());
    }

    /// Lets everybody go on, and says what it was for.
    fn open(self) {
        steps::at("opens", &"Gate");
        let mut addresses: Vec<String> = self.listeners.iter().map(|one| one.address.to_string()).collect();
        addresses.sort();
        addresses.dedup();
        addresses.extend(self.ports.iter().map(|port| format!("port {port}")));
        let addresses = addresses.join(", ");
        match self.gate.open() {
            Ok(opened) => {
                let ms = opened.closed_for.as_millis();
                match self.manner {
                    Manner::Drop => info!("SYNs to {addresses} were dropped for {ms} ms"),
                    Manner::Hold => {
                        info!("SYNs to {addresses} were held for {ms} ms: {} waited", opened.held);
                    }
                }
                if opened.lapsed {
                    warn!(
                        "meanwhile some may have come through, and be reset: this machine was too slow for them"
                    );
                }
            }
            Err(error) => warn!("{error}"),
        }
    }
}
