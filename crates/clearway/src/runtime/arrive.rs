//! Coming under the name of an instance: taking it, or the sockets of the Clearway that has it, or those of a holder.

use std::time::Duration;

use clearway_core::arrival::{Arrival, Heard};
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::settings::Settings;
use clearway_core::supervisor::longest_reload;

use crate::ground::notice::tell;
use crate::ground::{aside, steps};
use crate::peers::hold;
use crate::peers::place::Place;
use crate::peers::succession::door;
use crate::peers::takeover::{self, Inheritance, Kept, NotGiven};
use crate::peers::wire::{Door, Wire};
use crate::runtime::notices::RuntimeNotice;

/// Takes the name, or the sockets of the Clearway that has it: one that dies meanwhile leaves it to us. How often that is tried, the
/// core says ([`Arrival`]).
pub async fn begin(settings: &Settings) -> Result<(Place, Option<Inheritance>), Failure> {
    let (instance, directory) = (settings.instance.as_ref(), &settings.run_directory);
    // It answers when its own reload is over.
    let patience = longest_reload(settings.ready_timeout, settings.settle);
    let mut arrival = Arrival::default();
    loop {
        let taken = match Place::take(instance, directory) {
            Ok(place) => return Ok((place, None)),
            Err(failure) => failure,
        };
        let Some(name) = instance.filter(|_| taken.code == ExitCode::InstanceTaken) else {
            return Err(taken);
        };
        let door = door(name.as_str(), settings);
        steps::at("asks", &"Predecessor");
        let (heard, failure) = match takeover::knock(&door)? {
            None => (Heard::Nobody, taken),
            Some(wire) => match ask(wire, door, patience).await {
                Ok(inheritance) => return Ok((Place::beside(name, directory), Some(inheritance))),
                Err(NotGiven::Gone(failure)) => (Heard::Gone, failure),
                Err(NotGiven::NotYet(failure)) => (Heard::NotYet, failure),
                Err(NotGiven::Refused(failure)) => return Err(failure),
            },
        };
        let Some(pause) = arrival.hear(heard) else { return Err(failure) };
        if heard != Heard::Nobody {
            tell(&RuntimeNotice::TakeoverRetried { error: failure.message });
        }
        tokio::time::sleep(pause).await;
    }
}

/// Asks for the sockets, beside the loop: it may be busy with a reload, which may take long.
async fn ask(wire: Wire, door: Door, limit: Duration) -> Result<Inheritance, NotGiven> {
    let without_a_thread =
        format!("taking over from the Clearway at {door}: no thread can be started for it");
    let asked = aside::outcome_of("taking over", move || takeover::ask(wire, &door, limit)).await;
    asked.unwrap_or_else(|| {
        let failure = Failure::new(ExitCode::Internal, without_a_thread);
        Err(NotGiven::Refused(failure.hint(aside::LIMIT_REACHED)))
    })
}

/// The holder of this instance, and what it has. If anything is wrong with it, we begin without.
pub async fn ask_holder(settings: &Settings) -> Option<Kept> {
    let name = settings.instance.as_ref()?;
    let door = hold::door(name.as_str(), settings);
    let asked = aside::outcome_of("asking the holder", move || takeover::ask_holder(&door)).await?;
    asked.map_err(|failure| tell(&RuntimeNotice::HolderUnusable { error: failure.message })).ok().flatten()
}
