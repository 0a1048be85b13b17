//! `clearway events`: follows what happens to the running Clearway, for people or as JSON.
//!
//! It ends with that Clearway, and does not follow its successor after a takeover: which one is asked is said once.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::front::client;
use crate::front::events::followers::HEARTBEAT;
use crate::front::find::{self, Target};
use crate::tell::events::LastHad;
use crate::tell::rendered;

const PATH: &str = "/v1/events";

/// How long nothing may be heard: some heartbeats.
const SILENCE: Duration = HEARTBEAT.saturating_mul(4);

/// The longest event that is read.
const LONGEST: usize = 1 << 20;

/// Follows until Clearway ends, or this is told to.
pub async fn events(target: Target, had: Option<LastHad>) -> Result<ExitCode, Failure> {
    // Also where this is the first process of a container, which has no default actions.
    let handler = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(ExitCode::Internal, format!("installing a signal handler: {error}"))
        })
    };
    let (mut interrupt, mut terminate) =
        (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    tokio::select! {
        outcome = follow(target, had) => outcome,
        _ = interrupt.recv() => Ok(ExitCode::Interrupted),
        _ = terminate.recv() => Ok(ExitCode::Done),
    }
}

async fn follow(target: Target, had: Option<LastHad>) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let name = found.name.clone();
    let path = had.map_or_else(|| PATH.to_owned(), |had| format!("{PATH}?from={had}"));
    let begun = tokio::time::timeout(SILENCE, client::open(found.stream, Method::GET, &path)).await;
    let (status, mut body) = begun.map_err(|_| silent(&name))??;
    if status != StatusCode::OK {
        return Err(not_followed(&name, status, body).await);
    }
    let mut lines = EventLines::default();
    loop {
        let bytes = match tokio::time::timeout(SILENCE, body.frame()).await {
            Err(_) => return Err(silent(&name)),
            Ok(None) => return Ok(ExitCode::Done),
            Ok(Some(Err(_))) => return Err(lost(&name)),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        let events = lines.hear(&bytes).map_err(|()| not_understood(&name))?;
        if !write(&events, target.json) || is_unread() {
            return Ok(ExitCode::Done);
        }
    }
}

async fn not_followed(name: &str, status: StatusCode, body: Incoming) -> Failure {
    let body = client::whole(body).await.unwrap_or_default();
    match status {
        StatusCode::NOT_FOUND => Failure::new(
            ExitCode::NoInstance,
            format!("{name} is a Clearway of an earlier version, whose events cannot be followed"),
        )
        .hint("its log has them"),
        StatusCode::BAD_REQUEST => {
            Failure::new(ExitCode::Usage, format!("`--from`: {}", String::from_utf8_lossy(&body).trim()))
                .hint("`clearway events --from 0 --json` shows the events that there are, with their ids")
        }
        _ => client::refused(PATH, status, &body),
    }
}

fn silent(name: &str) -> Failure {
    let message =
        format!("nothing was heard of {name} for {} s, not even that it is alive", SILENCE.as_secs());
    Failure::new(ExitCode::NoInstance, message).hint("is it stopped (SIGSTOP), or starved of processor time?")
}

fn lost(name: &str) -> Failure {
    Failure::new(
        ExitCode::NoInstance,
        format!("{name} has ended without a last word, or has closed the connection"),
    )
    .hint("it was killed, or what reads these lines was too slow; `clearway status` says whether it is there")
}

fn not_understood(name: &str) -> Failure {
    let message = format!("{name} sent an event of more than {LONGEST} bytes");
    Failure::new(ExitCode::NoInstance, message).hint("is it a Clearway?")
}

/// Writes events; whether there is anything that reads them.
fn write(events: &[String], json: bool) -> bool {
    let mut out = std::io::stdout().lock();
    let written = events.iter().try_for_each(|event| {
        if json { writeln!(out, "{event}") } else { out.write_all(in_words(event).as_bytes()) }
    });
    let written = written.and_then(|()| out.flush());
    !written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Whether what has read standard output so far is gone: it is looked at with each sign of life.
fn is_unread() -> bool {
    let out = std::io::stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    let answered = rustix::event::poll(&mut asked, Some(&Timespec::default())).is_ok_and(|number| number > 0);
    answered && asked[0].revents().contains(PollFlags::ERR)
}

/// As the log has it. What a later version may have sent is shown as it came.
fn in_words(event: &str) -> String {
    let read: Value = serde_json::from_str(event).unwrap_or_default();
    let [time, level, message] = ["timestamp", "level", "message"].map(|name| read[name].as_str());
    let (Some(time), Some(level), Some(message)) = (time, level, message) else {
        return rendered::lines("?", "?", event, None);
    };
    rendered::lines(time, level, message, read.get("hints"))
}

/// The events in what comes over a connection, in pieces of any size.
#[derive(Debug, Default)]
struct EventLines {
    partial: Vec<u8>,
    /// The data of the event that is not complete yet.
    data: String,
}

impl EventLines {
    /// The events that are complete now. Fails if one grows too long.
    fn hear(&mut self, bytes: &[u8]) -> Result<Vec<String>, ()> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.len() + self.data.len() > LONGEST {
                return Err(());
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                events.extend(self.read(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(events)
    }

    /// The event that this line completes.
    fn read(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            return Some(std::mem::take(&mut self.data)).filter(|data| !data.is_empty());
        }
        // Ids are in the data, too; a comment is a sign of life.
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1000\nid: 1-0\n\n:\n\nid: 1-1\ndata: {\"a\":1}\n\n:\n\nid: 1-2\r\ndata:{\"b\":\r\ndata: 2}\r\n\r\n";

    #[test]
    fn events_are_found_in_pieces_of_any_size() {
        for size in [1, 2, 3, 7, 1000] {
            let mut lines = EventLines::default();
            let pieces = STREAM.as_bytes().chunks(size);
            let events: Vec<String> = pieces.flat_map(|piece| lines.hear(piece).unwrap()).collect();
            assert_eq!(events, ["{\"a\":1}", "{\"b\":2}"], "in pieces of {size}");
        }
    }

    #[test]
    fn one_that_never_ends_is_given_up() {
        let mut lines = EventLines::default();
        let heard = (0..200).try_for_each(|_| lines.hear(&[b'x'; 10_000]).map(drop));
        assert_eq!(heard, Err(()));
        let mut lines = EventLines::default();
        let heard = (0..20)
            .try_for_each(|_| lines.hear(format!("data: {}\n", "x".repeat(100_000)).as_bytes()).map(drop));
        assert_eq!(heard, Err(()), "nor one in many lines");
    }

    #[test]
    fn the_text_is_that_of_the_log() {
        let event =
            r#"{"timestamp":"T","level":"WARN","message":"odd\u001b[2J","event":"a.b","hints":["mend it"]}"#;
        assert_eq!(in_words(event), "T  WARN odd\\u{1b}[2J\nT  WARN hint: mend it\n");
        assert_eq!(in_words("[later]"), "?     ? [later]\n");
    }
}
