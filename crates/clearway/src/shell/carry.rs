//! What a generation knows of its servers passes to the next one, before that accepts clients.
//!
//! ```text
//!   loop                        this thread, one a generation                    HAProxy, new
//!    | Launch  ------------------> ask the former one (show servers state),         loads its configuration,
//!    |                             or take the last that is known                   with a gate (`Gate`)
//!    |                             what keeps clients away, into the socket ------> its first loop: reads that
//!    | Proved, Carry ------------> show servers state ----------------------------> what it begins with
//!    |                             set what is different -------------------------> sets it
//!    |                             set rate-limit ... 0 --------------------------> accepts clients
//!    | <--- Carried -------------- what was set, and what was not
//! ```
//!
//! Clients that come meanwhile wait in the queue of the shared socket, where the former generation serves them; after a
//! crash they wait for a moment. The gate lets one client through before it closes; what is said in advance is for that
//! one. It is opened whatever becomes of the rest. Only a HAProxy that does not open it is given up: it would
//! serve one client a second.
//!
//! Every few seconds the serving generation is asked (`Shell::ask_for_state`), for the case that it cannot be any more:
//! after a crash, for a successor, for a holder.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::names::Generation;
use clearway_core::settings::CarryMode;
use clearway_core::supervisor::{Carried, Event, Failure};
use clearway_haproxy::carry::{self, Order};
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::overlay::Gate;
use clearway_haproxy::runtime::state::{Remembered, Row};
use clearway_haproxy::runtime::{self, Channel, Command, RuntimeError};
use clearway_haproxy::sockpair;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use super::launch::{Running, Sessions};
use super::{Inner, Outcome, Shell, thread};
use crate::due;

/// How often the serving generation is asked, so that its last state is known.
const PACE: Duration = Duration::from_secs(5);

/// Asking takes at most a hundredth of the time: ten thousand servers are asked more seldom.
const SHARE: u32 = 100;

/// How long the former generation may take to answer. The new one loads meanwhile.
pub const ASKING: Duration = Duration::from_secs(2);

/// How long the new one may take for all questions and orders.
const SETTING: Duration = Duration::from_secs(5);

/// How long it may take to open the gate.
const OPENING: Duration = Duration::from_secs(5);

/// When the listeners are woken again after the gate was opened, each after the one before.
const WAKING: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// What is asked of a new generation as a rule: what is set in advance, its state, what is different, the gate, and to
/// wake its listeners.
const QUESTIONS: usize = 4 + WAKING.len();

/// What was known of the servers at some moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The servers.
    pub servers: Arc<Remembered>,
    /// When.
    pub taken: Instant,
}

/// The last known state.
#[derive(Debug, Default)]
pub struct Last {
    known: Option<Snapshot>,
    /// When to ask; unset while an answer is awaited, or nothing serves.
    ask_at: Option<Instant>,
}

impl Last {
    /// A generation serves from now on.
    pub fn serves(&mut self) {
        self.ask_at = Some(Instant::now());
    }

    /// What was handed over by another Clearway or a holder, unless something is known already.
    pub fn inherit(&mut self, snapshot: Option<Snapshot>) {
        if self.known.is_none() {
            self.known = snapshot;
        }
    }

    /// What is known.
    pub fn known(&self) -> Option<&Snapshot> {
        self.known.as_ref()
    }

    /// Waits until the serving generation is to be asked.
    pub async fn due(&self) {
        due::at(self.ask_at).await;
    }
}

/// Lets the thread of a generation go on when it has proved itself. Dropped, it ends that thread, at any time.
#[derive(Debug)]
pub struct Go(Sender<()>);

/// What the thread needs.
#[derive(Debug)]
pub struct Carry {
    /// For which generation.
    pub generation: Generation,
    /// Our end of its private stats socket.
    pub private: Private,
    /// What its file says.
    pub configuration: Arc<Configuration>,
    /// What keeps it from accepting, if something does.
    pub gate: Option<Gate>,
    /// Where the state is to be had.
    pub from: From,
    /// How long it may take to load.
    pub ready: Duration,
    /// Where to tell what came of it.
    pub inner: UnboundedSender<Inner>,
}

