//! `clearway drain`: stop the running Clearway and wait until it has ended.

use std::time::Duration;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::cli::Release;
use crate::command::print::code;
use crate::front::answers::doing::UNTIL_ENDED;
use crate::front::api;
use crate::front::client::{self, Wait};
use crate::front::find::Target;
use crate::front::find::{self, Found};

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
    let mut asked = std::pin::pin!(asked);
    // That its name is gone, or another one's, is not its end: the answer is, or that the connection breaks.
    let answer = tokio::select! {
        biased;
        answer = &mut asked => answer,
        () = progress.look() => asked.await,
    };
    match &answer {
        // One of before, which does not tell its end.
        Ok((StatusCode::ACCEPTED, _)) => progress.look().await,
        // If it has not ended, it may not have heard.
        Err(_) if still_there(&name, pid).is_some() => return answer.map(|_| ExitCode::Done),
        _ => {}
    }
    let ended = end_of(&name, path, answer)?;
    if target.json {
        crate::say!("{}", serde_json::json!({ "name": name, "ended": true, "code": ended.code }));
        return Ok(ExitCode::Done);
    }
    match code(ended.code) {
        code if code.is_done() => crate::say!("drained: {name} has ended"),
        code => {
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

/// How it has ended, as it said itself. It has not drained if it was killed meanwhile, and only its answer tells.
fn end_of(
    name: &str,
    path: &str,
    answer: Result<(StatusCode, Vec<u8>), Failure>,
) -> Result<api::Ended, Failure> {
    match answer {
        Ok((StatusCode::OK, body)) => client::understand(&body),
        Ok((StatusCode::ACCEPTED, _)) | Err(_) => {
            let message = format!(
                "{name} has ended and did not say how: whether it drained, or was killed with sessions open, is not known"
            );
            Err(Failure::new(ExitCode::NoInstance, message)
                .hint("its log says how far it came")
                .hint("`docker inspect -f '{{.State}}' CONTAINER`, or `systemctl status`, says how it ended"))
        }
        Ok((status, body)) => Err(client::refused(path, status, &body)),
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
pub(super) fn in_words(status: &api::Status) -> String {
    let known = status.generations.iter().filter_map(|one| one.sessions).fold(0, u64::saturating_add);
    let silent = status.generations.iter().filter(|one| one.sessions.is_none()).count();
    let sessions = Count(known, "session");
    match silent {
        0 => format!("{sessions} left"),
        _ => format!("{sessions} left; {} did not answer how many", Count(silent, "generation")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_says_that_it_has_drained() {
        let end = |answer| end_of("@clearway/web", "/drain", answer);
        assert_eq!(end(Ok((StatusCode::OK, br#"{"code": 0}"#.to_vec()))).unwrap().code, 0);
        let broken = Err(Failure::new(ExitCode::Internal, "broken".to_owned()));
        for unknown in [broken, Ok((StatusCode::ACCEPTED, Vec::new()))] {
            let failure = end(unknown).unwrap_err();
            assert_eq!(failure.code, ExitCode::NoInstance);
            assert!(
                failure.message.starts_with("@clearway/web has ended and did not say how"),
                "{failure:?}"
            );
            assert!(failure.hints[0].contains("log"), "{failure:?}");
        }
        let refused = end(Ok((StatusCode::SERVICE_UNAVAILABLE, b"ending".to_vec()))).unwrap_err();
        assert!(refused.message.contains("refused"), "{refused:?}");
    }
}
