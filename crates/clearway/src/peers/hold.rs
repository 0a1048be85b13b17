//! A holder's conversations with balancers (`clearway hold`). Each has a thread of its own that only reads; what is heard
//! reaches the holder's loop in order. What is kept, for which balancer and for how long is decided by the core
//! ([`clearway_core::peers::hold`]).

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clearway_core::count::Count;
use clearway_core::names::InstanceName;
use clearway_core::peers::hold::{BalancerId, HoldEvent};
use clearway_core::settings::Settings;
use clearway_haproxy::getsocks::ReceivedSocket;
use clearway_haproxy::runtime::state::Remembered;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::custody::held::Held;
use crate::debug;
use crate::fleet::state::Snapshot;
use crate::ground::aside;
use crate::ground::notice::tell;
use crate::peers::door::Door;
use crate::peers::message::{self, Initiator, PROTOCOL, PeerMessage};
use crate::peers::notices::{HolderNotice, PeersNotice};
use crate::peers::state::Collector;
use crate::peers::successor::is_one_of_us;
use crate::peers::wire::{PROMPT, Wire, WireError};

/// What the threads that listen to balancers tell.
enum BalancerSaid {
    /// A balancer begins.
    Hello(Arc<Wire>),
    /// All that it listens on from now on.
    Keep(Vec<ReceivedSocket>),
    /// What it knows of its servers.
    Servers(Snapshot),
    /// It stops as planned; let go in a while, or now.
    Release { at_once: bool },
    /// It is gone.
    Gone,
}

/// All conversations of a holder.
pub struct Balancers {
    sender: UnboundedSender<(BalancerId, BalancerSaid)>,
    heard: UnboundedReceiver<(BalancerId, BalancerSaid)>,
    /// Those that have begun a conversation.
    wires: BTreeMap<BalancerId, Arc<Wire>>,
}

