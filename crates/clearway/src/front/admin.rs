//! The admin API of a running Clearway, HTTP/1.1 over a unix socket, for root and the same user only.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`api::Status`] |
//! | `GET /v1/reloads` | [`api::Reloads`]: the last attempts, crashes and takeovers |
//! | `POST /reload` | waits for the reload, then [`api::Reloaded`]; 409 if it did not take |
//! | `POST /try` | waits until a generation has shown what a reload would come to, then the same; nothing changes |
//! | `POST /drain` | 202: Clearway stops accepting, drains and ends; with `?until=ended` it waits for that, then [`api::Ended`] |
//! | `POST /release` | the same, and a holder lets go of the listening sockets at once |
//! | `GET /sessions` | [`api::Sessions`]; with `?generation=N` of that one only; 409 if there is none |
//! | `POST /end?generation=N` | ends one that drains, and waits until it is gone; 409 if it does not drain ([`api::EndOf`]) |
//! | `GET /metrics` | metrics, in Prometheus' text or as OpenMetrics, as the header `Accept` says; with `?haproxy=1` also what all generations of HAProxy have counted |
//! | `GET /health` | 200 while a generation serves, or sessions finish as planned after a takeover; else 503 with the reason |
//!
//! The socket lies below `/run/clearway/`, or is an abstract one where nothing can be written
//! ([`crate::peers::names`]). A process that connects is known by its peer credentials, and sent away before a byte is read if it
//! is not root or us: an abstract name has no file mode, and with host networking every process of the host
//! can connect to it. One that waits for an answer gets it before Clearway is gone ([`crate::front::clients`]).

use axum::extract::connect_info::Connected;
use axum::extract::{self, ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use axum::{Json, Router};
use clearway_core::supervisor::Answer;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use crate::front::api;
use crate::front::clients::Clients;
use crate::front::notices::FrontNotice;
use crate::front::request::{ReloadOutcome, Request, Wishes};
use crate::ground::credentials::Credentials;
use crate::ground::notice::tell;
use crate::peers::ServeAdmin;
use crate::tell::metrics::text::MetricsFormat;

/// What is asked together with the metrics to have those of HAProxy, too.
pub const WITH_HAPROXY: &str = "haproxy=1";

/// What is asked together with a stop to be told of the end.
pub const UNTIL_ENDED: &str = "until=ended";

/// A listener that lets in root and our own user only.
struct ForUs {
    inner: UnixListener,
    /// Closed where another process accepts from the same socket: a name that was handed over. Unset: always open.
    gate: Option<watch::Receiver<bool>>,
    /// Said once: a process that is sent away may come back a thousand times a second.
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
            match stream.peer_cred().map(Credentials::from) {
                Ok(caller) if caller.is_trusted() => return (stream, address),
                Ok(Credentials { uid, .. }) if !self.said => {
                    self.said = true;
                    tell(&FrontNotice::Foreign { uid });
                }
                _ => {}
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// The process that has connected.
#[derive(Clone, Copy, Debug)]
struct Caller {
    /// Its process, if it is in our PID namespace.
    pid: Option<i32>,
}

impl Connected<IncomingStream<'_, ForUs>> for Caller {
    fn connect_info(stream: IncomingStream<'_, ForUs>) -> Self {
        Self { pid: stream.io().peer_cred().ok().and_then(|told| Credentials::from(told).pid) }
    }
}

/// What a Clearway answers that supervises HAProxy.
pub fn router(requests: Wishes) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/v1/reloads", get(reloads))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/reload", post(reload))
        .route("/sessions", get(sessions))
        .route("/end", post(end))
        .route("/try", post(dry_run))
        .route("/drain", post(drain))
        .route("/release", post(release))
        .with_state(requests)
}

/// Serves the admin sockets of a Clearway that supervises HAProxy.
#[derive(Debug)]
pub struct AdminServer {
    requests: Wishes,
    clients: Clients,
}

impl AdminServer {
    /// What is asked goes to `requests`.
    pub fn new(requests: Wishes, clients: Clients) -> Self {
        Self { requests, clients }
    }
}

impl ServeAdmin for AdminServer {
    fn serve(&self, listener: UnixListener, gate: Option<watch::Receiver<bool>>) -> AbortHandle {
        let router = router(self.requests.clone());
        tokio::spawn(serve(listener, gate, router, self.clients.clone())).abort_handle()
    }
}

/// Serves until the process ends, as long as the gate is open.
pub async fn serve(
    listener: UnixListener,
    gate: Option<watch::Receiver<bool>>,
    router: Router,
    clients: Clients,
) {
    let router = router
        .layer(middleware::from_fn_with_state(clients, visit))
        .into_make_service_with_connect_info::<Caller>();
    if let Err(error) = axum::serve(ForUs { inner: listener, gate, said: false }, router).await {
        tell(&FrontNotice::Ended { error: error.to_string() });
    }
}

