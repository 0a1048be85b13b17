//! `clearway drain`: stop the running Clearway and wait until it has ended.

use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Failure;
use hyper::{Method, StatusCode};

use crate::admin::{api, client, find};
use crate::cli::Target;

/// How often it is looked whether Clearway has ended.
const PACE: Duration = Duration::from_millis(500);

/// Asks for the stop; says what is left whenever that changes.
pub async fn drain(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find(&target.settings)?;
    let name = found.name.clone();
    let (status, _) = client::request(found.stream, Method::POST, "/drain").await?;
    if status != StatusCode::ACCEPTED {
        return Err(Failure::new(ExitCode::NoInstance, format!("{name} refused to drain: {status}")));
    }
    let mut said = None;
    loop {
        // Its socket goes when it does.
        let Some(found) = find::at(&name) else { break };
        let Ok((_, body)) = client::request(found.stream, Method::GET, "/status").await else { break };
        let status: api::Status = super::understand(&body)?;
        let left: u64 = status.generations.iter().filter_map(|one| one.sessions).sum();
        if said != Some(left) && !target.json {
            println!("draining: {left} session(s) left");
        }
        said = Some(left);
        tokio::time::sleep(PACE).await;
    }
    if !target.json {
        println!("drained: {name} has ended");
    }
    Ok(ExitCode::Done)
}
