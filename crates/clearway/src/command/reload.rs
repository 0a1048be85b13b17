//! `clearway reload`: waits for the reload, and says what came of it.

use std::collections::HashSet;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::strategy::{Means, by_means};
use clearway_core::supervisor::Bound;
use hyper::{Method, StatusCode};

use crate::command::print::{code, list, refused};
use crate::front::client::{self, Wait};
use crate::front::find::Target;
use crate::front::{api, find};

/// Reloads the running instance.
pub async fn reload(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let (status, body) =
        client::request(found.stream, Method::POST, "/reload", Wait::AsLongAsItTakes).await?;
    if !matches!(status, StatusCode::OK | StatusCode::CONFLICT) {
        return Err(client::refused("/reload", status, &body));
    }
    let answer: api::Reloaded = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        match &answer {
            api::Reloaded::Serving {
                generation,
                worker,
                adopted,
                fresh,
                unclaimed,
                moved,
                carried,
                not_read,
                cost,
            } => {
                let others = moved.iter().filter(|one| one.by != Means::Handoff).count();
                let others = if others > 0 { format!(", {others} moved") } else { String::new() };
                crate::say!(
                    "generation {generation} serves, worker {worker}: {} taken over{others}",
                    Count(*adopted, "socket")
                );
                let Bound { new, gone, mut twice } = Bound::of(fresh, unclaimed);
                for line in not_read {
                    crate::say!("NOT READ: {line}");
                }
                list("newly bound", &new);
                list("no longer bound", &gone);
                for (means, addresses) in by_means(moved) {
                    // Those are what was taken over.
                    if means != Means::Handoff {
                        list(&means.heading(), &addresses);
                    }
                }
                if !carried.is_nothing() {
                    crate::say!("{carried}");
                }
                let moved: HashSet<_> = moved.iter().map(|one| &one.address).collect();
                twice.retain(|one| !moved.contains(one));
                list("bound a second time (a specific IPv6 address needs `v6only` to be taken over)", &twice);
                if let Some(cost) = cost {
                    crate::say!("cost: {cost}");
                }
            }
            api::Reloaded::Refused(why) => refused("the reload did not take", why),
            api::Reloaded::Tried { .. } | api::Reloaded::Stopping => {
                crate::complain!("clearway: it is stopping and reloads no more");
            }
        }
    }
    Ok(code(answer.exit_code()))
}
