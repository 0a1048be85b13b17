//! The holder (`clearway hold`): it keeps duplicates of an instance's listening sockets while no balancer runs at all.
//!
//! It starts nothing, serves nothing and accepts no client. A socket that is held completes handshakes, so the TCP checks
//! of a balancer in front stay green although nothing answers: the hold ends by itself.
//!
//! Balancer and holder find each other whichever comes first: the balancer knocks at the holder's door when it begins
//! ([`HoldEvent::Came`]), the holder at the balancer's, at the pace of a [`Lookout`] ([`HoldAction::Look`]). After each commit the
//! balancer sends all that it listens on.
//!
//! Time is a duration since the holder began.

mod balancer_id;
mod starts;
mod store;

use std::sync::Arc;
use std::time::Duration;

use super::lookout::Lookout;
use crate::count::Count;
use starts::Starts;
use store::Store;

pub use balancer_id::BalancerId;

/// What happened.
#[derive(Debug)]
pub enum HoldEvent<Socket, Servers> {
    /// A balancer begins, and asks for what is held.
    Came(BalancerId),
    /// One that was there first was found.
    Found(BalancerId),
    /// It serves from these sockets, which are all there are.
    Keeps(BalancerId, Vec<Socket>),
    /// It knows this of its servers.
    Knows(BalancerId, Arc<Servers>),
    /// It stops as planned.
    Releases {
        /// Which.
        balancer: BalancerId,
        /// Nothing is to be held for a while.
        at_once: bool,
    },
    /// It is gone.
    Gone(BalancerId),
    /// Nothing but time has passed.
    TimePassed,
}

/// What is to be done.
#[derive(Debug)]
pub enum HoldAction<Socket, Servers> {
    /// Give a balancer what is held.
    Give {
        /// Which.
        to: BalancerId,
        /// All of it.
        sockets: Arc<Vec<Socket>>,
        /// What is known of the servers, and how old that is.
        servers: Option<(Arc<Servers>, Duration)>,
        /// Whether there is nothing else to say of this balancer: one that fails again and again has its line when it does.
        says: bool,
    },
    /// Look for a balancer that has the name: [`HoldEvent::Found`] follows if there is one.
    Look,
    /// Remove what a dead balancer has left in the kernel.
    Sweep,
    /// Write a line into the log.
    Report(HoldReport),
}

crate::notices! {
    /// What becomes of a hold.
    pub enum HoldReport {
        /// A balancer that began with the sockets that are held serves.
        Info "hold.serving" Serves { sockets: usize }
            => "a balancer serves from {}", Count(*sockets, "listening socket");
        /// A balancer has ended before it served, so many `times` in a row.
        Warn "hold.start-failed" FailedStart { times: u32, sockets: usize }
            => "a balancer has ended before it served{}, and what is held stays held: {}",
                in_a_row(*times), Count(*sockets, "listening socket");
        /// The balancer stops as planned: its sockets are held for `CLEARWAY_HOLD_AFTER_STOP`.
        Info "hold.stopping" Stops => "the balancer stops: its listening sockets are held a while longer";
        /// The balancer has ended without a word: its sockets are held for `CLEARWAY_HOLD_AFTER_LOSS`.
        Warn "hold.lost" Lost { sockets: usize }
            => "the balancer is gone: holding {}, new connections wait for the next balancer",
                Count(*sockets, "listening socket");
        /// The time of the hold is over.
        Info "hold.over" Over { sockets: usize }
            => "the hold is over: closed {}, new connections are refused from now on",
                Count(*sockets, "listening socket");
    }
}

fn in_a_row(times: u32) -> String {
    if times > 1 { format!(" ({times} in a row)") } else { String::new() }
}

/// All that a holder knows.
#[derive(Debug)]
pub struct Keeping<Socket, Servers> {
    store: Store<Socket, Servers>,
    starts: Starts,
    lookout: Lookout,
}

type Todo<Socket, Servers> = Vec<HoldAction<Socket, Servers>>;

impl<Socket, Servers> Keeping<Socket, Servers> {
    /// Holds nothing yet; how long it is to hold after a planned stop, and after a loss.
    pub fn new(after_stop: Duration, after_loss: Duration) -> Self {
        Self {
            store: Store::new(after_stop, after_loss),
            starts: Starts::default(),
            lookout: Lookout::default(),
        }
    }

    /// What is held.
    pub fn sockets(&self) -> &[Socket] {
        self.store.sockets()
    }

    /// The balancer that serves from these.
    pub fn owner(&self) -> Option<BalancerId> {
        self.store.owner()
    }

    /// When the hold ends by itself.
    pub fn until(&self) -> Option<Duration> {
        self.store.until()
    }

    /// How many balancers in a row have ended before they served.
    pub fn failed_starts(&self) -> u32 {
        self.starts.failed()
    }

    /// When [`HoldEvent::TimePassed`] is due, if at all.
    pub fn due(&self) -> Option<Duration> {
        [self.store.until(), self.lookout.due()].into_iter().flatten().min()
    }

    /// Hears an event, and says what is to be done, in this order.
    pub fn step(&mut self, event: HoldEvent<Socket, Servers>, now: Duration) -> Todo<Socket, Servers> {
        let mut todo = Vec::new();
        match event {
            HoldEvent::Came(balancer) => {
                self.lookout.begun(balancer.0);
                self.starts.begins(balancer);
                todo.push(HoldAction::Give {
                    to: balancer,
                    sockets: Arc::clone(self.store.sockets()),
                    servers: self.store.servers(now),
                    says: self.starts.failed() == 0,
                });
            }
            HoldEvent::Found(balancer) => self.lookout.begun(balancer.0),
            HoldEvent::Keeps(balancer, sockets) => {
                self.lookout.kept(balancer.0);
                if self.starts.serves(balancer) {
                    todo.push(HoldAction::Report(HoldReport::Serves { sockets: sockets.len() }));
                }
                self.store.keep(balancer, sockets);
            }
            HoldEvent::Knows(balancer, servers) => self.store.know(balancer, servers, now),
            HoldEvent::Releases { balancer, at_once } => {
                self.lookout.over(balancer.0, now);
                if self.store.release(balancer, at_once, now) && !at_once {
                    todo.push(HoldAction::Report(HoldReport::Stops));
                }
            }
            HoldEvent::Gone(balancer) => self.gone(balancer, now, &mut todo),
            HoldEvent::TimePassed => {}
        }
        if let Some(closed) = self.store.time_passed(now) {
            todo.extend([HoldAction::Report(HoldReport::Over { sockets: closed }), HoldAction::Sweep]);
        }
        if self.lookout.look(now) {
            todo.push(HoldAction::Look);
        }
        todo
    }

    /// One whose start has failed may have let go before, like one that stops.
    fn gone(&mut self, balancer: BalancerId, now: Duration, todo: &mut Todo<Socket, Servers>) {
        self.lookout.over(balancer.0, now);
        let held = self.store.sockets().len();
        if let Some(times) = self.starts.gone(balancer) {
            todo.push(HoldAction::Report(HoldReport::FailedStart { times, sockets: held }));
        }
        if self.store.gone(balancer, now) {
            todo.extend([HoldAction::Report(HoldReport::Lost { sockets: held }), HoldAction::Sweep]);
        }
    }
}

#[cfg(test)]
mod tests;
