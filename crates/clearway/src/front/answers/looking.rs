//! What only the API has: whether this Clearway is alive and ready, and lists of single things.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::front::answers::{NotServed, ask};
use crate::front::api::{CanaryWish, GenerationList, Readiness, ServerList, SocketList};
use crate::front::request::{Request, Wishes};

/// Whether the loop answers.
pub async fn alive(State(requests): State<Wishes>) -> Result<&'static str, NotServed> {
    ask(&requests, Request::Alive).await.map(|()| "alive\n")
}

/// Whether new clients should be sent here; the reason in either case.
pub async fn ready(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    let Readiness { is_ready, reason } = ask(&requests, Request::Ready).await?;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, format!("{reason}\n")).into_response())
}

/// The generations, as the status has them.
pub async fn generations(State(requests): State<Wishes>) -> Result<Json<GenerationList>, NotServed> {
    let status = ask(&requests, Request::Status).await?;
    Ok(Json(GenerationList { generations: status.generations }))
}

/// The listening sockets.
pub async fn sockets(State(requests): State<Wishes>) -> Result<Json<SocketList>, NotServed> {
    ask(&requests, Request::Sockets).await.map(Json)
}

/// The servers.
pub async fn servers(State(requests): State<Wishes>) -> Result<Json<ServerList>, NotServed> {
    ask(&requests, Request::Servers).await.map(Json)
}

/// Asks the transparent servers now.
pub async fn canary(requests: &Wishes) -> Result<Response, NotServed> {
    let answer = ask(requests, Request::AskCanary).await?;
    let status = match answer {
        CanaryWish::Asked { .. } => StatusCode::ACCEPTED,
        CanaryWish::Refused { .. } => StatusCode::CONFLICT,
    };
    Ok((status, Json(answer)).into_response())
}
