//! A generation proves itself: its worker answers over the private socket, and its own `_getsocks` answer tells which
//! sockets it uses.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Proof};
use clearway_haproxy::configuration::{BindLines, Configuration};
use clearway_haproxy::inventory::{self, Adoption, LocalAddress, SocketIdentity};
use clearway_haproxy::runtime::{Channel, CliCommand, Info};
use clearway_haproxy::{getsocks, sockpair};
use tokio::sync::mpsc::UnboundedSender;

use crate::custody::backlog;
use crate::custody::held::Held;
use crate::custody::selection::Selection;
use crate::custody::sockets::Sockets;
use crate::cutover::neighbours;
use crate::fleet::News;
use crate::fleet::deaf::Hears;
use crate::fleet::hand_over::{AtHandOver, HANDOVER};
use crate::fleet::trial;
use crate::ground::{aside, steps};

/// What a generation has shown.
#[derive(Debug)]
pub struct Proven {
    proof: Proof,
    sockets: Sockets,
    adoption: Adoption,
    notices: Vec<String>,
}

impl Proven {
    /// Of a generation that is only tried no file is left.
    pub fn tidy(&self, hears: Hears, master: u32) {
        if hears == Hears::Nothing {
            trial::remove_unfinished(&self.sockets, [master, self.proof.worker]);
        }
    }

    /// Adds what was seen when it asked for its sockets, if it did.
    pub fn remember(&mut self, asked: Option<&AtHandOver>, lines: &BindLines<'_>) {
        let withheld = asked.map(|asked| asked.withheld.clone()).unwrap_or_default();
        self.notices = neighbours::bound_twice(lines, &self.adoption, &withheld);
        if let Some(asked) = asked {
            self.sockets = std::mem::take(&mut self.sockets).beside_others(asked.crowded.clone());
        }
    }
}

/// What a generation is offered, as plain data: to keep that must not keep a socket open that everything else lets go.
#[derive(Debug)]
pub struct Offered {
    held: Vec<SocketIdentity>,
    /// Those of them (by inode) whose order is not known.
    shuffled: HashSet<u64>,
    /// How many clients may wait there.
    limits: backlog::Known,
}

impl Offered {
    /// What is selected of these.
    pub fn of(selection: &Selection, sockets: &Sockets) -> Self {
        Self {
            held: selection.of(sockets).map(|held| held.identity.clone()).collect(),
            shuffled: sockets.shuffled().clone(),
            limits: backlog::known(selection.of(sockets)),
        }
    }

    /// Whether there is none.
    pub fn is_nothing(&self) -> bool {
        self.held.is_empty()
    }
}

/// A generation that is to prove itself.
#[derive(Debug)]
pub struct Candidate {
    /// Which.
    pub generation: Generation,
    /// HAProxy's master.
    pub master: u32,
    /// Our end of its private stats socket.
    pub stats: OwnedFd,
    /// What it was offered.
    pub offered: Offered,
    /// What clients call, for each private address.
    pub publics: HashMap<SocketAddr, SocketAddr>,
    /// What it was started from.
    pub configuration: Arc<Configuration>,
    /// `-N`.
    pub frontend_maxconn: Option<u32>,
    /// Whether it takes anything from clients.
    pub hears: Hears,
    /// How long it may take to answer.
    pub limit: Duration,
    /// What was seen when it asked for its sockets.
    pub asked: Arc<OnceLock<AtHandOver>>,
}

impl Candidate {
    /// Lets it prove itself on a thread: [`News::Answered`] and [`News::Proved`] follow, or its failure. False if there can
    /// be no thread.
    pub fn begin(self, news: UnboundedSender<News>) -> bool {
        aside::spawn("letting a generation prove itself", move || {
            let lines = BindLines::of(&self.configuration);
            let mut outcome = self.prove(&lines, &news);
            if let Ok(proven) = &mut outcome {
                proven.remember(self.asked.get(), &lines);
                proven.tidy(self.hears, self.master);
            }
            tell(&news, self.generation, outcome);
        })
    }

