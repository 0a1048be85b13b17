//! What all that costs new clients: when a window is open, how it is looked at, and what is told of it. As `tell::cost` of the crate
//! `clearway` has it: a thread for each window, which looks seldom here, as if each look were dear. What the kernel counts is
//! made up, and known: nothing that is told may be more than that, and each window is closed once, with one record.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use clearway_core::cost::{
    AFTER, Baseline, Cost, CostFigures, CostLook, CostStep, CostWatch, CostWindows, NetworkCounters, PACE,
    QueueSeen,
};
use clearway_core::supervisor::{AttemptResult, Attempted, Report, Turn};

use super::clients::Port;
use super::*;

/// The longest time before a window that it is compared with.
const BEFORE: Duration = Duration::from_mins(1);

/// What the kernel has counted so far, and chance.
pub struct Counted {
    random: fastrand::Rng,
    resets: u64,
    /// Of each listening socket.
    drops: BTreeMap<Socket, u32>,
}

impl Counted {
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed.reverse_bits()), resets: 0, drops: BTreeMap::new() }
    }

    fn counters(&self) -> NetworkCounters {
        NetworkCounters { resets_sent: Some(self.resets), ..NetworkCounters::default() }
    }

    fn all_drops(&self) -> u64 {
        self.drops.values().map(|drops| u64::from(*drops)).sum()
    }
}

/// The thread of one window.
struct CostThread {
    watch: CostWatch,
    began: Duration,
    resets: u64,
    drops: u64,
    /// The attempt that ended the window, and what was told of it then.
    told: Option<(Generation, Cost)>,
}

/// What one balancer knows of the cost.
#[derive(Default)]
pub struct CostSide {
    windows: CostWindows,
    baseline: Baseline,
    threads: BTreeMap<u32, CostThread>,
    /// The number of the last thread.
    last: u32,
    /// Whether the window of that thread is open.
    is_open: bool,
    /// Which attempts have a record.
    records: BTreeSet<Generation>,
    /// Of which attempts clients could be lost, as something was held when they began.
    at_stake: BTreeSet<Generation>,
    /// Nothing serves, and something is held.
    outage: bool,
}

impl CostSide {
    /// Whether an attempt that is decided ends a window.
    fn expects_end(&self, attempted: &Attempted) -> bool {
        let has_taken = attempted.result == AttemptResult::Took;
        if self.outage { has_taken } else { self.at_stake.contains(&attempted.generation) }
    }

    /// Takes down what is at stake. `holds`: whether there are listening sockets.
    fn note(&mut self, action: &Action, holds: bool) {
        match action {
            Action::Prepare(generation, _) if holds => {
                self.at_stake.insert(*generation);
            }
            Action::Report(
                Report::Crashed { .. } | Report::Takeover(Turn::SuccessorGone { .. } | Turn::PredecessorGone),
            ) => self.outage |= holds,
            Action::Attempted(attempted) => {
                self.outage &= attempted.result != AttemptResult::Took;
            }
            Action::ReleaseCustody | Action::Relieve(_) | Action::GiveBack => {
                (self.outage, self.at_stake) = (false, BTreeSet::new());
            }
            _ => {}
        }
    }
}

impl World {
    /// What is about to be carried out.
    pub fn cost_hears(&mut self, id: Id, action: &Action) {
        let holds = !self.balancers[id].custody.is_empty();
        let costs = &mut self.balancers[id].costs;
        let expected = match action {
            Action::Attempted(attempted) => costs.expects_end(attempted).then_some(attempted.generation),
            _ => None,
        };
        let step = costs.windows.hear(action, holds);
        costs.note(action, holds);
        let ended = if let Some(CostStep::End(generation)) = step { Some(generation) } else { None };
        if ended != expected {
            return self.cost_is_wrong(
                id,
                &format!("the window of {ended:?} has ended, and not that of {expected:?}"),
            );
        }
        match step {
            Some(CostStep::Begin) => self.window_begins(id),
            Some(CostStep::End(generation)) => self.window_ends(id, generation),
            Some(CostStep::Leave) => {
                self.balancers[id].costs.is_open = false;
                self.conclude(id, self.balancers[id].costs.last);
            }
            None => {}
        }
        let has_taken = matches!(action, Action::Attempted(one) if one.result == AttemptResult::Took);
        if has_taken && self.balancers[id].costs.is_open {
            self.cost_is_wrong(id, "a generation serves, and a window is open");
        }
    }

    fn cost_is_wrong(&mut self, id: Id, what: &str) {
        self.fault = Some(format!("balancer {id}, cost: {what}"));
    }

    fn window_begins(&mut self, id: Id) {
        if self.balancers[id].costs.is_open {
            return self.cost_is_wrong(id, "a window begins while one is open");
        }
        self.conclude(id, self.balancers[id].costs.last);
        let (now, counters) = (self.now, self.counted.counters());
        let costs = &mut self.balancers[id].costs;
        let before = costs.baseline.until(counters, now);
        let thread = CostThread {
            watch: CostWatch::begin(counters, before, now),
            began: now,
            resets: self.counted.resets,
            drops: self.counted.all_drops(),
            told: None,
        };
        costs.last += 1;
        costs.is_open = true;
        costs.threads.insert(costs.last, thread);
        let number = costs.last;
        if before.is_some_and(|before| before.seconds < AFTER || before.seconds > BEFORE) {
            return self.cost_is_wrong(id, &format!("it is compared with {before:?}"));
        }
        self.cost_thread_looks(id, number);
    }