/// The private stats socket of a generation that is about to start, with connections that wait in its queue before that
/// accepts: clients of the user's `stats socket` may fill `stats maxconn`, which counts all of them together, and a
/// connection that is made later would wait behind them.
#[derive(Debug)]
pub struct Private {
    stats: OwnedFd,
    waiting: RefCell<Vec<UnixStream>>,
}

impl Private {
    /// Makes the connections. Must be called before the process accepts.
    pub fn of(stats: OwnedFd) -> Self {
        let mut waiting: Vec<UnixStream> =
            (0..QUESTIONS).map_while(|_| sockpair::dial(&stats).ok()).collect();
        // The one that is accepted first is used first.
        waiting.reverse();
        Self { stats, waiting: RefCell::new(waiting) }
    }

    /// Asks over a connection that waits, or over a new one: there may be none left, and HAProxy may have closed it
    /// because nothing was asked for longer than `stats timeout`.
    fn ask<T>(&self, question: impl Fn(&UnixStream) -> Result<T, RuntimeError>) -> Result<T, Broken> {
        let waiting = self.waiting.borrow_mut().pop();
        match waiting.map(|connection| question(&connection)) {
            None | Some(Err(RuntimeError::Ended { .. })) => Ok(question(&sockpair::dial(&self.stats)?)?),
            Some(answer) => Ok(answer?),
        }
    }
}

/// Where the state is to be had.
#[derive(Debug)]
pub struct From {
    /// The generation that serves, and what its file says.
    pub serving: Option<(Sessions, Arc<Configuration>)>,
    /// What was known at last.
    pub last: Option<Snapshot>,
}

impl From {
    /// Asks, or takes what is known. Blocks, for [`ASKING`] at most.
    pub fn now(self) -> Option<Snapshot> {
        self.asked().or(self.last)
    }

    /// The answer of the generation that serves, if there is one and it answers.
    fn asked(&self) -> Option<Snapshot> {
        let (sessions, configuration) = self.serving.as_ref()?;
        ask(sessions, configuration)
    }
}

fn ask(sessions: &Sessions, configuration: &Configuration) -> Option<Snapshot> {
    let rows = sessions.server_rows(ASKING)?;
    let servers = Arc::new(Remembered::of(rows, &configuration.stated));
    Some(Snapshot { servers, taken: Instant::now() })
}

impl Carry {
    /// Begins; unset if there can be no thread.
    pub fn begin(self) -> Option<Go> {
        let (go, waiting) = channel();
        thread::spawn("carrying the state of the servers over", move || self.run(&waiting)).then_some(Go(go))
    }

