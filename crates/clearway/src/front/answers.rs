//! What is answered over HTTP: each handler asks the loop, and makes an answer of what that says. The private admin socket
//! ([`admin`](super::admin)) and the API ([`public`](super::public)) have paths of their own to the same handlers.
//!
//! A refusal is a sentence in plain text, which ends with a line feed.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use crate::front::api;
use crate::front::request::{Request, Wishes};
use crate::tell::metrics::text::MetricsFormat;

pub mod doing;
pub mod looking;
pub mod page;
pub mod query;

/// What is asked together with the metrics to have those of HAProxy, too.
pub const WITH_HAPROXY: &str = "haproxy=1";

/// An answer of 503, with its reason.
pub type NotServed = (StatusCode, &'static str);

/// Wishes are not taken any more.
fn ending() -> NotServed {
    (StatusCode::SERVICE_UNAVAILABLE, "this Clearway is just ending\n")
}

/// There can be no thread to answer on.
fn no_thread() -> NotServed {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "no thread can be started; raise the limit of processes (`--pids-limit`, TasksMax=)\n",
    )
}

/// Asks the loop.
pub async fn ask<T>(
    requests: &Wishes,
    make: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, NotServed> {
    let (sender, receiver) = oneshot::channel();
    requests.send(make(sender)).await.map_err(|_| ending())?;
    receiver.await.map_err(|_| ending())
}

/// How this Clearway is.
pub async fn status(State(requests): State<Wishes>) -> Result<Json<api::Status>, NotServed> {
    ask(&requests, Request::Status).await.map(|status| Json(*status))
}

/// What has happened.
pub async fn reloads(State(requests): State<Wishes>) -> Result<Json<api::Reloads>, NotServed> {
    ask(&requests, Request::Reloads).await.map(Json)
}

/// Whether the container need not be restarted.
pub async fn health(State(requests): State<Wishes>) -> Result<&'static str, NotServed> {
    match ask(&requests, Request::Health).await? {
        health if health.is_well() => Ok(health.said()),
        health => Err((StatusCode::SERVICE_UNAVAILABLE, health.said())),
    }
}

/// The metrics, in the format that the client wants; with [`WITH_HAPROXY`] what all generations of HAProxy have counted, too.
pub async fn metrics(
    State(requests): State<Wishes>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, NotServed> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = MetricsFormat::accepted(accept.unwrap_or_default());
    let haproxy = uri.query().is_some_and(|query| query.split('&').any(|one| one == WITH_HAPROXY));
    let snapshot = ask(&requests, |sender| Request::Metrics(haproxy.then_some(format), sender)).await?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], snapshot.text(format)).into_response())
}

/// Which sessions there are, of one generation or of all.
pub async fn sessions(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    let only = query::generation(&uri);
    Ok(match ask(&requests, |sender| Request::Sessions(only, sender)).await? {
        Ok(sessions) => Json(sessions).into_response(),
        Err(refused) => (StatusCode::CONFLICT, Json(refused)).into_response(),
    })
}
