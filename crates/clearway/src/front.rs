//! Requests: the admin socket and the API, their answers, and the clients that wait for one.
//!
//! ```text
//!   a client -> admin, public (routes) -> answers -> Request -> Front::hear -> an event for the core ... Front::answer -> the client
//!                                               '-> View -> a thread, if HAProxy has to be asked ----> the client
//! ```
//!
//! [`find`] and [`client`] are the other end, for the subcommands.

pub mod admin;
pub mod answers;
pub mod api;
pub mod client;
pub mod clients;
mod configuration;
mod ending;
pub mod events;
pub mod find;
pub mod findings;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod master_cli;
pub mod notices;
pub mod page;
mod patience;
pub mod public;
pub mod request;
pub mod view;

use std::collections::HashMap;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Action, Answer, Asker, Event, RequestId};
use tokio::sync::{mpsc, oneshot};

use crate::fleet::Fleet;
use crate::peers::ServeAdmin;
use crate::tell::cost::CostPromise;
use crate::tell::events::Events;
use admin::AdminServer;
use clients::Clients;
use ending::Ending;
use events::followers::Followers;
use master_cli::MasterCli;
use master_cli::record::{MasterCliPast, reloaded};
use master_cli::socket::MasterCliPlace;
use public::{PublicApi, PublicPlaces};
use request::{ReloadOutcome, Request, Wishes};
use view::View;

/// How many requests may wait for the loop.
const MOST: usize = 64;

/// What waits for the answer of the core.
#[derive(Debug)]
enum WaitingClient {
    /// A client of the admin socket.
    Admin(oneshot::Sender<ReloadOutcome>),
    /// One of the master CLI.
    MasterCli(oneshot::Sender<String>),
}

/// The requests that were not answered yet.
#[derive(Debug)]
pub struct Front {
    sender: Wishes,
    clients: Clients,
    followers: Followers,
    requests: mpsc::Receiver<Request>,
    /// What waits for a reload or a trial, by the number under which the core knows it.
    waiting: HashMap<RequestId, WaitingClient>,
    last: u64,
    /// What waits until a generation is gone.
    ending: Vec<Ending>,
    /// What waits until this Clearway ends.
    until_ended: Vec<oneshot::Sender<api::Ended>>,
    /// The master CLI, if there is one.
    master_cli: MasterCli,
    /// The API, if there is one.
    public: PublicApi,
    /// What the master CLI tells of the past.
    record: MasterCliPast,
    /// Whether what keeps the sockets shall let go of them at the stop.
    releases: bool,
}

impl Front {
    /// Nothing was asked yet. `addresses`: where the master CLI is to listen, `places`: where the API is, `events`: what followers
    /// are given.
    pub fn new(addresses: Vec<MasterCliPlace>, places: PublicPlaces, events: Events) -> Self {
        let (sender, requests) = mpsc::channel(MOST);
        Self {
            master_cli: MasterCli::new(addresses, sender.clone()),
            public: PublicApi::new(places, sender.clone()),
            record: MasterCliPast::new(),
            sender,
            clients: Clients::default(),
            followers: Followers::new(events),
            requests,
            waiting: HashMap::new(),
            last: 0,
            ending: Vec::new(),
            until_ended: Vec::new(),
            releases: false,
        }
    }

    /// What serves the admin sockets of this Clearway.
    pub fn server(&self) -> Box<dyn ServeAdmin> {
        Box::new(AdminServer::new(self.sender.clone(), self.clients.clone()))
    }

    /// Listens as a master CLI and for the API; where a predecessor serves, only when it does not any more.
    pub fn begin(&mut self, has_predecessor: bool) -> Result<(), Failure> {
        self.public.begin(has_predecessor);
        self.master_cli.begin(has_predecessor)
    }

    /// What is about to be carried out.
    pub fn note(&mut self, action: &Action, fleet: &Fleet) {
        self.record.hear(action, || fleet.version_text(), |generation| fleet.said_by(generation));
        self.master_cli.hear(action, |generation| fleet.has_programs(generation));
        self.public.hear(action);
    }