impl Balancers {
    /// None yet.
    pub fn new() -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        Self { sender, heard, wires: BTreeMap::new() }
    }

    /// What is heard next. Never ends; can be cancelled.
    pub async fn next(&mut self) -> HoldEvent<Held, Remembered> {
        loop {
            match self.heard.recv().await {
                Some((balancer, said)) => {
                    if let Some(event) = self.hear(balancer, said) {
                        return event;
                    }
                }
                None => std::future::pending().await, // there is a sender here: this does not happen
            }
        }
    }

    fn hear(&mut self, balancer: BalancerId, said: BalancerSaid) -> Option<HoldEvent<Held, Remembered>> {
        Some(match said {
            BalancerSaid::Hello(wire) => {
                self.wires.insert(balancer, wire);
                HoldEvent::Came(balancer)
            }
            BalancerSaid::Keep(sockets) => match sockets.into_iter().map(Held::received).collect() {
                Ok(held) => {
                    let held: Vec<Held> = held;
                    debug!("keeping {} of a balancer that serves", Count(held.len(), "listening socket"));
                    HoldEvent::Keeps(balancer, held)
                }
                Err(error) => {
                    tell(&HolderNotice::NotHeld { error: error.to_string() });
                    return None;
                }
            },
            BalancerSaid::Servers(Snapshot { servers, .. }) => {
                debug!("{} of {} servers of a balancer are down", servers.down(), servers.count());
                HoldEvent::Knows(balancer, servers)
            }
            BalancerSaid::Release { at_once } => HoldEvent::Releases { balancer, at_once },
            BalancerSaid::Gone => {
                self.wires.remove(&balancer);
                HoldEvent::Gone(balancer)
            }
        })
    }

    /// Gives a balancer what is held, on a thread: it may read slowly. `says`: whether there is a line for that.
    pub fn give(
        &self,
        to: BalancerId,
        sockets: Arc<Vec<Held>>,
        servers: Option<(Arc<Remembered>, Duration)>,
        says: bool,
    ) {
        let Some(wire) = self.wires.get(&to).map(Arc::clone) else { return };
        let state = servers
            .and_then(|(servers, age)| Some(Snapshot { servers, taken: Instant::now().checked_sub(age)? }));
        aside::spawn("giving the listening sockets to a balancer", move || {
            let welcome = PeerMessage::Welcome {
                protocol: PROTOCOL,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                sockets: sockets.len(),
                origin: None,
                superseded: Vec::new(),
            };
            let told = state.map_or(Ok(()), |state| crate::peers::state::send(&wire, &state, PROMPT));
            let sent = told.and_then(|()| wire.send(&welcome, &[], PROMPT));
            match sent.and_then(|()| wire.send_sockets(&sockets, PROMPT)) {
                Ok(()) if sockets.is_empty() => {}
                Ok(()) if says => tell(&HolderNotice::Gave { sockets: sockets.len() }),
                Ok(()) => debug!("gave {} to a balancer", Count(sockets.len(), "listening socket")),
                Err(error) => tell(&HolderNotice::NotGiven { error: error.to_string() }),
            }
        });
    }

    /// Looks for a balancer that was there first, which is told that a holder is there.
    pub fn look(&self, name: &InstanceName, settings: &Settings) -> Option<BalancerId> {
        let wire = match Door::of_balancer(name, settings).knock() {
            Ok(wire) => wire?,
            Err(failure) => {
                debug!("{}", failure.message);
                return None;
            }
        };
        wire.say(&PeerMessage::hello(Initiator::Holder), &[]).ok()?;
        self.listen_to(Arc::new(wire), false)
    }

    /// A process has come to the holder's door: it is heard if it is one of ours.
    pub fn admit(&self, stream: &UnixStream) {
        if !is_one_of_us(stream) {
            return;
        }
        match stream.as_fd().try_clone_to_owned() {
            Ok(socket) => {
                self.listen_to(Arc::new(Wire::of(socket)), true);
            }
            Err(error) => tell(&HolderNotice::NotHeard { error: error.to_string() }),
        }
    }

    /// Hears a balancer to its end; one that came by itself greets first. Unset if there can be no thread for it.
    fn listen_to(&self, wire: Arc<Wire>, greets: bool) -> Option<BalancerId> {
        static BALANCERS: AtomicU64 = AtomicU64::new(1);
        let balancer = BalancerId(BALANCERS.fetch_add(1, Ordering::Relaxed));
        let sender = self.sender.clone();
        let begun = aside::spawn("listening to a balancer", move || {
            if greets {
                if let Err(reason) = greet(&wire) {
                    tell(&PeersNotice::SentAway { reason: reason.clone() });
                    let refused = PeerMessage::no(&reason, false);
                    let _ = wire.say(&refused, &[]);
                    return;
                }
                let _ = sender.send((balancer, BalancerSaid::Hello(Arc::clone(&wire))));
            }
            let mut collector = Collector::default();
            loop {
                let Some(said) = hear(&wire, &mut collector) else { continue };
                let over = matches!(said, BalancerSaid::Gone);
                if sender.send((balancer, said)).is_err() || over {
                    return;
                }
            }
        });
        begun.then_some(balancer)
    }
}

/// What the balancer says next; unset if that is nothing for a holder.
fn hear(wire: &Wire, collector: &mut Collector) -> Option<BalancerSaid> {
    Some(match wire.hear(None) {
        Ok((PeerMessage::Servers { part, more, age_ms }, _)) => {
            BalancerSaid::Servers(collector.hear(&part, more, age_ms)?)
        }
        Ok((PeerMessage::Keep { sockets }, _)) => match wire.hear_sockets(sockets, PROMPT) {
            Ok(sockets) => BalancerSaid::Keep(sockets),
            Err(error) => {
                tell(&HolderNotice::NotSent { error: error.to_string() });
                wire.hang_up();
                BalancerSaid::Gone
            }
        },
        Ok((PeerMessage::Release { at_once }, _)) => BalancerSaid::Release { at_once },
        Ok((PeerMessage::Refused { reason, .. }, _)) => {
            debug!("a balancer wants no holder: {reason}");
            BalancerSaid::Gone
        }
        Ok(_) => return None,
        Err(error) => {
            if error != WireError::Closed {
                tell(&HolderNotice::TalkFailed { error: error.to_string() });
            }
            BalancerSaid::Gone
        }
    })
}

fn greet(wire: &Wire) -> Result<(), String> {
    match wire.hear(Some(PROMPT)) {
        Ok((PeerMessage::Hello { protocol, lowest, role: Initiator::Balancer, .. }, _)) => {
            message::agree(protocol, lowest).map(|_| ())
        }
        Ok(_) => Err("it did not greet as a balancer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