    fn run(mut self, go: &Receiver<()>) {
        let from = std::mem::replace(&mut self.from, From { serving: None, last: None });
        let asked = from.asked();
        // How old a state is matters only where it could not be asked for.
        let age_of = |snapshot: &Snapshot| snapshot.taken.elapsed().as_secs();
        let age = from.last.as_ref().filter(|_| asked.is_none()).map(age_of);
        let snapshot = asked.or(from.last);
        let in_advance = |known: &Snapshot| carry::in_advance(&known.servers, &self.configuration.stated);
        let advance = snapshot.as_ref().map(in_advance).unwrap_or_default();
        // It has not begun to answer: this waits for that. If it has died, that is seen elsewhere.
        if let Err(error) = self.give(&advance, self.ready) {
            debug!("setting the state of servers in advance: {error}");
        }
        if go.recv().is_err() {
            return;
        }
        let generation = self.generation;
        let carried = snapshot.map(|snapshot| self.carry(&snapshot, age, &advance)).unwrap_or_default();
        let event = match self.open() {
            Ok(()) => Event::Carried { generation, carried },
            Err(error) => {
                let message = format!("letting the new HAProxy accept clients: {error}");
                let hint = "with CLEARWAY_CARRY=off nothing keeps it from accepting clients at once";
                let failure = Failure::new(ExitCode::NotReady, message).hint(hint);
                let closed = matches!(error, Broken::Dial(_) | Broken::Said(RuntimeError::Ended { .. }));
                Event::Failed { generation, failure: Failure { closed, ..failure } }
            }
        };
        let opened = matches!(event, Event::Carried { .. });
        let _ = self.inner.send(Inner::Event(event));
        // A thread of HAProxy that looked at the limit just before it was lifted may have stopped its listener just
        // after all listeners were woken, for a second (`listener_accept`): woken again, it accepts at once.
        for pause in WAKING.iter().filter(|_| opened && self.gate.is_some()) {
            // Not any more when it drains: a connection to it would keep it from ending, and what comes to a socket that
            // only it has meanwhile (UDP) would be lost.
            if go.recv_timeout(*pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let _ = self.open();
        }
    }

    /// What is different is set, but for what was set in advance.
    fn carry(&self, snapshot: &Snapshot, age_seconds: Option<u64>, advance: &[Order]) -> Carried {
        let until = Instant::now() + SETTING;
        let rows = match self.rows(SETTING) {
            Ok(rows) => rows,
            Err(error) => return Carried::failed(format!("the state of the servers: {error}")),
        };
        let plan = carry::plan(&snapshot.servers, &self.configuration.stated, &rows);
        let mut carried = Carried { left: plan.left, age_seconds, ..Carried::default() };
        // What was set in advance and is as it is to be.
        let open: std::collections::HashSet<&str> =
            plan.orders.iter().map(|one| one.command.as_str()).collect();
        let in_advance = advance.iter().filter(|one| !open.contains(one.command.as_str()));
        carried.set.extend(in_advance.map(said));
        let left = until.saturating_duration_since(Instant::now());
        match self.give(&plan.orders, left) {
            Ok(answers) => {
                for (order, answer) in plan.orders.iter().zip(answers) {
                    match order.refusal(&answer) {
                        None => carried.set.push(said(order)),
                        Some(why) => carried.left.push(format!("{}: HAProxy said `{why}`", said(order))),
                    }
                }
            }
            Err(error) => carried.left.push(format!("{} settings of servers: {error}", plan.orders.len())),
        }
        carried
    }

    /// Gives orders, as many in a line as fit, and answers with what HAProxy said to each.
    fn give(&self, orders: &[Order], limit: Duration) -> Result<Vec<String>, Broken> {
        let until = Instant::now().checked_add(limit);
        let mut answers = Vec::new();
        let commands: Vec<&str> = orders.iter().map(|order| order.command.as_str()).collect();
        let mut open = commands.as_slice();
        while !open.is_empty() {
            let (some, rest) = open.split_at(runtime::fit(open));
            let left = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
            answers.extend(self.private.ask(|connection| runtime::ask_all(connection, some, left))?);
            open = rest;
        }
        Ok(answers)
    }

    fn rows(&self, limit: Duration) -> Result<Vec<Row>, Broken> {
        let command = Command::show_servers_state();
        self.private.ask(|connection| command.ask(connection, Channel::Worker, limit)?.server_rows())
    }

    fn open(&self) -> Result<(), Broken> {
        let Some(gate) = self.gate else { return Ok(()) };
        let command = Command::set_rate_limit(gate, 0);
        self.private.ask(|connection| command.ask(connection, Channel::Worker, OPENING)?.done())
    }
}

fn said(order: &Order) -> String {
    format!("{}: {}", order.server, order.what)
}

/// Why a question or an order was in vain.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Dial(#[from] sockpair::SockpairError),
    #[error(transparent)]
    Said(#[from] RuntimeError),
}

impl Running {
    /// It has proved itself: the thread that carries the state over goes on. False if there is none.
    pub fn go_on_carrying(&mut self) -> bool {
        self.carry.as_ref().is_some_and(|Go(go)| go.send(()).is_ok())
    }