    /// What is asked next. Never ends.
    pub async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await, // there is a sender here: only after the end
        }
    }

    /// Answers what can be answered at once or beside the loop; what the core has to decide is an event.
    pub fn hear(&mut self, request: Request, view: &View<'_>) -> Event {
        match request {
            Request::Status(sender) => view.answer_status(sender),
            Request::Health(sender) => view.answer_health(sender),
            Request::Alive(sender) => drop(sender.send(())),
            Request::Ready(sender) => view.answer_ready(sender),
            Request::Sockets(sender) => view.list_sockets(sender),
            Request::Servers(sender) => view.list_servers(sender),
            // It changes something in another room: the shell has it done.
            Request::AskCanary(sender) => drop(sender),
            Request::Metrics(haproxy, sender) => view.answer_metrics(haproxy, sender),
            Request::Sessions(only, sender) => view.list_sessions(only, sender),
            Request::Reloads(sender) => drop(sender.send(view.reloads())),
            Request::Follow { had, pid, sender } => drop(sender.send(self.followers.admit(had, pid))),
            Request::Processes(sender) => drop(sender.send(view.reachable(&self.record))),
            Request::StartupLogs(sender) => drop(sender.send(self.record.startup_logs())),
            Request::Ended(sender) => {
                self.until_ended.retain(|one| !one.is_closed());
                self.until_ended.push(sender);
            }
            Request::Try(sender) => {
                return Event::TrialAsked(self.await_answer(WaitingClient::Admin(sender)));
            }
            Request::Rollback(sender) => {
                return Event::RollbackAsked(self.await_answer(WaitingClient::Admin(sender)));
            }
            Request::Apply(sender) => {
                return Event::ApplyAsked(self.await_answer(WaitingClient::Admin(sender)));
            }
            Request::Plan(sender) => view.answer_plan(sender),
            Request::Configuration(generation, sender) => view.answer_configuration(generation, sender),
            Request::Difference(generation, sender) => view.answer_difference(generation, sender),
            Request::Reload(sender) => return self.ask_reload(WaitingClient::Admin(sender)),
            Request::ReloadAsMaster(sender) => return self.ask_reload(WaitingClient::MasterCli(sender)),
            Request::End(number, sender) => match view.may_end(number) {
                Ok(generation) => {
                    self.await_end(generation, sender);
                    return Event::EndAsked(generation);
                }
                Err(refused) => drop(sender.send(refused)),
            },
            Request::Drain { release } => {
                self.releases |= release;
                return Event::StopAsked(Asker::Drain);
            }
        }
        Event::TimePassed
    }

    fn ask_reload(&mut self, waiting: WaitingClient) -> Event {
        Event::ReloadAsked(Asker::Admin(self.await_answer(waiting)))
    }

    fn await_answer(&mut self, waiting: WaitingClient) -> RequestId {
        self.last += 1;
        let request = RequestId(self.last);
        self.waiting.insert(request, waiting);
        request
    }

    /// What came of a reload or a trial; its client may have gone. That of one that serves is sent when it is known what it
    /// cost, or a moment later.
    pub fn answer(&mut self, request: RequestId, answer: Answer, fleet: &Fleet, cost: CostPromise) {
        match self.waiting.remove(&request) {
            Some(WaitingClient::Admin(sender)) => {
                let mut outcome = ReloadOutcome { answer, not_read: fleet.not_read().to_vec(), cost: None };
                if !matches!(outcome.answer, Answer::Serving { .. } | Answer::Applied { .. }) {
                    return drop(sender.send(outcome));
                }
                tokio::spawn(async move {
                    outcome.cost = cost.kept().await;
                    drop(sender.send(outcome));
                });
            }
            Some(WaitingClient::MasterCli(sender)) => {
                drop(sender.send(reloaded(&answer, |generation| fleet.said_by(generation))));
            }
            None => {}
        }
    }

    fn await_end(&mut self, generation: Generation, sender: oneshot::Sender<api::EndOf>) {
        self.ending.retain(|one| !one.is_closed());
        self.ending.push(Ending::new(generation, sender));
    }

    /// A generation that is about to be cut has said how many sessions it has.
    pub fn note_what_is_cut(&mut self, generation: Generation, sessions: Option<u64>) {
        self.ending.iter_mut().for_each(|one| one.note(generation, sessions));
    }

    /// A generation is gone.
    pub fn gone(&mut self, generation: Generation) {
        self.record.gone(generation);
        self.ending.extract_if(.., |one| one.is_of(generation)).for_each(Ending::tell);
    }

    /// Whether a client has asked that the sockets be closed at the stop, also by what keeps them for a next Clearway.
    pub fn releases(&self) -> bool {
        self.releases
    }

    /// Clearway ends: what was not decided yet is not answered any more, and what waits for the end is told. What follows events
    /// is given the last ones.
    pub fn end(&mut self, code: ExitCode) {
        self.followers.end();
        self.master_cli.close();
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        self.waiting.clear();
        self.ending.clear();
        for sender in self.until_ended.drain(..) {
            let _ = sender.send(api::Ended { code: code.number() });
        }
        self.public.end();
    }

    /// Waits until the clients that wait, or were just answered, are gone, and those that follow have had the last event; not
    /// for long.
    pub async fn let_go(&self) {
        tokio::join!(self.clients.let_go(), self.public.let_go(), self.followers.let_go());
    }
}
