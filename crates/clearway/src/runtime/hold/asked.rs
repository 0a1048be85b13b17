//! What a holder answers over its admin socket, which lies beside that of the balancer (`NAME_hold`): how it is, that it
//! is well, and a stop.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::{mpsc, oneshot};

use crate::front::answers::NotServed;
use crate::front::answers::doing::UNTIL_ENDED;
use crate::front::api::{Ended, Holding};

/// What is asked of the holder.
#[derive(Debug)]
pub enum Ask {
    /// How is it?
    Status(oneshot::Sender<Holding>),
    /// Stop, and tell the end.
    Stop(oneshot::Sender<Ended>),
}

/// Where it is asked.
type Asks = mpsc::Sender<Ask>;

fn ending() -> NotServed {
    (StatusCode::SERVICE_UNAVAILABLE, "this holder is just ending\n")
}

/// What is answered. A holder has nothing to reload.
pub fn router(asks: Asks) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/health", get(health))
        .route("/drain", post(stop))
        .route("/release", post(stop))
        .with_state(asks)
}

async fn status(State(asks): State<Asks>) -> Result<Json<Holding>, NotServed> {
    let (sender, receiver) = oneshot::channel();
    asks.send(Ask::Status(sender)).await.map_err(|_| ending())?;
    receiver.await.map(Json).map_err(|_| ending())
}

/// Its loop answers: it is well.
async fn health(state: State<Asks>) -> Result<&'static str, NotServed> {
    status(state).await.map(|_| "holding the listening sockets for a balancer")
}

async fn stop(State(asks): State<Asks>, uri: Uri) -> Result<Response, NotServed> {
    let (sender, receiver) = oneshot::channel();
    asks.send(Ask::Stop(sender)).await.map_err(|_| ending())?;
    if uri.query() != Some(UNTIL_ENDED) {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    receiver.await.map(|ended| Json(ended).into_response()).map_err(|_| ending())
}
