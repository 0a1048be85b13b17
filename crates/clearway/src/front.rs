//! Requests: the admin socket, its answers, and the clients that wait for one.
//!
//! ```text
//!   a client -> admin (routes) -> Request -> Front::hear -> an event for the core ... Front::answer -> the client
//!                                               '-> View -> a thread, if HAProxy has to be asked ----> the client
//! ```
//!
//! [`find`] and [`client`] are the other end, for the subcommands.

pub mod admin;
pub mod api;
pub mod client;
pub mod clients;
mod ending;
pub mod find;
pub mod request;
pub mod view;

use std::collections::HashMap;

use clearway_core::exit::ExitCode;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Answer, Asker, Event, RequestId};
use tokio::sync::{mpsc, oneshot};

use crate::peers::ServeAdmin;
use admin::{AdminServer, Wishes};
use clients::Clients;
use ending::Ending;
use request::{ReloadOutcome, Request};
use view::View;

/// How many requests may wait for the loop.
const MOST: usize = 64;

/// The requests that were not answered yet.
#[derive(Debug)]
pub struct Front {
    sender: Wishes,
    clients: Clients,
    requests: mpsc::Receiver<Request>,
    /// What waits for a reload or a trial, by the number under which the core knows it.
    waiting: HashMap<RequestId, oneshot::Sender<ReloadOutcome>>,
    last: u64,
    /// What waits until a generation is gone.
    ending: Vec<Ending>,
    /// What waits until this Clearway ends.
    until_ended: Vec<oneshot::Sender<api::Ended>>,
    /// Whether what keeps the sockets shall let go of them at the stop.
    releases: bool,
}

impl Front {
    /// Nothing was asked yet.
    pub fn new() -> Self {
        let (sender, requests) = mpsc::channel(MOST);
        Self {
            sender,
            clients: Clients::default(),
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
            Request::Sessions(only, sender) => view.list_sessions(only, sender),
            Request::Ended(sender) => {
                self.until_ended.retain(|one| !one.is_closed());
                self.until_ended.push(sender);
            }
            Request::Try(sender) => return Event::TrialAsked(self.await_answer(sender)),
            Request::Reload(sender) => {
                return Event::ReloadAsked(Asker::Admin(self.await_answer(sender)));
            }
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

    fn await_answer(&mut self, sender: oneshot::Sender<ReloadOutcome>) -> RequestId {
        self.last += 1;
        let request = RequestId(self.last);
        self.waiting.insert(request, sender);
        request
    }

    /// What came of a reload or a trial; its client may have gone.
    pub fn answer(&mut self, request: RequestId, answer: Answer, not_read: &[String]) {
        if let Some(sender) = self.waiting.remove(&request) {
            let _ = sender.send(ReloadOutcome { answer, not_read: not_read.to_vec() });
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
        self.ending.extract_if(.., |one| one.is_of(generation)).for_each(Ending::tell);
    }

    /// Whether a client has asked that the sockets be closed at the stop, also by what keeps them for a next Clearway.
    pub fn releases(&self) -> bool {
        self.releases
    }

    /// Clearway ends: what was not decided yet is not answered any more, and what waits for the end is told.
    pub fn end(&mut self, code: ExitCode) {
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        self.waiting.clear();
        self.ending.clear();
        for sender in self.until_ended.drain(..) {
            let _ = sender.send(api::Ended { code: code.number() });
        }
    }

    /// Waits until the clients that wait, or were just answered, are gone; not for long.
    pub async fn let_go(&self) {
        self.clients.let_go().await;
    }
}
