//! The paths of the API. A new one has a row here and in docs/reference/api.md, and its description (`openapi`).

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::front::answers::doing::{self, UntilEnd};
use crate::front::answers::query::{BadQuery, QueryFields};
use crate::front::answers::{self, looking};
use crate::front::events;
use crate::front::public::not_done::NotDone;
use crate::front::public::{files, openapi};
use crate::front::request::{Request, Wishes};

/// What is answered.
pub fn router(requests: Wishes) -> Router {
    Router::new()
        .route("/", get(answers::page::page))
        .route("/healthz", get(looking::alive))
        .route("/readyz", get(looking::ready))
        .route("/metrics", get(answers::metrics))
        .route("/openapi.json", get(description))
        .route("/v1/status", get(answers::status))
        .route("/v1/generations", get(looking::generations))
        .route("/v1/sockets", get(looking::sockets))
        .route("/v1/servers", get(looking::servers))
        .route("/v1/reloads", get(answers::reloads))
        .route("/v1/events", get(events::events))
        .route("/v1/config", get(files::configuration))
        .route("/v1/config/diff", get(files::difference))
        .route("/v1/reload", post(reload))
        .route("/v1/apply", post(doing::apply))
        .route("/v1/rollback", post(rollback))
        .route("/v1/drain", post(drain))
        .route("/v1/canary", post(canary))
        .fallback(unknown_path)
        .method_not_allowed_fallback(other_method)
        .with_state(requests)
}

async fn reload(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotDone> {
    let is_trial = QueryFields::of(&uri, &["dry-run"])?.is_set("dry-run")?;
    let answer = if is_trial {
        doing::reloaded(&requests, Request::Try).await
    } else {
        doing::reloaded(&requests, Request::Reload).await
    };
    Ok(answer?)
}

async fn rollback(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotDone> {
    QueryFields::of(&uri, &[])?;
    Ok(doing::reloaded(&requests, Request::Rollback).await?)
}

async fn drain(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotDone> {
    let fields = QueryFields::of(&uri, &["until", "release"])?;
    let until = match fields.get("until") {
        None => UntilEnd::Leaves,
        Some("ended") => UntilEnd::Waits,
        Some(_) => return Err(BadQuery::of("`until` cannot be anything but `ended`").into()),
    };
    Ok(doing::stop(&requests, until, fields.is_set("release")?).await?)
}

async fn canary(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotDone> {
    QueryFields::of(&uri, &[])?;
    Ok(looking::canary(&requests).await?)
}

async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::DESCRIPTION)
}

async fn unknown_path() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "there is no such path; /openapi.json describes those that there are\n")
}

async fn other_method() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, "this path has another method: the header `Allow` names it\n")
}
