//! How a Clearway comes to begin: it takes the name, or the sockets of the Clearway that has it, and asks a holder what it
//! has kept. What is tried, in which order and how often is decided by the core ([`Arrival`]).

use std::sync::Arc;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::peers::arrival::{Arrival, ArrivalAction, ArrivalEvent};
use clearway_core::settings::Settings;
use clearway_core::supervisor::longest_reload;

use crate::ground::notice::tell;
use crate::ground::{aside, steps};
use crate::peers::admin_socket::AdminSocket;
use crate::peers::door::Door;
use crate::peers::given::Given;
use crate::peers::holder;
use crate::peers::notices::PeersNotice;
use crate::peers::predecessor::{self, NotGiven, Predecessor};
use crate::peers::wire::Wire;

/// A Clearway that is about to begin.
#[derive(Debug)]
pub struct Newcomer {
    /// What a predecessor gave.
    pub inherited: Option<Given>,
    /// What a holder has kept.
    pub kept: Option<Given>,
    /// The admin socket, with the lock of the name if there is no predecessor.
    pub(super) admin: AdminSocket,
    pub(super) predecessor: Option<Predecessor>,
    pub(super) holder: Option<Arc<Wire>>,
}

/// Takes the name, or the sockets of the Clearway that has it: one that dies meanwhile leaves it to this one. `meanwhile` is
/// done when another Clearway is asked, which takes a while.
pub async fn arrive(settings: &Settings, meanwhile: impl Fn()) -> Result<Newcomer, Failure> {
    let Settings { instance, run_directory, .. } = settings;
    let mut newcomer = Newcomer {
        inherited: None,
        kept: None,
        admin: AdminSocket::nowhere(instance.as_ref()),
        predecessor: None,
        holder: None,
    };
    let mut last = Failure::new(ExitCode::Internal, "nothing was tried yet");
    let mut arrival = Arrival::new(instance.is_none());
    let mut next = ArrivalAction::TakeName;
    loop {
        let heard = match next {
            ArrivalAction::TakeName => match AdminSocket::take(instance.as_ref(), run_directory) {
                Ok(admin) => {
                    newcomer.admin = admin;
                    ArrivalEvent::Taken
                }
                Err(failure) if failure.code != ExitCode::InstanceTaken => return Err(failure),
                Err(failure) => {
                    last = failure;
                    ArrivalEvent::NotFree
                }
            },
            ArrivalAction::Knock => match ask_predecessor(settings, &meanwhile).await {
                None => ArrivalEvent::NoAnswer,
                Some(Ok((predecessor, given))) => {
                    newcomer.admin.beside(run_directory);
                    (newcomer.predecessor, newcomer.inherited) = (Some(predecessor), Some(given));
                    ArrivalEvent::Given
                }
                Some(Err(why)) => {
                    let (event, failure) = heard(why);
                    last = failure;
                    event
                }
            },
            ArrivalAction::Pause(pause) => {
                tokio::time::sleep(pause).await;
                ArrivalEvent::Paused
            }
            ArrivalAction::AskHolder => {
                steps::at("asks", &"Holder");
                (newcomer.holder, newcomer.kept) = ask_holder(settings).await.unzip();
                ArrivalEvent::Asked
            }
            ArrivalAction::Begin => return Ok(newcomer),
            ArrivalAction::Leave => return Err(last),
        };
        next = arrival.hear(heard);
        if let (ArrivalAction::Pause(_), ArrivalEvent::Gone | ArrivalEvent::NotYet) = (next, heard) {
            tell(&PeersNotice::TakeoverRetried { error: last.message.clone() });
        }
    }
}

fn heard(why: NotGiven) -> (ArrivalEvent, Failure) {
    match why {
        NotGiven::Gone(failure) => (ArrivalEvent::Gone, failure),
        NotGiven::NotYet(failure) => (ArrivalEvent::NotYet, failure),
        NotGiven::Refused(failure) => (ArrivalEvent::Refused, failure),
    }
}

/// Asks the Clearway that has the name, beside the loop: it may be busy with a reload, which may take long. Unset if no
/// process is at its door.
async fn ask_predecessor(
    settings: &Settings,
    meanwhile: impl Fn(),
) -> Option<Result<(Predecessor, Given), NotGiven>> {
    let door = Door::of_balancer(settings.instance.as_ref()?, settings);
    steps::at("asks", &"Predecessor");
    let wire = match door.knock() {
        Ok(wire) => wire?,
        Err(failure) => return Some(Err(NotGiven::Refused(failure))),
    };
    meanwhile();
    let limit = longest_reload(settings.ready_timeout, settings.settle);
    let without_a_thread =
        format!("taking over from the Clearway at {door}: no thread can be started for it");
    let asked = aside::outcome_of("taking over", move || predecessor::ask(wire, &door, limit)).await;
    Some(asked.unwrap_or_else(|| {
        let failure = Failure::new(ExitCode::Internal, without_a_thread);
        Err(NotGiven::Refused(failure.hint(aside::LIMIT_REACHED)))
    }))
}

/// The holder of this instance, and what it has. Whatever is wrong with it, this Clearway begins without.
async fn ask_holder(settings: &Settings) -> Option<(Arc<Wire>, Given)> {
    let door = Door::of_holder(settings.instance.as_ref()?, settings);
    let asked = aside::outcome_of("asking the holder", move || holder::ask(&door)).await?;
    asked.map_err(|failure| tell(&PeersNotice::HolderUnusable { error: failure.message })).ok().flatten()
}
