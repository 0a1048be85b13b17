//! `clearway drain`: stop the running Clearway and wait until it has ended.

use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Failure;
use hyper::{Method, StatusCode};

use crate::admin::api;
use crate::admin::client::{self, Wait};
use crate::admin::find::{self, Found};
use crate::cli::{Release, Target};

/// How often it is looked whether Clearway has ended.
const PACE: Duration = Duration::from_millis(500);

/// Asks for the stop; says what is left whenever that changes.
pub async fn drain(target: Target, release: Release) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let name = found.name.clone();
    // In a container that was superseded, the abstract name is its successor's.
    if !found.is_here() {
        let message = format!("{name} is the Clearway of another container: it is not stopped from here");
        return Err(Failure::new(ExitCode::NoInstance, message)
            .hint("stop a container with `docker stop`, or run this inside the one that is meant"));
    }
    // As the socket says it, in our PID namespace, and as it says itself, in its own. One that cannot say how it is can
    // still be told to drain.
    let pid = found.pid;
    let own_pid = client::status(found.stream).await.ok().map(|(status, _)| status.pid);
    let Some(found) = still_there(&name, pid) else { return Err(gone(&name)) };
    let path = if release == Release::AtOnce { "/release" } else { "/drain" };
    match client::request(found.stream, Method::POST, path, Wait::Briefly).await {
        Ok((StatusCode::ACCEPTED, _)) => {}
        Ok((status, body)) => return Err(client::refused(path, status, &body)),
        // It may have ended before its answer was on the way; if it has not, it may not have heard.
        Err(failure) if still_there(&name, pid).is_some() => return Err(failure),
        Err(_) => {}
    }
    let mut said = None;
    // Its socket goes when it does; another one may come in its place.
    while let Some(found) = still_there(&name, pid) {
        // One that is slow, or cannot tell, has not ended; whether it has, its socket tells.
        if let Ok((status, _)) = client::status(found.stream).await {
            if own_pid.is_some_and(|pid| pid != status.pid) {
                break;
            }
            let left = in_words(&status);
            if said.as_ref() != Some(&left) && !target.json {
                crate::say!("draining: {left}");
            }
            said = Some(left);
        }
        tokio::time::sleep(PACE).await;
    }
    if !target.json {
        crate::say!("drained: {name} has ended");
    }
    Ok(ExitCode::Done)
}

fn gone(name: &str) -> Failure {
    Failure::new(ExitCode::NoInstance, format!("{name} has ended before it could be asked to drain"))
}

/// The Clearway of this name, if it is still the same process.
fn still_there(name: &str, pid: Option<i32>) -> Option<Found> {
    find::at(name).filter(|found| found.pid == pid)
}

/// How many sessions are left, as far as they are known.
fn in_words(status: &api::Status) -> String {
    let known: u64 = status.generations.iter().filter_map(|one| one.sessions).sum();
    let silent = status.generations.iter().filter(|one| one.sessions.is_none()).count();
    match silent {
        0 => format!("{known} session(s) left"),
        _ => format!("{known} session(s) left, and {silent} generation(s) that do not say how many"),
    }
}
