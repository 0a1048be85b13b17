//! The asking side of a takeover: a Clearway that is started under the name of one that runs gets its listening sockets,
//! and serves instead of it. The conversation is drawn in docs/explanation/takeover.md.

use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::peers::ToPredecessor;
use tokio::sync::mpsc::UnboundedSender;

use crate::debug;
use crate::ground::aside;
use crate::ground::notice;
use crate::peers::door::Door;
use crate::peers::given::Given;
use crate::peers::message::{self, Former, Initiator, PeerMessage};
use crate::peers::news::News;
use crate::peers::notices::PeersNotice;
use crate::peers::state::Collector;
use crate::peers::wire::{PROMPT, Wire, WireError};

/// One that has given its sockets.
#[derive(Debug)]
pub struct Predecessor {
    wire: Arc<Wire>,
    /// The containers that it knows to be superseded, itself included.
    pub(super) superseded: Vec<Former>,
    /// Its Clearway's version.
    pub(super) version: String,
}

/// Why a takeover did not begin.
#[derive(Debug)]
pub enum NotGiven {
    /// It said no, or nothing that could be understood.
    Refused(Failure),
    /// Another takeover is under way there, or has just been done.
    NotYet(Failure),
    /// It is gone: its name may be free.
    Gone(Failure),
}

/// Asks the Clearway behind a door for its sockets. It answers when its own reload is over; after `limit` it is given up.
pub(super) fn ask(wire: Wire, door: &Door, limit: Duration) -> Result<(Predecessor, Given), NotGiven> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::InstanceTaken, format!("taking over from the Clearway at {door}: {error}"))
    };
    let broken = |error: WireError| match error {
        WireError::Closed => NotGiven::Gone(wrong(&error)),
        WireError::TimedOut(_) => NotGiven::Refused(wrong(&error).hint(
            "it serves and does not answer: its reload takes longer than that (`clearway status` tells, \
             `CLEARWAY_READY_TIMEOUT` is the limit), or it hangs: then end that process",
        )),
        error => NotGiven::Refused(wrong(&error)),
    };
    wire.send(&PeerMessage::hello(Initiator::Successor), &[], PROMPT).map_err(broken)?;
    let (mut collector, mut servers) = (Collector::default(), None);
    loop {
        match wire.hear(Some(limit)).map_err(broken)?.0 {
            PeerMessage::Welcome { protocol, version, sockets, origin, mut superseded } => {
                message::agree(protocol, protocol).map_err(|error| NotGiven::Refused(wrong(&error)))?;
                let sockets = wire.hear_sockets(sockets, PROMPT).map_err(broken)?;
                superseded.extend(origin.map(|origin| Former { origin, ago_ms: 0 }));
                let predecessor = Predecessor { wire: Arc::new(wire), superseded, version };
                return Ok((predecessor, Given { sockets, servers }));
            }
            PeerMessage::Servers { part, more, age_ms } => servers = collector.hear(&part, more, age_ms),
            PeerMessage::Refused { reason, hints, code, again } => {
                let code = code.and_then(ExitCode::of_number).unwrap_or(ExitCode::InstanceTaken);
                let failure = Failure { hints, code, ..wrong(&reason) };
                return Err(if again { NotGiven::NotYet(failure) } else { NotGiven::Refused(failure) });
            }
            _ => {}
        }
    }
}

impl Predecessor {
    /// Hears what it says after it has given its sockets. False if there can be no thread for that.
    pub(super) fn listen(&self, news: UnboundedSender<News>) -> bool {
        let wire = Arc::clone(&self.wire);
        aside::spawn("listening to the Clearway before this one", move || {
            loop {
                let said = match wire.hear(None) {
                    Ok((PeerMessage::Relieved, listeners)) => News::Relieved(listeners),
                    Ok((PeerMessage::Refused { reason, hints, .. }, _)) => {
                        let failure = Failure::new(ExitCode::InstanceTaken, reason);
                        News::Withdrawn(Failure { hints, ..failure })
                    }
                    Ok(_) => continue,
                    Err(error) => {
                        debug!("the conversation with the Clearway before this one is over: {error}");
                        let _ = news.send(News::PredecessorGone);
                        return;
                    }
                };
                let _ = news.send(said);
            }
        })
    }

    /// Without waiting: it hears three words in all, for which there is always room.
    pub(super) fn tell(&self, word: ToPredecessor) {
        let message = match word {
            ToPredecessor::Serving => PeerMessage::Serving,
            ToPredecessor::Settled => PeerMessage::Settled,
        };
        if let Err(error) = self.wire.say(&message, &[]) {
            notice::tell(&PeersNotice::PredecessorDeaf { error: error.to_string() });
        }
    }

    /// What was said is heard before the end.
    pub(super) fn part(&self) {
        self.wire.hang_up();
    }
}