/// Keeps in mind which process waits for an answer.
async fn visit(
    State(clients): State<Clients>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: extract::Request,
    next: Next,
) -> Response {
    let _visit = clients.asked(caller.pid);
    next.run(request).await
}

/// An answer of 503, with its reason.
pub type NotServed = (StatusCode, &'static str);

/// Wishes are not taken any more.
fn ending() -> NotServed {
    (StatusCode::SERVICE_UNAVAILABLE, "this Clearway is just ending\n")
}

async fn status(State(requests): State<Wishes>) -> Result<Json<api::Status>, NotServed> {
    let (sender, receiver) = oneshot::channel();
    requests.send(Request::Status(sender)).await.map_err(|_| ending())?;
    receiver.await.map(|status| Json(*status)).map_err(|_| ending())
}

async fn reloads(State(requests): State<Wishes>) -> Result<Json<api::Reloads>, NotServed> {
    let (sender, receiver) = oneshot::channel();
    requests.send(Request::Reloads(sender)).await.map_err(|_| ending())?;
    receiver.await.map(Json).map_err(|_| ending())
}

async fn health(State(requests): State<Wishes>) -> Result<&'static str, NotServed> {
    let (sender, receiver) = oneshot::channel();
    requests.send(Request::Health(sender)).await.map_err(|_| ending())?;
    match receiver.await {
        Ok(health) if health.is_well() => Ok(health.said()),
        Ok(health) => Err((StatusCode::SERVICE_UNAVAILABLE, health.said())),
        Err(_) => Err(ending()),
    }
}

async fn metrics(
    State(requests): State<Wishes>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, NotServed> {
    let (sender, receiver) = oneshot::channel();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = MetricsFormat::accepted(accept.unwrap_or_default());
    let haproxy = uri.query().is_some_and(|query| query.split('&').any(|one| one == WITH_HAPROXY));
    requests.send(Request::Metrics(haproxy.then_some(format), sender)).await.map_err(|_| ending())?;
    let snapshot = receiver.await.map_err(|_| ending())?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], snapshot.text(format)).into_response())
}

async fn reload(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    reloaded(&requests, Request::Reload).await
}

async fn dry_run(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    reloaded(&requests, Request::Try).await
}

async fn reloaded(
    requests: &Wishes,
    make: impl FnOnce(oneshot::Sender<ReloadOutcome>) -> Request,
) -> Result<Response, NotServed> {
    let (sender, receiver) = oneshot::channel();
    requests.send(make(sender)).await.map_err(|_| ending())?;
    let answer = receiver.await.map_err(|_| ending())?;
    let took = matches!(answer.answer, Answer::Serving { .. } | Answer::Tried { .. });
    let status = if took { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(api::Reloaded::from(answer))).into_response())
}

/// The generation of `?generation=N`.
fn generation(uri: &Uri) -> Option<u32> {
    uri.query()?.strip_prefix("generation=")?.parse().ok()
}

async fn sessions(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    let (sender, receiver) = oneshot::channel();
    requests.send(Request::Sessions(generation(&uri), sender)).await.map_err(|_| ending())?;
    Ok(match receiver.await.map_err(|_| ending())? {
        Ok(sessions) => Json(sessions).into_response(),
        Err(refused) => (StatusCode::CONFLICT, Json(refused)).into_response(),
    })
}

async fn end(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    let (sender, receiver) = oneshot::channel();
    let Some(generation) = generation(&uri) else {
        return Ok((StatusCode::BAD_REQUEST, "it wants `?generation=N`\n").into_response());
    };
    requests.send(Request::End(generation, sender)).await.map_err(|_| ending())?;
    let answer = receiver.await.map_err(|_| ending())?;
    let status = match answer {
        api::EndOf::Ended { .. } => StatusCode::OK,
        api::EndOf::Refused { .. } => StatusCode::CONFLICT,
    };
    Ok((status, Json(answer)).into_response())
}

async fn drain(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    stop(&requests, &uri, false).await
}

async fn release(State(requests): State<Wishes>, uri: Uri) -> Result<Response, NotServed> {
    stop(&requests, &uri, true).await
}

async fn stop(requests: &Wishes, uri: &Uri, release: bool) -> Result<Response, NotServed> {
    let (sender, receiver) = oneshot::channel();
    let waits = uri.query() == Some(UNTIL_ENDED);
    if waits {
        // Before the stop, which may be over at once.
        requests.send(Request::Ended(sender)).await.map_err(|_| ending())?;
    }
    requests.send(Request::Drain { release }).await.map_err(|_| ending())?;
    if !waits {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    receiver.await.map(|ended| Json(ended).into_response()).map_err(|_| ending())
}
