//! A gate that is closed for sockets which are about to be closed themselves, until they are.

use std::sync::Arc;

use clearway_core::cost::CostGate;
use clearway_core::names::{Generation, InstanceName};
use clearway_core::strategy::{Means, Strategy};
use clearway_kernel::gate::{BoundAddress, Gate, GateError, Manner};
use clearway_kernel::queues::Listener;

use crate::cutover::counted::GateCounts;
use crate::cutover::notices::CutoverNotice;
use crate::debug;
use crate::ground::notice::tell;
use crate::ground::{aside, steps};
use crate::tell::cost::GateReports;

/// The gate, and the sockets that it is closed for. Dropping it opens it.
#[derive(Debug)]
pub struct SwitchGate {
    gate: Gate,
    manner: Manner,
    /// The sockets that SYNs do not come to.
    pub listeners: Vec<Listener>,
    /// The ports that were named besides.
    ports: Vec<u16>,
    /// Where what has waited, or was dropped, is counted.
    counts: Arc<GateCounts>,
}

impl SwitchGate {
    /// Closes it as the strategy says; for `auto` as can be had.
    pub fn close(
        strategy: Strategy,
        instance: Option<&InstanceName>,
        ports: &[u16],
        listeners: Vec<Listener>,
        counts: Arc<GateCounts>,
    ) -> Result<Self, GateError> {
        let at = |listener: &Listener| BoundAddress { address: listener.address, v6only: listener.v6only };
        let addresses: Vec<BoundAddress> = listeners.iter().map(at).collect();
        let close = |manner| Gate::close(instance, manner, &addresses, ports).map(|gate| (gate, manner));
        let closed = match strategy {
            Strategy::SynDrop => close(Manner::Drop),
            Strategy::Auto => close(Manner::Hold).or_else(|error| {
                debug!("{error}");
                close(Manner::Drop)
            }),
            _ => close(Manner::Hold),
        };
        closed.map(|(gate, manner)| Self { gate, manner, listeners, ports: ports.to_vec(), counts })
    }

    /// What it is to the clients.
    pub fn means(&self) -> Means {
        match self.manner {
            Manner::Drop => Means::SynDrop,
            Manner::Hold => Means::Plug,
        }
    }

    /// Lets all SYNs go on, on a thread, and says what it was for. Without a thread it is dropped, which opens it.
    pub fn open(self, generation: Generation, reports: GateReports) {
        aside::spawn("letting clients go on", move || self.open_now(generation, &reports));
    }

    fn open_now(self, generation: Generation, reports: &GateReports) {
        steps::at("opens", &"Gate");
        let mut addresses: Vec<String> = self.listeners.iter().map(|one| one.address.to_string()).collect();
        addresses.sort();
        addresses.dedup();
        addresses.extend(self.ports.iter().map(|port| format!("port {port}")));
        let by = self.means();
        let opened = match self.gate.open() {
            Ok(opened) => opened,
            Err(error) => return tell(&CutoverNotice::GateFailed { error: error.to_string() }),
        };
        let dropped = opened.dropped;
        self.counts.add(opened.held, dropped);
        let held = (self.manner == Manner::Hold).then_some(opened.held);
        reports.tell(generation, CostGate { by, seconds: opened.closed_for, held, dropped });
        let milliseconds = u64::try_from(opened.closed_for.as_millis()).unwrap_or(u64::MAX);
        tell(&match self.manner {
            Manner::Drop => CutoverNotice::Dropped { addresses, milliseconds, dropped },
            Manner::Hold => CutoverNotice::HeldUp { addresses, milliseconds, waited: opened.held },
        });
        if opened.lapsed {
            tell(&CutoverNotice::Lapsed);
        }
    }
}
