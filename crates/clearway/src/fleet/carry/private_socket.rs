//! The private stats socket of a generation that is about to start, and what is asked there to carry the state over.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clearway_haproxy::carry::StateCommand;
use clearway_haproxy::overlay::RateLimit;
use clearway_haproxy::runtime::{Channel, CliCommand, CliResponse, RuntimeError, batch};
use clearway_haproxy::sockpair;

/// How long it may take to lift the limit.
const OPENING: Duration = Duration::from_secs(5);

/// Our end, with connections that wait in the queue of the socket before HAProxy accepts: clients of the user's `stats
/// socket` may fill `stats maxconn`, which counts all of them together, and a connection that is made later would wait
/// behind them.
#[derive(Debug)]
pub struct PrivateSocket {
    stats: OwnedFd,
    waiting: RefCell<Vec<UnixStream>>,
}

/// Why a question or an order was in vain.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Dial(#[from] sockpair::SockpairError),
    #[error(transparent)]
    Said(#[from] RuntimeError),
}

impl Broken {
    /// Whether HAProxy has closed the socket: it has ended, or is about to.
    pub fn is_an_end(&self) -> bool {
        matches!(self, Self::Dial(_) | Self::Said(RuntimeError::Ended { .. }))
    }
}

impl PrivateSocket {
    /// Makes so many connections. Must be called before the process accepts.
    pub fn of(stats: OwnedFd, questions: usize) -> Self {
        let mut waiting: Vec<UnixStream> =
            (0..questions).map_while(|_| sockpair::dial(&stats).ok()).collect();
        // The one that is accepted first is used first.
        waiting.reverse();
        Self { stats, waiting: RefCell::new(waiting) }
    }

    /// The same without connections that wait: for many questions, beside those that must not wait. None without a descriptor.
    pub fn for_many(&self) -> Option<Self> {
        Some(Self { stats: self.stats.try_clone().ok()?, waiting: RefCell::default() })
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

    /// Gives orders, and answers with what HAProxy said to each.
    pub fn give(&self, orders: &[StateCommand], limit: Duration) -> Result<Vec<String>, Broken> {
        let commands: Vec<&str> = orders.iter().map(|order| order.command.as_str()).collect();
        self.give_all(&commands, limit)
    }

    /// The same with commands, as many in a line as fit.
    pub fn give_all(&self, commands: &[&str], limit: Duration) -> Result<Vec<String>, Broken> {
        batch::in_lines(commands, limit, |some, left| {
            self.ask(|connection| batch::ask_all(connection, some, left))
        })
    }

    /// The state of the servers, as the process has begun.
    pub fn servers_state(&self, limit: Duration) -> Result<CliResponse, Broken> {
        self.ask(|connection| CliCommand::show_servers_state().ask(connection, Channel::Worker, limit))
    }

    /// Its stick tables.
    pub fn tables(&self, limit: Duration) -> Result<CliResponse, Broken> {
        self.ask(|connection| CliCommand::show_tables().ask(connection, Channel::Worker, limit))
    }

    /// Lets it accept clients.
    pub fn lift(&self, limit: RateLimit) -> Result<(), Broken> {
        let command = CliCommand::set_rate_limit(limit, 0);
        self.ask(|connection| command.ask(connection, Channel::Worker, OPENING)?.done())
    }
}
