//! What is to be done: reload, try, end, drain.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clearway_core::supervisor::Answer;
use tokio::sync::oneshot;

use crate::front::answers::{NotServed, ask, query};
use crate::front::api;
use crate::front::request::{ReloadOutcome, Request, Wishes};

/// What is asked together with a stop to be told of the end.
pub const UNTIL_ENDED: &str = "until=ended";

/// Whether a client waits for the end of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntilEnd {
    /// It does.
    Waits,
    /// It does not.
    Leaves,
}

/// Reloads, and waits for what comes of it.
pub async fn reload(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    reloaded(&requests, Request::Reload).await
}

/// Tells what a reload would come to.
pub async fn dry_run(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    reloaded(&requests, Request::Try).await
}

/// Has what is on disk, at run time if it can be, and waits for what comes of it; with `?dry-run` it only tells what that would be.
pub async fn apply(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    let is_trial = match query::QueryFields::of(&uri, &["dry-run"]).and_then(|one| one.is_set("dry-run")) {
        Ok(is_trial) => is_trial,
        Err(bad) => return Ok(bad.into_response()),
    };
    if !is_trial {
        return reloaded(&requests, Request::Apply).await;
    }
    Ok(match ask(&requests, Request::Plan).await? {
        Ok(planned) => Json(planned).into_response(),
        Err(refused) => (StatusCode::CONFLICT, Json(refused)).into_response(),
    })
}

/// The answer to either.
pub async fn reloaded(
    requests: &Wishes,
    make: impl FnOnce(oneshot::Sender<ReloadOutcome>) -> Request,
) -> Result<Response, NotServed> {
    let outcome = ask(requests, make).await?;
    let took =
        matches!(outcome.answer, Answer::Serving { .. } | Answer::Applied { .. } | Answer::Tried { .. });
    let status = if took { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(api::Reloaded::from(outcome))).into_response())
}

/// Ends a generation that drains, and waits until it is gone.
pub async fn end(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    let Some(generation) = query::generation(&uri) else {
        return Ok((StatusCode::BAD_REQUEST, "it wants `?generation=N`\n").into_response());
    };
    let answer = ask(&requests, |sender| Request::End(generation, sender)).await?;
    let status = match answer {
        api::EndOf::Ended { .. } => StatusCode::OK,
        api::EndOf::Refused { .. } => StatusCode::CONFLICT,
    };
    Ok((status, Json(answer)).into_response())
}

/// Stops; a holder keeps the listening sockets for a while.
pub async fn drain(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    stop(&requests, until(&uri), false).await
}

/// Stops; a holder lets go of the listening sockets at once.
pub async fn release(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    stop(&requests, until(&uri), true).await
}

fn until(uri: &Uri) -> UntilEnd {
    if uri.query() == Some(UNTIL_ENDED) { UntilEnd::Waits } else { UntilEnd::Leaves }
}

/// Stops, and waits for the end if the client does.
pub async fn stop(requests: &Wishes, until: UntilEnd, release: bool) -> Result<Response, NotServed> {
    let drain = Request::Drain { release };
    if until == UntilEnd::Leaves {
        requests.send(drain).await.map_err(|_| super::ending())?;
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    let (sender, receiver) = oneshot::channel();
    // Before the stop, which may be over at once.
    requests.send(Request::Ended(sender)).await.map_err(|_| super::ending())?;
    requests.send(drain).await.map_err(|_| super::ending())?;
    receiver.await.map(|ended| Json(ended).into_response()).map_err(|_| super::ending())
}
