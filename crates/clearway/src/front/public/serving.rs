//! The thread of the API: at each address an attendant listens as long as it is to, and lets clients in.
//!
//! | bound | |
//! |---|---|
//! | clients of an address | `seats::MOST`; one more takes the place of the one that has been silent for longest |
//! | a client's silence before and within a request | [`SILENCE`] |
//! | the first line and the headers of a request | [`LONGEST`]; more is answered with 431 |
//! | reading an answer | 30 s without a byte |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use axum::{Router, middleware};
use clearway_core::settings::AdminAddress;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::front::public::client_io::{ClientActivity, ClientIo, ClientStream};
use crate::front::public::guard::{self, ApiGuard};
use crate::front::public::listening::{ApiListener, Arrived, not_listening};
use crate::front::public::notices::PublicNotice;
use crate::front::public::routes;
use crate::front::public::seats::{Seats, TakenSeat};
use crate::front::public::token::TokenFile;
use crate::front::request::Wishes;
use crate::ground::notice::tell;

/// How long a client may be silent before it has asked.
const SILENCE: Duration = Duration::from_secs(20);

/// How many bytes the head of a request has, at most.
const LONGEST: usize = 16 << 10;

/// How soon it is tried again to listen where another Clearway is leaving, and for how long that is nothing to be said.
const SOON: Duration = Duration::from_millis(50);
const LEAVING: Duration = Duration::from_secs(3);

/// How soon later.
const AGAIN: Duration = Duration::from_secs(1);

/// A pause where descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether clients are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiState {
    /// They are not: another Clearway is to be found there.
    Closed,
    /// They are.
    Open,
    /// Never again.
    Ended,
}

/// What attends to one address.
#[derive(Debug)]
pub struct Attendant {
    address: AdminAddress,
    service: Router,
    state: watch::Receiver<ApiState>,
    /// Unset: nothing has listened there yet that is to leave.
    patience: Duration,
}

impl Attendant {
    /// Of this address.
    pub fn new(
        address: AdminAddress,
        token: Option<Arc<TokenFile>>,
        requests: &Wishes,
        state: watch::Receiver<ApiState>,
    ) -> Self {
        let layer = middleware::from_fn_with_state(ApiGuard::at(&address, token), guard::guard);
        let service = routes::router(requests.clone()).layer(layer);
        let patience = if *state.borrow() == ApiState::Open { Duration::ZERO } else { LEAVING };
        Self { address, service, state, patience }
    }

    /// Until the end.
    async fn attend(mut self) {
        let (mut clients, seats) = (JoinSet::new(), Seats::default());
        while let Ok(state) =
            self.state.wait_for(|state| *state != ApiState::Closed).await.map(|state| *state)
        {
            if state == ApiState::Ended {
                break;
            }
            let mut closed = self.state.clone();
            tokio::select! {
                biased;
                _ = closed.wait_for(|state| *state != ApiState::Open) => {}
                () = self.let_in(&mut clients, &seats) => {}
            }
            self.patience = LEAVING;
        }
        while clients.join_next().await.is_some() {}
    }

    /// Listens, and lets clients in until it is dropped.
    async fn let_in(&self, clients: &mut JoinSet<()>, seats: &Seats) {
        let listener = self.listen().await;
        let mut said = false;
        loop {
            tokio::select! {
                Some(_) = clients.join_next() => {}
                arrived = listener.accept() => match arrived {
                    Ok(Arrived::Welcome(stream)) => self.welcome(stream, clients, seats),
                    Ok(Arrived::Foreign(uid)) if !said => {
                        said = true;
                        tell(&PublicNotice::Foreign { address: self.address.to_string(), uid });
                    }
                    Ok(Arrived::Foreign(_)) => {}
                    Err(_) => sleep(PAUSE).await,
                }
            }
        }
    }

    /// Listens as soon as it can: another Clearway may not have left the address yet.
    async fn listen(&self) -> ApiListener {
        let (begun, mut said) = (Instant::now(), false);
        loop {
            let is_soon = begun.elapsed() < self.patience;
            match ApiListener::open(&self.address) {
                Ok(listener) => {
                    tell(&PublicNotice::Listening { address: self.address.to_string() });
                    return listener;
                }
                Err(error) if !is_soon && !said => {
                    said = true;
                    let failure = not_listening(&self.address, &error);
                    tell(&PublicNotice::NotListening { address: self.address.to_string(), failure });
                }
                Err(_) => {}
            }
            sleep(if is_soon { SOON } else { AGAIN }).await;
        }
    }

    /// One that comes while all places are those of clients that are being answered is closed at once.
    fn welcome(&self, stream: ClientStream, clients: &mut JoinSet<()>, seats: &Seats) {
        let activity = ClientActivity::new();
        let Some(seat) = seats.take(&activity) else { return };
        let number = seat.number();
        let io = ClientIo::new(stream, Arc::clone(&activity));
        let task = clients.spawn(converse(io, activity, self.service.clone(), self.state.clone(), seat));
        seats.is_served_by(number, task);
    }
}

/// One client, until it goes or is to go.
async fn converse(
    io: ClientIo,
    activity: Arc<ClientActivity>,
    router: Router,
    mut state: watch::Receiver<ApiState>,
    _seat: TakenSeat,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let (asked, answer) = (activity.ask(), router.call(request));
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            drop(asked);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(LONGEST)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        // A client that goes is no error.
        _ = connection.as_mut() => return,
        _ = state.wait_for(|state| *state != ApiState::Open) => {}
    }
    // What is being answered is finished, and nothing more is asked here.
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Attends to all addresses until the end. Blocks.
pub fn serve(attendants: Vec<Attendant>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&PublicNotice::Failed { error: error.to_string() }),
    };
    runtime.block_on(async {
        let mut attending: JoinSet<()> = attendants.into_iter().map(Attendant::attend).collect();
        while attending.join_next().await.is_some() {}
    });
}

#[cfg(test)]
mod tests;