    /// It drains: the thread that carries the state over ends, and its connections with it.
    pub fn end_carrying(&mut self) {
        self.carry = None;
    }
}

impl Shell {
    /// Whether a generation that is about to start is to have the state of one before.
    pub fn has_something_to_carry(&self) -> bool {
        let known = self.last.known().is_some_and(|last| !last.servers.servers.is_empty());
        self.settings.carry == CarryMode::Servers && (known || self.serving.is_some())
    }

    /// Where the state of the servers is to be had at this moment.
    pub fn state_of_servers(&self) -> From {
        let serving = self.serving.as_ref().map(|serving| serving.generation).and_then(|generation| {
            let question = self.running.get(&generation).and_then(Running::sessions)?;
            let known = self.configurations.get(&generation)?;
            Some((question, Arc::clone(&known.configuration)))
        });
        From { serving, last: self.last.known().cloned() }
    }

    /// Carries the state over, if there is any.
    pub(super) fn carry(&mut self, generation: Generation) -> Outcome {
        let begun = self.running.get_mut(&generation).is_some_and(Running::go_on_carrying);
        if begun {
            return Outcome::Nothing;
        }
        Outcome::Event(Event::Carried { generation, carried: Carried::default() })
    }

    /// Asks the serving generation for the state of its servers.
    pub fn ask_for_state(&mut self) {
        self.last.ask_at = None;
        if self.settings.carry == CarryMode::Off {
            return;
        }
        let From { serving: Some((sessions, configuration)), .. } = self.state_of_servers() else { return };
        if configuration.stated.is_empty() {
            return;
        }
        let (inner, failed) = (self.inner.clone(), self.inner.clone());
        let Some(generation) = self.serving.as_ref().map(|serving| serving.generation) else { return };
        let begun = thread::spawn("asking for the state of the servers", move || {
            let begun = Instant::now();
            let snapshot = ask(&sessions, &configuration);
            let took = begun.elapsed();
            let _ = inner.send(Inner::State { generation, snapshot, took });
        });
        if !begun {
            let _ = failed.send(Inner::State { generation, snapshot: None, took: Duration::ZERO });
        }
    }

    /// The answer, or none.
    pub fn hear_state(&mut self, generation: Generation, snapshot: Option<Snapshot>, took: Duration) {
        if self.serving.as_ref().is_none_or(|serving| serving.generation != generation) {
            return;
        }
        self.last.ask_at = Some(Instant::now() + PACE.max(took * SHARE));
        let Some(snapshot) = snapshot else { return };
        debug!("the state of {} servers is known", snapshot.servers.servers.len());
        self.succession.keep_state(&snapshot);
        self.last.known = Some(snapshot);
    }

    /// For the log, where the state comes from elsewhere.
    pub fn inherit_state(&mut self, snapshot: Option<Snapshot>) {
        let snapshot = snapshot.filter(|_| self.settings.carry == CarryMode::Servers);
        if let Some(snapshot) = &snapshot {
            let (count, age) = (snapshot.servers.servers.len(), snapshot.taken.elapsed().as_secs());
            info!("the state of {count} servers was handed over, as it was {age} s ago");
        }
        self.last.inherit(snapshot);
    }
}

/// The state as text, for messages.
pub fn to_parts(snapshot: &Snapshot, longest: usize) -> Vec<String> {
    let text = snapshot.servers.to_string();
    let mut parts = vec![String::new()];
    for line in text.split_inclusive('\n') {
        match parts.last_mut() {
            Some(part) if part.len() + line.len() <= longest => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    parts
}

/// The state from the text of messages, as it was so long ago.
pub fn of_text(text: &str, age: Duration) -> Option<Snapshot> {
    let taken = Instant::now().checked_sub(age)?;
    match text.parse() {
        Ok(servers) => Some(Snapshot { servers: Arc::new(servers), taken }),
        Err(error) => {
            warn!("what was handed over is of no use: {error}");
            None
        }
    }
}
