//! What generations were started from, over the admin socket (and the API: [`super::public`]), and the way back to what served before.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/rollback` | waits until what served before serves again, then [`api::Reloaded`]; 409 if it does not |
//! | `GET /v1/config` | [`api::ConfigurationFiles`]: the files of the generation that serves, or of `?generation=N` |
//! | `GET /v1/config/diff` | [`api::ConfigurationDiff`]: the files on disk beside those |
//!
//! 404 if nothing is remembered of a generation, 409 if the files on disk cannot be read, 400 for another query; each with
//! [`api::Refused`]. Files have secrets in them (passwords of `userlist` sections): only root and our own user get to the
//! admin socket, and the API tells them only to clients that it knows.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use tokio::sync::oneshot;

use crate::front::answers::doing::reloaded;
use crate::front::answers::{NotServed, ask};
use crate::front::api;
use crate::front::request::{ConfigurationAnswer, Request, Wishes};

/// These requests.
pub fn routes() -> Router<Wishes> {
    Router::new()
        .route("/v1/rollback", post(rollback))
        .route("/v1/config", get(configuration))
        .route("/v1/config/diff", get(difference))
}

async fn rollback(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    reloaded(&requests, Request::Rollback).await
}

async fn configuration(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    files(&requests, &uri, Request::Configuration).await
}

async fn difference(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    files(&requests, &uri, Request::Difference).await
}

async fn files(
    requests: &Wishes,
    uri: &Uri,
    make: impl FnOnce(Option<u32>, oneshot::Sender<ConfigurationAnswer>) -> Request,
) -> Result<Response, NotServed> {
    let Ok(generation) = generation(uri.query().unwrap_or_default()) else {
        let failure = Failure::new(ExitCode::Usage, "it takes `?generation=N` and no other query");
        return Ok(refused(StatusCode::BAD_REQUEST, &failure.into()));
    };
    told(requests, generation, make).await
}

/// What is known of this generation, or of the one that serves.
pub(super) async fn told(
    requests: &Wishes,
    generation: Option<u32>,
    make: impl FnOnce(Option<u32>, oneshot::Sender<ConfigurationAnswer>) -> Request,
) -> Result<Response, NotServed> {
    Ok(match ask(requests, |sender| make(generation, sender)).await? {
        Ok(body) => json(StatusCode::OK, body),
        Err(why) if why.code == ExitCode::Usage.number() => refused(StatusCode::NOT_FOUND, &why),
        Err(why) => refused(StatusCode::CONFLICT, &why),
    })
}

/// The number in `generation=N`, or none for no query at all.
fn generation(query: &str) -> Result<Option<u32>, ()> {
    match query.strip_prefix("generation=") {
        Some(number) => number.parse().map(Some).map_err(drop),
        None if query.is_empty() => Ok(None),
        None => Err(()),
    }
}

fn refused(status: StatusCode, why: &api::Refused) -> Response {
    json(status, serde_json::to_vec(why).unwrap_or_default())
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_number_or_nothing() {
        assert_eq!((generation(""), generation("generation=7")), (Ok(None), Ok(Some(7))));
        for bad in [
            "generation=",
            "generation=-1",
            "generation=7&x",
            "generation=4294967296",
            "x",
            "=",
            "GENERATION=1",
        ] {
            assert_eq!(generation(bad), Err(()), "{bad}");
        }
    }
}
