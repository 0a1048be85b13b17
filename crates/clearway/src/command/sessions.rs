//! `clearway sessions`: which client has a session with which generation. `clearway end`: the end of one generation by hand.

use std::fmt::Write;

use clearway_core::count::{self, Count};
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::front::api::{EndOf, Sessions, SessionsOf};
use crate::front::client::{self, Wait};
use crate::front::find;
use crate::front::find::Target;

/// Lists the sessions of one generation, or of all.
pub async fn sessions(target: Target, generation: Option<u32>) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let path = generation.map_or_else(|| "/sessions".to_owned(), |one| format!("/sessions?generation={one}"));
    let (status, body) = client::request(found.stream, Method::GET, &path, Wait::Briefly).await?;
    if status == StatusCode::CONFLICT {
        return Err(not_there(&body));
    }
    if status != StatusCode::OK {
        return Err(client::refused(&path, status, &body));
    }
    let answer: Sessions = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        crate::say!("{}", in_words(&answer).trim_end());
    }
    Ok(ExitCode::Done)
}

/// Ends one generation that drains, and waits until it is gone.
pub async fn end(target: Target, generation: u32) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    if !found.is_here() {
        let message =
            format!("{} is the Clearway of another container: nothing is ended there from here", found.name);
        return Err(
            Failure::new(ExitCode::NoInstance, message).hint("run this inside the container that is meant")
        );
    }
    let path = format!("/end?generation={generation}");
    let (status, body) = client::request(found.stream, Method::POST, &path, Wait::AsLongAsItTakes).await?;
    match status {
        StatusCode::OK => {}
        StatusCode::CONFLICT => return Err(not_there(&body)),
        _ => return Err(client::refused(&path, status, &body)),
    }
    let answer: EndOf = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else if let EndOf::Ended { generation, cut } = answer {
        crate::say!("generation {generation} has ended: cut {}", count::sessions(cut));
    }
    Ok(ExitCode::Done)
}

/// What the running Clearway says about a generation that it does not end, or does not have.
fn not_there(body: &[u8]) -> Failure {
    match client::understand(body) {
        Ok(EndOf::Refused { message, hint }) => Failure::new(ExitCode::Usage, message).hint(hint),
        Ok(EndOf::Ended { .. }) => client::refused("/end", StatusCode::CONFLICT, body),
        Err(failure) => failure,
    }
}

pub(super) fn in_words(answer: &Sessions) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for of in &answer.generations {
        let SessionsOf { generation, state, worker, sessions, left_out } = of;
        let _ = write!(text, "generation {generation} {state}");
        if let Some(worker) = worker {
            let _ = write!(text, ", worker {worker}");
        }
        let Some(sessions) = sessions else {
            let _ = writeln!(text, ": it does not say which sessions it has");
            continue;
        };
        let _ = writeln!(text, ": {}", Count(sessions.len().saturating_add(*left_out), "session"));
        for one in sessions {
            let _ = writeln!(
                text,
                "  {} {} -> {} -> {}/{}, age {}, {}",
                one.protocol, one.source, one.frontend, one.backend, one.server, one.age, one.id
            );
        }
        if *left_out > 0 {
            let _ = writeln!(text, "  and {left_out} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::api::Session;
    use clearway_core::supervisor::LifePhase;

    #[test]
    fn a_line_for_each_session_and_one_for_each_generation() {
        let session = Session {
            id: "0x1".to_owned(),
            protocol: "tcpv4".to_owned(),
            source: "10.1.0.2:4242".to_owned(),
            frontend: "web".to_owned(),
            backend: "app".to_owned(),
            server: "s1".to_owned(),
            age: "1m4s".to_owned(),
        };
        let of = |generation, sessions, left_out| SessionsOf {
            generation,
            state: LifePhase::Draining,
            worker: Some(7),
            sessions,
            left_out,
        };
        let generations = vec![of(1, Some(vec![session]), 2), of(2, None, 0)];
        assert_eq!(
            in_words(&Sessions { generations }),
            "generation 1 draining, worker 7: 3 sessions\n  tcpv4 10.1.0.2:4242 -> web -> app/s1, age 1m4s, 0x1\n  and 2 \
             more\ngeneration 2 draining, worker 7: it does not say which sessions it has\n"
        );
        let more = in_words(&Sessions { generations: vec![of(3, Some(Vec::new()), usize::MAX)] });
        assert!(
            more.starts_with(&format!("generation 3 draining, worker 7: {} sessions\n", usize::MAX)),
            "{more}"
        );
    }
}
