//! The private admin socket of a running Clearway, HTTP/1.1 over a unix socket, for root and the same user only: the
//! subcommands ask here, also those of other versions. The paths stay; what is new for others is in the API ([`super::public`]).
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page for people ([`super::page`]) |
//! | `GET /status` | [`super::api::Status`] |
//! | `GET /v1/reloads` | [`super::api::Reloads`]: the last attempts, crashes and takeovers |
//! | `GET /v1/events` | a stream of events ([`super::events`]), with `?from=ID` from those on that come after that one |
//! | `POST /reload` | waits for the reload, then [`super::api::Reloaded`]; 409 if it failed |
//! | `POST /try` | waits until a generation has shown what a reload would come to, then the same; nothing changes |
//! | `POST /v1/apply` | has what is on disk, at run time if it can be, then the same; with `?dry-run` [`super::api::PlannedChange`]: what that would do |
//! | `POST /v1/rollback`, `GET /v1/config`, `GET /v1/config/diff` | in [`crate::front::configuration`] |
//! | `POST /drain` | 202: Clearway stops accepting, drains and ends; with `?until=ended` it waits for that, then [`super::api::Ended`] |
//! | `POST /release` | the same, and a holder lets go of the listening sockets at once |
//! | `GET /sessions` | [`super::api::Sessions`]; with `?generation=N` of that one only; 409 if there is none |
//! | `POST /end?generation=N` | ends one that drains, and waits until it is gone; 409 if it does not drain ([`super::api::EndOf`]) |
//! | `GET /metrics` | metrics, in Prometheus' text or as OpenMetrics, as the header `Accept` says; with `?haproxy=1` also what all generations of HAProxy have counted |
//! | `GET /health` | 200 while a generation serves, or sessions finish as planned after a takeover; else 503 with the reason |
//!
//! The socket lies below `/run/clearway/`, or is an abstract one where nothing can be written
//! ([`crate::peers::names`]). A process that connects is known by its peer credentials, and sent away before a byte is read if it
//! is not root or us: an abstract name has no file mode, and with host networking every process of the host
//! can connect to it. One that waits for an answer gets it before Clearway is gone ([`crate::front::clients`]); one that does
//! not read it is sent away ([`crate::front::patience`]).

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{self, ConnectInfo, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::front::answers::{self, doing};
use crate::front::clients::{Caller, Clients};
use crate::front::configuration;
use crate::front::events;
use crate::front::notices::FrontNotice;
use crate::front::patience::Patient;
use crate::front::request::Wishes;
use crate::ground::credentials::Credentials;
use crate::ground::notice::tell;
use crate::peers::ServeAdmin;

/// A listener that lets in root and our own user only.
struct ForUs {
    inner: UnixListener,
    /// Closed where another process accepts from the same socket: a name that was handed over. Unset: always open.
    gate: Option<watch::Receiver<bool>>,
    /// Said once: a process that is sent away may come back a thousand times a second.
    said: bool,
}

impl Listener for ForUs {
    type Io = Patient<UnixStream>;
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
                Ok(caller) if caller.is_trusted() => return (Patient::new(stream, caller.pid), address),
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

impl Connected<IncomingStream<'_, ForUs>> for Caller {
    fn connect_info(stream: IncomingStream<'_, ForUs>) -> Self {
        Self { pid: stream.io().client() }
    }
}

/// What a Clearway answers that supervises HAProxy.
pub fn router(requests: Wishes) -> Router {
    Router::new()
        .route("/", get(answers::page::page))
        .route("/status", get(answers::status))
        .route("/v1/reloads", get(answers::reloads))
        .route("/v1/events", get(events::events))
        .route("/health", get(answers::health))
        .route("/metrics", get(answers::metrics))
        .route("/sessions", get(answers::sessions))
        .route("/reload", post(doing::reload))
        .route("/v1/apply", post(doing::apply))
        .route("/end", post(doing::end))
        .route("/try", post(doing::dry_run))
        .route("/drain", post(doing::drain))
        .route("/release", post(doing::release))
        .merge(configuration::routes())
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
