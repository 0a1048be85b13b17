//! What a person should look at, as the status has it: for `clearway status --check`, and for the page.

use clearway_core::supervisor::Cause;
use clearway_kernel::canary::CanaryVerdict;

use crate::front::api::{LastAttempt, RollbackStatus, Status};
use crate::front::request::Health;

/// All of it, one line each.
pub fn of(status: &Status) -> Vec<String> {
    let last = status.last_attempt.as_ref().filter(|last| last.failure.is_some());
    last.map(|last| one_line(&attempted(last))).into_iter().chain(beside_the_last_attempt(status)).collect()
}

/// The same without what the last start or reload came to.
pub fn beside_the_last_attempt(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    if let (1.., Some(last)) = (status.crashes_since_reload, &status.last_crash) {
        found.push(format!(
            "{} crash(es) since a reload was asked for, the last one {} s ago ({}): generation {} ({})",
            status.crashes_since_reload, last.seconds_ago, last.at, last.generation, last.how
        ));
    }
    let is_on_disk = status.configuration.as_ref().is_some_and(|configuration| configuration.same);
    // Files that were put back as they were are what a reload would take: nothing is left to be mended.
    if let Some(rolled_back) = status.rolled_back.as_ref().filter(|_| !is_on_disk) {
        found.push(format!("rolled back: {}", back(rolled_back)));
    }
    if let Some(configuration) = status.configuration.as_ref().filter(|configuration| !configuration.same) {
        found.push(format!("configuration: {}", configuration.words));
    }
    if status.network_gone {
        found.push(Health::NetworkGone.to_string());
    }
    found.extend(status.strangers.iter().map(|stranger| format!("stranger: {stranger}")));
    found.extend(status.obstacles.iter().map(|one| format!("in the way: {}", one.saw)));
    let broken = status.canary.iter().filter(|one| one.verdict == CanaryVerdict::Broken);
    found.extend(broken.map(|one| format!("canary: the server {}: {}", one.address, one.words)));
    found.extend(status.incomplete.iter().map(|why| format!("incomplete: {why}")));
    found.iter().map(|one| one_line(one)).collect()
}

/// How the last start or reload went, and when.
pub fn attempted(last: &LastAttempt) -> String {
    let when = last.at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
    let when = format!("{} s ago{when}", last.seconds_ago);
    let what = match last.cause {
        Cause::Start => "the start",
        Cause::Reload => "the last reload",
        Cause::Rollback => "the last rollback",
        Cause::Mend => "the reload after half of a change",
        Cause::Crash => "the start after a crash",
        Cause::Unknown => "the last start or reload",
    };
    match &last.failure {
        None if last.applied.is_some() => {
            let what = last.applied.as_deref().unwrap_or_default();
            format!("the last change was applied at run time, {when}: {what}")
        }
        None if last.cause == Cause::Crash => {
            format!("a crash started generation {}, {when}", last.generation)
        }
        None => format!("{what} succeeded, {when}"),
        Some(refused) => {
            format!("{what} DID NOT TAKE, {when}, as generation {}: {}", last.generation, refused.message)
        }
    }
}

/// What serves since a rollback.
pub fn back(rolled_back: &RollbackStatus) -> String {
    let RollbackStatus { to, from, at, seconds_ago, .. } = rolled_back;
    format!(
        "what generation {to} was started from serves again since {seconds_ago} s ({at}), in place of that of generation {from}; a \
         reload takes what is on disk"
    )
}

fn one_line(found: &str) -> String {
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}
