//! What a generation knows of its servers passes to the next one, before that accepts clients.
//!
//! ```text
//!   loop                        this thread, one a generation                    HAProxy, new
//!    | Launch  ------------------> ask the former one (show servers state),         loads its configuration,
//!    |                             or take the last that is known                   with a limit (`RateLimit`)
//!    |                             what keeps clients away, into the socket ------> its first loop: reads that
//!    | Proved, Carry ------------> show servers state ----------------------------> what it begins with
//!    |                             set what is different -------------------------> sets it
//!    |                             the entries of stick tables, if that is wanted -> sets them
//!    |                             set rate-limit ... 0 --------------------------> accepts clients
//!    | <--- Carried -------------- what was set, and what was not
//! ```
//!
//! Clients that come meanwhile wait in the queue of the shared socket, where the former generation serves them; after a
//! crash they wait for a moment. The limit lets one client through; what is said in advance is for that
//! one. It is lifted whatever becomes of the rest. Only a HAProxy that does not lift it is given up: it would
//! serve one client a second.
//!
//! What to set is decided by [`clearway_haproxy::carry`]; where the state comes from is [`crate::fleet::state`]'s matter.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::settings::CarrySetting;
use clearway_core::supervisor::{Carried, Event};
use clearway_haproxy::carry::{self, CarryOutcome as Came, StateCommand};
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::overlay::RateLimit;
use tokio::sync::mpsc::UnboundedSender;

use crate::debug;
use crate::fleet::News;
use crate::fleet::state::{Snapshot, StateQuestion};
use crate::ground::aside;

mod private_socket;
mod tables;

use private_socket::Broken;
pub use private_socket::PrivateSocket;
use tables::Tables;

/// How long the new one may take for all questions and orders.
const SETTING: Duration = Duration::from_secs(5);

/// How long servers may have no address yet, because a resolver has not answered.
const RESOLVING: Duration = Duration::from_secs(1);

/// How often they are tried again meanwhile.
const TRIED_EVERY: Duration = Duration::from_millis(20);

/// What is said of stick tables after a crash, and in a takeover.
const NO_TABLES: &str =
    "stick tables: the HAProxy that had them has ended or belongs to another Clearway, and cannot be asked";

/// When the listeners are woken again after the limit was lifted, each after the one before.
const WAKING: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// What is asked of a new generation as a rule: what is set in advance, its state, what is different, the limit, and to
/// wake its listeners.
pub const QUESTIONS: usize = 4 + WAKING.len();

/// Lets the thread of a generation go on when it has proved itself. Dropped, it ends that thread, at any time.
#[derive(Debug)]
pub struct Go(Sender<()>);

/// What the thread needs.
#[derive(Debug)]
pub struct Carry {
    /// For which generation.
    pub generation: Generation,
    /// Our end of its private stats socket.
    pub private: PrivateSocket,
    /// What its file says.
    pub configuration: Arc<Configuration>,
    /// What passes.
    pub what: CarrySetting,
    /// What keeps it from accepting, if something does.
    pub rate_limit: Option<RateLimit>,
    /// How long it may take to load.
    pub ready: Duration,
    /// Where to tell what came of it.
    pub news: UnboundedSender<News>,
}

impl Carry {
    /// Begins; unset if there can be no thread.
    pub fn begin(self, question: StateQuestion) -> Option<Go> {
        let (go, waiting) = channel();
        let run = move || self.run(&question, &waiting);
        aside::spawn("carrying the state of the servers over", run).then_some(Go(go))
    }

    fn run(self, question: &StateQuestion, go: &Receiver<()>) {
        let asked = if self.what.servers { question.asked() } else { None };
        // How old a state is matters only where it could not be asked for.
        let age_of = |snapshot: &Snapshot| snapshot.taken.elapsed().as_secs();
        let age = question.known.as_ref().filter(|_| asked.is_none()).map(age_of);
        let snapshot = asked.or_else(|| question.known.clone().filter(|_| self.what.servers));
        let snapshot = snapshot.map(|snapshot| question.to_carry(snapshot));
        let in_advance = |known: &Snapshot| carry::in_advance(&known.servers, &self.configuration.stated);
        let advance = snapshot.as_ref().map(in_advance).unwrap_or_default();
        // It has not begun to answer: this waits for that. If it has died, that is seen elsewhere.
        if let Err(error) = self.private.give(&advance, self.ready) {
            debug!("setting the state of servers in advance: {error}");
        }
        if go.recv().is_err() {
            return;
        }
        let generation = self.generation;
        let carried = snapshot.map(|snapshot| self.carry(&snapshot, age, &advance)).unwrap_or_default();
        let carried = self.tables(question).and(carried);
        match self.open() {
            Ok(()) => {
                let _ = self.news.send(News::Event(Event::Carried { generation, carried }));
                self.wake_again(go);
            }
            Err(error) => {
                let failure = does_not_open(&error);
                let _ = self.news.send(News::Event(Event::Failed { generation, failure }));
            }
        }
    }

