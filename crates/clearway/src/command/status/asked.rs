//! What a running Clearway, or a holder, says of its state.

use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::command::status::words;
use crate::front::api::{Holding, Status};
use crate::front::client::{self, Wait};
use crate::front::find::{self, Target};
use crate::peers::names::SocketOwner;

/// How a Clearway is.
pub enum Told {
    /// One that supervises HAProxy.
    Balancer(Box<Status>),
    /// All right as long as it answers; what is checked is whether a balancer serves.
    Holder(Holding),
}

/// All that is known, for a person or as JSON.
pub async fn text(target: &Target) -> Result<String, Failure> {
    let (told, body) = ask(target).await?;
    Ok(match told {
        _ if target.json => String::from_utf8_lossy(&body).into_owned(),
        Told::Balancer(status) => words::in_words(&status).trim_end().to_owned(),
        Told::Holder(holding) => holding.to_string().trim_end().to_owned(),
    })
}

/// The answer, also as it came.
pub async fn ask(target: &Target) -> Result<(Told, Vec<u8>), Failure> {
    let found = find::find_any(target).await?;
    if found.kind != SocketOwner::Holder {
        let (status, body) = client::status(found.stream).await?;
        return Ok((Told::Balancer(Box::new(status)), body));
    }
    let (status, body) = client::request(found.stream, Method::GET, "/status", Wait::Briefly).await?;
    if status != StatusCode::OK {
        return Err(client::refused("/status", status, &body));
    }
    Ok((Told::Holder(client::understand(&body)?), body))
}