    /// The loop hears the worker's number as soon as it is known: what follows may fail, and a worker that accepts has to be
    /// told to drain then.
    fn prove(&self, lines: &BindLines<'_>, news: &UnboundedSender<News>) -> Result<Proven, Failure> {
        let dial = || sockpair::dial(&self.stats).map_err(|error| closed(&error));
        // Both at once, before it accepts anything: they are in its queue before clients of the user's `stats socket` fill
        // `stats maxconn`, which counts all of them together.
        let (to_ask, to_fetch) = (dial()?, dial()?);
        let info = self.ask(&to_ask)?;
        let _ = news.send(News::Answered { generation: self.generation, worker: info.pid });
        steps::at("asks", &"Sockets");
        let sockets = match getsocks::fetch(to_fetch, HANDOVER) {
            Ok(sockets) => sockets,
            // It has no listening socket at all; or it has just died, which looks the same. Were that taken for an
            // answer, the commit would close every socket in custody.
            Err(getsocks::GetsocksError::Refused) => self.ask(&dial()?).map(|_| Vec::new())?,
            Err(error @ getsocks::GetsocksError::TooManyFiles) => {
                return Err(Failure::new(ExitCode::NotReady, error.to_string()).hint(
                    "every listening socket is held twice during a reload: raise the hard limit, for example with \
                     `--ulimit nofile=65536` at `docker run` or LimitNOFILE= under systemd",
                ));
            }
            Err(error) => return Err(closed(&error)),
        };
        let sockets: Vec<Held> = sockets
            .into_iter()
            .map(Held::received)
            .collect::<Result<_, _>>()
            .map_err(|error| closed(&error))?;
        let Offered { held, shuffled, limits } = &self.offered;
        let mut sockets = Sockets::of(sockets, held, shuffled);
        sockets.all_mut().iter_mut().for_each(|held| held.complete(lines));
        let used: Vec<SocketIdentity> = sockets.all().iter().map(|held| held.identity.clone()).collect();
        let adoption = inventory::adoption(held, &used);
        let default = self.frontend_maxconn.or_else(|| info.get("Hard_maxconn")?.parse().ok());
        backlog::note(sockets.all_mut(), limits, lines, default);
        let proof = self.name(info.pid, &adoption);
        Ok(Proven { proof, sockets, adoption, notices: Vec::new() })
    }

    fn ask(&self, connection: &UnixStream) -> Result<Info, Failure> {
        let answer = CliCommand::show_info().ask(connection, Channel::Worker, self.limit);
        answer.and_then(|answer| answer.info()).map_err(|error| closed(&error))
    }

    /// The proof, with the addresses that clients call.
    fn name(&self, worker: u32, adoption: &Adoption) -> Proof {
        let name = |socket: &SocketIdentity| match &socket.address {
            LocalAddress::Ip(address) if self.publics.contains_key(address) => {
                self.publics[address].to_string()
            }
            _ => socket.to_string(),
        };
        let names = |sockets: &[SocketIdentity]| sockets.iter().map(name).collect();
        Proof {
            worker,
            adopted: names(&adoption.adopted),
            fresh: names(&adoption.fresh),
            unclaimed: names(&adoption.unclaimed),
        }
    }
}

fn closed(error: &dyn std::fmt::Display) -> Failure {
    let message = format!("HAProxy did not answer over its private socket: {error}");
    Failure { closed: true, ..Failure::new(ExitCode::NotReady, message) }
}

/// Tells the loop.
pub fn tell(news: &UnboundedSender<News>, generation: Generation, outcome: Result<Proven, Failure>) {
    let message = match outcome {
        Ok(Proven { proof, sockets, notices, .. }) => News::Proved { generation, proof, sockets, notices },
        Err(failure) => News::Event(Event::Failed { generation, failure }),
    };
    // The loop is gone only when Clearway is.
    let _ = news.send(message);
}
