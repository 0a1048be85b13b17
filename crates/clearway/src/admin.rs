//! The admin API of a running Clearway, HTTP/1.1 over a unix socket, for root and the same user only.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`api::Status`] |
//! | `POST /reload` | waits for the reload, then [`api::Reloaded`]; 409 if it did not take |
//! | `POST /drain` | 202: Clearway stops accepting, drains and ends |
//! | `GET /health` | 200 while a generation serves, else 503 |
//!
//! The socket lies below `/run/clearway/`, or is an abstract one where nothing can be written
//! ([`place`]). Whoever connects is known by its peer credentials: an abstract name has no file mode, and
//! with host networking every process of the host could connect to it.

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use clearway_core::supervisor::Answer;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

pub mod api;
pub mod client;
pub mod find;
pub mod place;

/// What somebody wants of the supervising loop.
#[derive(Debug)]
pub enum Wish {
    /// How is it?
    Status(oneshot::Sender<Box<api::Status>>),
    /// Reload, and tell what came of it.
    Reload(oneshot::Sender<Answer>),
    /// Stop.
    Drain,
}

type Wishes = mpsc::Sender<Wish>;

/// The user at the other end.
#[derive(Clone, Copy, Debug)]
struct PeerUser(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for PeerUser {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().map(|credentials| credentials.uid()).ok())
    }
}

/// Serves until the process ends.
pub async fn serve(listener: UnixListener, wishes: Wishes) {
    let router = Router::new()
        .route("/status", get(status))
        .route("/health", get(health))
        .route("/reload", post(reload))
        .route("/drain", post(drain))
        .layer(middleware::from_fn(only_for_us))
        .with_state(wishes);
    let service = router.into_make_service_with_connect_info::<PeerUser>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!("the admin socket is served no more: {error}");
    }
}

async fn only_for_us(ConnectInfo(peer): ConnectInfo<PeerUser>, request: Request, next: Next) -> Response {
    let own = rustix::process::geteuid().as_raw();
    match peer.0 {
        Some(uid) if uid == 0 || uid == own => next.run(request).await,
        Some(uid) => {
            tracing::warn!("a process of uid {uid} was refused at the admin socket");
            (StatusCode::FORBIDDEN, "only root and the user of this Clearway may ask").into_response()
        }
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn ask(wishes: &Wishes) -> Result<api::Status, StatusCode> {
    let (sender, receiver) = oneshot::channel();
    wishes.send(Wish::Status(sender)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    receiver.await.map(|status| *status).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn status(State(wishes): State<Wishes>) -> Result<Json<api::Status>, StatusCode> {
    ask(&wishes).await.map(Json)
}

async fn health(State(wishes): State<Wishes>) -> Result<&'static str, StatusCode> {
    let status = ask(&wishes).await?;
    let serves = matches!(status.state.as_str(), "serving" | "reloading");
    if serves { Ok("serving\n") } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
}

async fn reload(State(wishes): State<Wishes>) -> Result<Response, StatusCode> {
    let (sender, receiver) = oneshot::channel();
    wishes.send(Wish::Reload(sender)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let answer = receiver.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let status = if matches!(answer, Answer::Serving(..)) { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(api::Reloaded::from(answer))).into_response())
}

async fn drain(State(wishes): State<Wishes>) -> Result<StatusCode, StatusCode> {
    wishes.send(Wish::Drain).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::ACCEPTED)
}
