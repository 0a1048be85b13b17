//! A generation proves itself: its worker answers over the private socket, and its own `_getsocks` answer tells which
//! sockets it uses.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Proof};
use clearway_haproxy::configuration::BindLines;
use clearway_haproxy::inventory::{self, Adoption, LocalAddress, SocketIdentity};
use clearway_haproxy::runtime::{Channel, CliCommand};
use clearway_haproxy::{getsocks, sockpair};
use tokio::sync::mpsc::UnboundedSender;

use crate::custody::backlog;
use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::neighbours;
use crate::fleet::News;
use crate::fleet::hand_over::{Asked, HANDOVER};
use crate::fleet::prepare::Hears;
use crate::fleet::trial;
use crate::ground::steps;

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
    pub fn remember(&mut self, asked: Option<&Asked>, lines: &BindLines<'_>) {
        let withheld = asked.map(|asked| asked.withheld.clone()).unwrap_or_default();
        self.notices = neighbours::bound_twice(lines, &self.adoption, &withheld);
        if let Some(asked) = asked {
            self.sockets = std::mem::take(&mut self.sockets).beside_others(asked.crowded.clone());
        }
    }
}

/// What it is compared with.
#[derive(Debug)]
pub struct Expected<'a> {
    /// What it was offered.
    pub held: &'a [SocketIdentity],
    /// Those of them whose order is not known.
    pub shuffled: &'a HashSet<u64>,
    /// How many clients may wait there.
    pub limits: &'a backlog::Known,
    /// What it was started from.
    pub lines: &'a BindLines<'a>,
    /// What clients call, for each private address.
    pub publics: &'a HashMap<SocketAddr, SocketAddr>,
    /// `-N`.
    pub frontend_maxconn: Option<u32>,
}

/// `answered` hears the worker's number as soon as it is known: what follows may fail, and whoever accepts has to be
/// told to drain then.
pub fn prove(
    stats: &OwnedFd,
    expected: &Expected<'_>,
    limit: Duration,
    answered: &dyn Fn(u32),
) -> Result<Proven, Failure> {
    let Expected { held, limits, shuffled, lines, publics, frontend_maxconn } = *expected;
    let closed = |error: &dyn std::fmt::Display| Failure {
        closed: true,
        ..Failure::new(ExitCode::NotReady, format!("HAProxy did not answer over its private socket: {error}"))
    };
    let ask = |connection: UnixStream| {
        let answer = CliCommand::show_info().ask(&connection, Channel::Worker, limit);
        answer.and_then(|answer| answer.info()).map_err(|error| closed(&error))
    };
    // Both at once, before it accepts anything: they are in its queue before clients of the user's `stats socket` fill
    // `stats maxconn`, which counts all of them together.
    let (to_ask, to_fetch) = (
        sockpair::dial(stats).map_err(|error| closed(&error))?,
        sockpair::dial(stats).map_err(|error| closed(&error))?,
    );
    let info = ask(to_ask)?;
    answered(info.pid);
    steps::at("asks", &"Sockets");
    let sockets = match getsocks::fetch(to_fetch, HANDOVER) {
        Ok(sockets) => sockets,
        // It has no listening socket at all; or it has just died, which looks the same. Were that taken for an
        // answer, the commit would close every socket in custody.
        Err(getsocks::GetsocksError::Refused) => {
            let again = sockpair::dial(stats).map_err(|error| closed(&error))?;
            ask(again).map(|_| Vec::new())?
        }
        Err(error @ getsocks::GetsocksError::TooManyFiles) => {
            return Err(Failure::new(ExitCode::NotReady, error.to_string()).hint(
                "every listening socket is held twice during a reload: raise the hard limit, for example with \
                 `--ulimit nofile=65536` at `docker run` or LimitNOFILE= under systemd",
            ));
        }
        Err(error) => return Err(closed(&error)),
    };
    let sockets: Vec<Held> =
        sockets.into_iter().map(Held::received).collect::<Result<_, _>>().map_err(|error| closed(&error))?;
    let mut sockets = Sockets::of(sockets, held, shuffled);
    sockets.all_mut().iter_mut().for_each(|held| held.complete(lines));
    let used: Vec<SocketIdentity> = sockets.all().iter().map(|held| held.identity.clone()).collect();
    let adoption = inventory::adoption(held, &used);
    let default = frontend_maxconn.or_else(|| info.get("Hard_maxconn")?.parse().ok());
    backlog::note(sockets.all_mut(), limits, lines, default);
    let name = |socket: &SocketIdentity| match &socket.address {
        LocalAddress::Ip(address) if publics.contains_key(address) => publics[address].to_string(),
        _ => socket.to_string(),
    };
    let names = |sockets: &[SocketIdentity]| sockets.iter().map(name).collect();
    let proof = Proof {
        worker: info.pid,
        adopted: names(&adoption.adopted),
        fresh: names(&adoption.fresh),
        unclaimed: names(&adoption.unclaimed),
    };
    Ok(Proven { proof, sockets, adoption, notices: Vec::new() })
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
