//! `clearway status`: for people, or as JSON.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::cli::Depth;
use crate::front::api::Holding;
use crate::front::client::{self, Wait};
use crate::front::find::{self, Found, Target};
use crate::peers::names::SocketOwner;

mod findings;
#[cfg(any(test, feature = "fuzz"))]
pub(super) mod fuzz;
mod words;

/// Asks the running Clearway and prints what it says, or only whether anything is wrong.
pub async fn status(target: Target, depth: Depth) -> Result<ExitCode, Failure> {
    let found = find::find_any(&target).await?;
    if found.kind == SocketOwner::Holder {
        return holder(found, &target, depth).await;
    }
    let (status, body) = client::status(found.stream).await?;
    if depth == Depth::Check {
        return Ok(findings::say(&status, target.json));
    }
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        crate::say!("{}", words::in_words(&status).trim_end());
    }
    Ok(ExitCode::Done)
}

/// How a holder is, which is all right as long as it answers; what is checked is whether a balancer serves.
async fn holder(found: Found, target: &Target, depth: Depth) -> Result<ExitCode, Failure> {
    let (status, body) = client::request(found.stream, Method::GET, "/status", Wait::Briefly).await?;
    if status != StatusCode::OK {
        return Err(client::refused("/status", status, &body));
    }
    let holding: Holding = client::understand(&body)?;
    if depth == Depth::Check {
        return Ok(findings::say_of_a_holder(&holding, target.json));
    }
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        crate::say!("{}", holding.to_string().trim_end());
    }
    Ok(ExitCode::Done)
}
