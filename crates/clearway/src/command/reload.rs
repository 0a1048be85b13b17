//! `clearway reload`, `clearway apply` and `clearway rollback`: waits until it is done, and says what came of it.

use std::collections::HashSet;

use clearway_core::cost::Cost;
use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::strategy::{Means, by_means};
use clearway_core::supervisor::{Bound, LifePhase};
use hyper::{Method, StatusCode};

use crate::command::print::{code, list, refused};
use crate::front::client::{self, Wait};
use crate::front::find::Target;
use crate::front::{api, find};

/// Reloads the running instance.
pub async fn reload(target: Target) -> Result<ExitCode, Failure> {
    ask(target, "/reload", "").await
}

/// Lets what served before serve again.
pub async fn rollback(target: Target) -> Result<ExitCode, Failure> {
    ask(target, "/v1/rollback", "nothing was rolled back: ").await
}

pub(super) async fn ask(target: Target, path: &str, refusal: &str) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let name = found.name.clone();
    let (status, body) = client::request(found.stream, Method::POST, path, Wait::AsLongAsItTakes).await?;
    match status {
        StatusCode::OK | StatusCode::CONFLICT => {}
        StatusCode::NOT_FOUND => return Err(client::too_early(&name, path)),
        _ => return Err(client::refused(path, status, &body)),
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
                rolled_back,
                not_applied,
            } => {
                if !not_applied.is_empty() {
                    crate::say!("not applied at run time, so it was a reload: {}", not_applied.join("; "));
                }
                let others = moved.iter().filter(|one| one.by != Means::Handoff).count();
                let others = if others > 0 { format!(", {others} moved") } else { String::new() };
                crate::say!(
                    "generation {generation} serves, worker {worker}: {} taken over{others}",
                    Count(*adopted, "socket")
                );
                if let Some(api::RollbackStatus { to, from, note, .. }) = rolled_back {
                    crate::say!(
                        "rolled back to what generation {to} was started from, in place of that of generation {from}: {note}"
                    );
                    crate::say!(
                        "what is on disk is read at the next reload: `clearway diff` shows what that would change"
                    );
                }
                let Bound { new, gone, mut twice } = Bound::of(fresh, unclaimed);
                say_what_is_not_read(not_read);
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
                say_cost(cost.as_deref());
            }
            api::Reloaded::Applied { serving, changes, commands, not_read, cost, .. } => {
                crate::say!("{}", applied(*serving, changes.as_deref(), *commands));
                say_what_is_not_read(not_read);
                say_cost(cost.as_deref());
            }
            api::Reloaded::Refused(why) => failed(&target, refusal, why).await,
            api::Reloaded::Tried { .. } | api::Reloaded::Stopping => {
                crate::complain!("clearway: it is stopping and reloads no more");
            }
        }
    }
    Ok(code(answer.exit_code()))
}

fn say_what_is_not_read(lines: &[String]) {
    for line in lines {
        crate::say!("NOT READ: {line}");
    }
}

fn say_cost(cost: Option<&Cost>) {
    if let Some(cost) = cost {
        crate::say!("cost: {cost}");
    }
}

/// What was done without a reload.
fn applied(serving: u32, changes: Option<&str>, commands: usize) -> String {
    match changes {
        None => format!("nothing to do: generation {serving} has what is on disk"),
        Some(changes) => format!(
            "applied at run time: {changes} ({}; generation {serving} goes on serving)",
            Count(commands, "command")
        ),
    }
}

/// Says why it failed, and what serves: as the log does. Which generation it was to be is in the status, if no other attempt has
/// been decided since.
async fn failed(target: &Target, refusal: &str, why: &api::Refused) {
    let status = status(target).await;
    let is_it = |last: &&api::LastAttempt| {
        last.failure.as_ref().is_some_and(|failure| failure.message == why.message)
    };
    match status.as_ref().and_then(|status| status.last_attempt.as_ref().filter(is_it)) {
        Some(last) => {
            let serving = status.as_ref().and_then(serving);
            let still = serving.map(|serving| format!("; generation {serving} is still serving"));
            let message = why.message.clone() + &still.unwrap_or_default();
            let why = api::Refused { message, ..why.clone() };
            refused(&format!("{refusal}generation {} failed", last.generation), &why);
        }
        None if refusal.is_empty() => refused("the reload failed", why),
        None => refused(refusal.trim_end_matches(": "), why),
    }
}

async fn status(target: &Target) -> Option<api::Status> {
    let found = find::find(target).await.ok()?;
    client::status(found.stream).await.ok().map(|(status, _)| status)
}

fn serving(status: &api::Status) -> Option<u32> {
    let serving = status.generations.iter().find(|one| one.state == LifePhase::Serving);
    serving.map(|one| one.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_is_told_in_one_line() {
        let told = applied(1, Some("3 servers added, 1 certificate"), 14);
        assert_eq!(
            told,
            "applied at run time: 3 servers added, 1 certificate (14 commands; generation 1 goes on serving)"
        );
        assert_eq!(applied(1, None, 0), "nothing to do: generation 1 has what is on disk");
    }
}
