//! `clearway drain`: stop the running Clearway and wait until it has ended.

use std::time::Duration;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Failure;
use hyper::{Method, StatusCode};

use crate::admin::client::{self, Wait};
use crate::admin::find::{self, Found};
use crate::admin::{UNTIL_ENDED, api};
use crate::cli::{Release, Target};

/// How often it is looked whether Clearway has ended.
const PACE: Duration = Duration::from_millis(500);

/// Asks for the stop; says what is left whenever that changes.
pub async fn drain(target: Target, release: Release) -> Result<ExitCode, Failure> {
    let found = find::find_any(&target).await?;
    let name = found.name.clone();
    if !found.is_meant_to_stop() {
        let pid = found.pid.map_or_else(|| "N".to_owned(), |pid| pid.to_string());
        let message = format!("no balancer runs here to be stopped, only its holder, {name}");
        return Err(Failure::new(ExitCode::NoInstance, message)
            .hint(format!("if it is the holder that is meant, say so: `--pid {pid}` or `--socket {name}`")));
    }
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
    // In a container we are killed by the end that we wait for: it is told to us before it comes.
    let until_ended = format!("{path}?{UNTIL_ENDED}");
    let asked = client::request(found.stream, Method::POST, &until_ended, Wait::AsLongAsItTakes);
    let progress = Progress { name: &name, pid, own_pid, json: target.json };
    let ended = tokio::select! {
        biased;
        answer = asked => match answer {
            Ok((StatusCode::OK, body)) => Some(client::understand::<api::Ended>(&body)?),
            // One of before, which does not tell its end.
            Ok((StatusCode::ACCEPTED, _)) => {
                progress.look().await;
                None
            }
            Ok((status, body)) => return Err(client::refused(path, status, &body)),
            // It may have ended before its answer was on the way; if it has not, it may not have heard.
            Err(failure) if still_there(&name, pid).is_some() => return Err(failure),
            Err(_) => None,
        },
        () = progress.look() => None,
    };
    if target.json {
        crate::say!(
            "{}",
            serde_json::json!({ "name": name, "ended": true, "code": ended.map(|ended| ended.code) })
        );
        return Ok(ExitCode::Done);
    }
    match ended.map(|ended| super::code(ended.code)) {
        None | Some(ExitCode::Done) => crate::say!("drained: {name} has ended"),
        Some(code) => {
            crate::say!("drained: {name} has ended with exit code {}: {}", code.number(), code.meaning());
        }
    }
    Ok(ExitCode::Done)
}

/// What is looked at while it drains.
struct Progress<'a> {
    name: &'a str,
    pid: Option<i32>,
    /// As it says itself.
    own_pid: Option<u32>,
    json: bool,
}

impl Progress<'_> {
    /// Says what is left whenever that changes, until it is gone.
    async fn look(&self) {
        let mut said = None;
        // What is over in a moment is not worth a line.
        let mut pause = PACE / 10;
        loop {
            tokio::time::sleep(std::mem::replace(&mut pause, PACE)).await;
            // Its socket goes when it does; another one may come in its place.
            let Some(found) = still_there(self.name, self.pid) else { return };
            // One that is slow, or cannot tell, has not ended; whether it has, its socket tells.
            let Ok((status, _)) = client::status(found.stream).await else { continue };
            if self.own_pid.is_some_and(|pid| pid != status.pid) {
                return;
            }
            let left = in_words(&status);
            if said.as_ref() != Some(&left) && !self.json {
                crate::say!("draining: {left}");
            }
            said = Some(left);
        }
    }
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
    let sessions = Count(known, "session");
    match silent {
        0 => format!("{sessions} left"),
        _ => format!("{sessions} left; {} did not answer how many", Count(silent, "generation")),
    }
}