    fn window_ends(&mut self, id: Id, generation: Generation) {
        let number = self.balancers[id].costs.last;
        if !std::mem::replace(&mut self.balancers[id].costs.is_open, false) {
            return self.cost_is_wrong(id, &format!("the window of {generation} is closed a second time"));
        }
        if !self.balancers[id].costs.records.insert(generation) {
            return self.cost_is_wrong(id, &format!("generation {generation} has two records"));
        }
        let before = self.counted.counters();
        let look = self.a_look(id);
        let (now, after) = (self.now, self.counted.counters());
        let Some(thread) = self.balancers[id].costs.threads.get_mut(&number) else {
            return self.cost_is_wrong(id, "nothing has looked at the window");
        };
        thread.watch.look(look);
        let cost = thread.watch.end([before, after], now);
        thread.told = Some((generation, cost.clone()));
        let is_whole = cost.after.is_none() && cost.window.seconds == now - thread.began;
        let most = (self.counted.resets - thread.resets, self.counted.all_drops() - thread.drops);
        if !is_whole || !is_at_most(&cost.window, most) {
            self.cost_is_wrong(
                id,
                &format!("of generation {generation} is told {cost:?}, and there were {most:?}"),
            );
        }
    }

    /// It looks, and again after a pause, until the time after the window is over.
    pub fn cost_thread_looks(&mut self, id: Id, number: u32) {
        if !self.balancers[id].alive || !self.balancers[id].costs.threads.contains_key(&number) {
            return;
        }
        let look = self.a_look(id);
        let took = Duration::from_millis(self.counted.random.u64(0..60));
        let now = self.now;
        let Some(thread) = self.balancers[id].costs.threads.get_mut(&number) else { return };
        thread.watch.look(look);
        match thread.watch.pause(took, now) {
            // The last look of a window that is over may follow at once.
            Some(pause) if pause >= PACE || thread.told.is_some() => {
                self.at(pause, Happening::Looks(id, number));
            }
            Some(pause) => self.cost_is_wrong(id, &format!("it is looked again after {pause:?}")),
            None => self.conclude(id, number),
        }
    }

    /// A thread ends: what it was about is told once more, with the time after, if the window has ended.
    fn conclude(&mut self, id: Id, number: u32) {
        let Some(CostThread { mut watch, told, resets, drops, began }) =
            self.balancers[id].costs.threads.remove(&number)
        else {
            return;
        };
        watch.look(self.a_look(id));
        let (now, counters) = (self.now, self.counted.counters());
        self.balancers[id].costs.baseline.note(counters, now);
        let concluded = watch.conclude(counters, now);
        let (window, after) = match (told, concluded) {
            (None, None) => return,
            (Some((_, told)), Some(Cost { window, after: Some(after), before, gate: None }))
                if window == told.window && before == told.before =>
            {
                (window, after)
            }
            (told, concluded) => {
                return self.cost_is_wrong(id, &format!("first {told:?} is told, then {concluded:?}"));
            }
        };
        let most = (self.counted.resets - resets, self.counted.all_drops() - drops);
        let all = window.network.resets_sent.zip(after.network.resets_sent).map(|(one, two)| one + two);
        let is_whole = all == Some(most.0) && window.seconds + after.seconds == now - began;
        if !is_whole || after.seconds > AFTER || !is_at_most(&after, most) {
            self.cost_is_wrong(
                id,
                &format!("{window:?} and then {after:?} are told, and there were {most:?}"),
            );
        }
    }

    /// All listening sockets now; nothing where it cannot be looked.
    fn a_look(&mut self, id: Id) -> Option<CostLook> {
        let Counted { random, resets, drops } = &mut self.counted;
        *resets += u64::from(random.u8(0..4) == 0);
        let mut seen = Vec::new();
        for socket in self.listeners.those_that_listen() {
            let dropped = drops.entry(socket).or_default();
            *dropped += u32::from(random.u8(0..8) == 0);
            let port = match self.listeners.port(socket) {
                Some(Port::Private(number)) => 10_000 + u16::try_from(number).unwrap_or_default(),
                _ => 80,
            };
            seen.push(QueueSeen {
                inode: socket as u64,
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                waiting: random.u32(0..3),
                drops: (random.u8(0..50) != 0).then_some(*dropped),
            });
        }
        let ends = |client: u16| (([127, 0, 0, 1], 80).into(), ([10, 0, 0, 9], client).into());
        let clients: HashSet<_> = (1..4_u16).filter(|_| random.bool()).map(ends).collect();
        let look = CostLook {
            at: self.now,
            sockets: seen,
            ours: self.balancers[id].custody.iter().map(|socket| *socket as u64).collect(),
            clients: (random.u8(0..50) != 0).then_some(clients),
        };
        (random.u8(0..50) != 0).then_some(look)
    }

    /// Nothing has happened for a long time: no window is open, and nothing looks.
    pub fn check_costs_at_rest(&self, id: Id) -> Result<(), String> {
        let CostSide { threads, is_open, outage, .. } = &self.balancers[id].costs;
        if *is_open || *outage || !threads.is_empty() {
            let threads = threads.len();
            return Err(format!(
                "balancer {id} serves, and a window of its is open, or {threads} threads look"
            ));
        }
        Ok(())
    }
}

/// Whether nothing is told that has not happened: so many resets and drops there were in all.
fn is_at_most(figures: &CostFigures, (resets, drops): (u64, u64)) -> bool {
    let CostFigures { refused, dropped, waited, waited_at_most, network, .. } = figures;
    refused.unwrap_or_default() == 0
        && dropped.unwrap_or_default() <= drops
        && network.resets_sent.is_some_and(|sent| sent <= resets)
        && waited.is_some() == waited_at_most.is_some()
        && waited <= waited_at_most
}
