//! `clearway drain`: stop the running Clearway and wait until it has ended.

use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Failure;
use hyper::{Method, StatusCode};

use crate::admin::client::{self, Wait};
use crate::admin::{api, find};
use crate::cli::{Release, Target};

/// How often it is looked whether Clearway has ended.
const PACE: Duration = Duration::from_millis(500);

/// Asks for the stop; says what is left whenever that changes.
pub async fn drain(target: Target, release: Release) -> Result<ExitCode, Failure> {
    let found = find::find(&target.settings)?;
    let name = found.name.clone();
    // In a container that was superseded, the abstract name is its successor's.
    if !found.is_here() {
        let message = format!("{name} is the Clearway of another container: it is not stopped from here");
        return Err(Failure::new(ExitCode::NoInstance, message)
            .hint("stop a container with `docker stop`, or run this inside the one that is meant"));
    }
    let (_, body) = client::request(found.stream, Method::GET, "/status", Wait::Briefly).await?;
    let pid = super::understand::<api::Status>(&body)?.pid;
    let Some(found) = find::at(&name) else { return Err(gone(&name)) };
    let path = if release == Release::AtOnce { "/release" } else { "/drain" };
    let (status, _) = client::request(found.stream, Method::POST, path, Wait::Briefly).await?;
    if status != StatusCode::ACCEPTED {
        return Err(Failure::new(ExitCode::NoInstance, format!("{name} refused to drain: {status}")));
    }
    let mut said = None;
    loop {
        // Its socket goes when it does; another one may come in its place.
        let Some(found) = find::at(&name) else { break };
        let Ok((_, body)) = client::request(found.stream, Method::GET, "/status", Wait::Briefly).await else {
            // One that is slow has not ended; whether it has, its socket tells.
            tokio::time::sleep(PACE).await;
            continue;
        };
        let status: api::Status = super::understand(&body)?;
        if status.pid != pid {
            break;
        }
        let left = in_words(&status);
        if said.as_ref() != Some(&left) && !target.json {
            crate::say!("draining: {left}");
        }
        said = Some(left);
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

/// How many sessions are left, as far as they are known.
fn in_words(status: &api::Status) -> String {
    let known: u64 = status.generations.iter().filter_map(|one| one.sessions).sum();
    let silent = status.generations.iter().filter(|one| one.sessions.is_none()).count();
    match silent {
        0 => format!("{known} session(s) left"),
        _ => format!("{known} session(s) left, and {silent} generation(s) that do not say how many"),
    }
}