    /// What is different is set, but for what was set in advance.
    fn carry(&self, snapshot: &Snapshot, age_seconds: Option<u64>, advance: &[StateCommand]) -> Carried {
        let until = Instant::now() + SETTING;
        let answer = match self.private.servers_state(SETTING) {
            Ok(answer) => answer,
            Err(error) => return Carried::failed(format!("the state of the servers: {error}")),
        };
        let told = match answer.servers_state() {
            Ok(told) => told,
            Err(error) => return Carried::failed(format!("the state of the servers: {error}")),
        };
        let plan = carry::plan(&snapshot.servers, &self.configuration.stated, told);
        let left = until.saturating_duration_since(Instant::now());
        let answers = self.private.give(&plan.orders, left);
        let answers = answers.map(|answers| self.once_resolved(&plan.orders, answers));
        let Came { set, left } = plan.outcome(advance, answers);
        Carried { set, left, age_seconds }
    }

    /// Orders that HAProxy refused because their servers had no address yet are given again, until these have one or have
    /// had the time for it. Answers with the last words to each order.
    fn once_resolved(&self, orders: &[StateCommand], mut answers: Vec<String>) -> Vec<String> {
        let until = Instant::now() + RESOLVING;
        loop {
            let given = orders.iter().zip(&answers).enumerate();
            let (places, again): (Vec<usize>, Vec<StateCommand>) = given
                .filter(|(_, (order, answer))| order.waits_for_an_address(answer))
                .map(|(place, (order, _))| (place, order.clone()))
                .unzip();
            let left = until.saturating_duration_since(Instant::now());
            if again.is_empty() || left.is_zero() {
                return answers;
            }
            std::thread::sleep(TRIED_EVERY.min(left));
            let Ok(said) = self.private.give(&again, left.max(TRIED_EVERY)) else { return answers };
            for (place, said) in places.into_iter().zip(said) {
                answers[place] = said;
            }
        }
    }

    /// The entries of stick tables are copied, if that is wanted.
    fn tables(&self, question: &StateQuestion) -> Carried {
        let wanted = self.what.tables.filter(|_| self.configuration.tables.has_unshared());
        let Some(most) = wanted else { return Carried::default() };
        match (question.serving(), self.private.for_many()) {
            (Some(from), Some(to)) => Tables::new(from, (&to, &self.configuration), most).carry(),
            _ => Carried::failed(NO_TABLES),
        }
    }

    fn open(&self) -> Result<(), Broken> {
        self.rate_limit.map_or(Ok(()), |limit| self.private.lift(limit))
    }

    /// A thread of HAProxy that looked at the limit just before it was lifted may have stopped its listener just after all
    /// listeners were woken, for a second (`listener_accept`): woken again, it accepts at once.
    fn wake_again(&self, go: &Receiver<()>) {
        for pause in WAKING.iter().filter(|_| self.rate_limit.is_some()) {
            // Not any more when it drains: a connection to it would keep it from ending, and what comes to a socket that
            // only it has meanwhile (UDP) would be lost.
            if go.recv_timeout(*pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let _ = self.open();
        }
    }
}

fn does_not_open(error: &Broken) -> Failure {
    let message = format!("letting the new HAProxy accept clients: {error}");
    let hint = "with CLEARWAY_CARRY=off nothing keeps it from accepting clients at once";
    let failure = Failure::new(ExitCode::NotReady, message).hint(hint);
    Failure { closed: error.is_an_end(), ..failure }
}

impl Go {
    /// The generation has proved itself: the thread goes on. False if it has ended.
    pub fn on(&self) -> bool {
        self.0.send(()).is_ok()
    }
}
