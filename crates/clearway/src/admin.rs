//! The admin API of a running Clearway, HTTP/1.1 over a unix socket, for root and the same user only.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`api::Status`] |
//! | `POST /reload` | waits for the reload, then [`api::Reloaded`]; 409 if it did not take |
//! | `POST /drain` | 202: Clearway stops accepting, drains and ends |
//! | `POST /release` | the same, and a holder lets go of the listening sockets at once |
//! | `GET /health` | 200 while a generation serves, else 503 with the reason |
//!
//! The socket lies below `/run/clearway/`, or is an abstract one where nothing can be written
//! ([`place`]). Whoever connects is known by its peer credentials, and sent away before a byte is read if it
//! is not root or us: an abstract name has no file mode, and with host networking every process of the host
//! can connect to it.

use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use clearway_core::supervisor::Answer;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

pub mod api;
pub mod client;
pub mod find;
pub mod place;

/// What somebody wants of the supervising loop.
#[derive(Debug)]
pub enum Wish {
    /// How is it?
    Status(oneshot::Sender<Box<api::Status>>),
    /// Does a generation serve?
    Health(oneshot::Sender<Health>),
    /// Reload, and tell what came of it.
    Reload(oneshot::Sender<Answered>),
    /// Stop.
    Drain {
        /// A holder lets go at once.
        release: bool,
    },
}

/// What came of a reload, for what asked for it.
#[derive(Debug)]
pub struct Answered {
    /// As the core says it.
    pub answer: Answer,
    /// Files that were replaced where this container cannot see it, each with what mends it: the former ones were read.
    pub not_read: Vec<String>,
}

/// What a probe is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// A generation serves.
    Serving,
    /// None does, or the canary says that it is of no use.
    NotServing,
    /// A generation serves a network that no client can reach any more.
    NetworkGone,
}

impl Health {
    /// In one line.
    fn said(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::NotServing => "not serving",
            Self::NetworkGone => {
                "the network is gone: no interface but `lo` is left (was the container that owns it restarted?); no client \
                 can come until this container is restarted, too"
            }
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said())
    }
}

/// Where wishes go.
pub type Wishes = mpsc::Sender<Wish>;

/// A listener that lets root and our own user in, and nobody else.
struct ForUs {
    inner: UnixListener,
    /// Closed where another process accepts from the same socket: a name that was handed over. Unset: always open.
    gate: Option<watch::Receiver<bool>>,
    /// Said once: whoever is sent away may come back a thousand times a second.
    said: bool,
}

impl Listener for ForUs {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Some(gate) = &mut self.gate
                && gate.wait_for(|open| *open).await.is_err()
            {
                std::future::pending::<()>().await;
            }
            // axum's own listener: it waits a second where descriptors have run out.
            let accepted = Listener::accept(&mut self.inner);
            let (stream, address) = match &mut self.gate {
                None => accepted.await,
                Some(gate) => tokio::select! {
                    biased;
                    _closed = gate.wait_for(|open| !*open) => continue,
                    accepted = accepted => accepted,
                },
            };
            match stream.peer_cred().map(|peer| peer.uid()) {
                Ok(uid) if is_trusted(uid) => return (stream, address),
                Ok(uid) if !self.said => {
                    self.said = true;
                    tracing::warn!("a process of uid {uid} was sent away from the admin socket");
                }
                _ => {}
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// Whether a user may ask us, or be asked by us.
pub fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Serves until the process ends, as long as the gate is open.
pub async fn serve(listener: UnixListener, gate: Option<watch::Receiver<bool>>, wishes: Wishes) {
    let router = Router::new()
        .route("/status", get(status))
        .route("/health", get(health))
        .route("/reload", post(reload))
        .route("/drain", post(drain))
        .route("/release", post(release))
        .with_state(wishes);
    if let Err(error) = axum::serve(ForUs { inner: listener, gate, said: false }, router).await {
        tracing::error!("the admin socket is served no more: {error}");
    }
}

/// An answer of 503, with its reason.
type Unavailable = (StatusCode, &'static str);

/// Nothing takes wishes any more.
fn ending() -> Unavailable {
    (StatusCode::SERVICE_UNAVAILABLE, "this Clearway is just ending\n")
}

async fn status(State(wishes): State<Wishes>) -> Result<Json<api::Status>, Unavailable> {
    let (sender, receiver) = oneshot::channel();
    wishes.send(Wish::Status(sender)).await.map_err(|_| ending())?;
    receiver.await.map(|status| Json(*status)).map_err(|_| ending())
}

async fn health(State(wishes): State<Wishes>) -> Result<&'static str, Unavailable> {
    let (sender, receiver) = oneshot::channel();
    wishes.send(Wish::Health(sender)).await.map_err(|_| ending())?;
    match receiver.await {
        Ok(Health::Serving) => Ok(Health::Serving.said()),
        Ok(health) => Err((StatusCode::SERVICE_UNAVAILABLE, health.said())),
        Err(_) => Err(ending()),
    }
}

async fn reload(State(wishes): State<Wishes>) -> Result<Response, Unavailable> {
    let (sender, receiver) = oneshot::channel();
    wishes.send(Wish::Reload(sender)).await.map_err(|_| ending())?;
    let answer = receiver.await.map_err(|_| ending())?;
    let status =
        if matches!(answer.answer, Answer::Serving { .. }) { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(api::Reloaded::from(answer))).into_response())
}

async fn drain(State(wishes): State<Wishes>) -> Result<StatusCode, Unavailable> {
    stop(&wishes, false).await
}

async fn release(State(wishes): State<Wishes>) -> Result<StatusCode, Unavailable> {
    stop(&wishes, true).await
}

async fn stop(wishes: &Wishes, release: bool) -> Result<StatusCode, Unavailable> {
    wishes.send(Wish::Drain { release }).await.map_err(|_| ending())?;
    Ok(StatusCode::ACCEPTED)
}
