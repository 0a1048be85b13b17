//! The API (`CLEARWAY_ADMIN`): HTTP for monitoring, tools and people, beside the private admin socket and with the same
//! handlers ([`super::answers`]). Without the setting nothing listens and there is no thread.
//!
//! ```text
//!   listening a socket that listens at an address: its file, its mode, which users may connect
//!   serving   lets clients in, and bounds how many there are, how long they are silent, how much they send
//!   guard     what a request must have before a handler sees it: token, `Host`, the header of a POST
//!   files     what generations were started from, for the clients that may see it
//!   routes    the paths
//! ```
//!
//! All of it runs on a thread of its own, with an event loop of its own: what a client does there costs the loop of Clearway
//! only the question that a handler asks (docs/decisions/0041-api.md). Where another Clearway is taken over from, it listens
//! when this one serves and the other has let go of the address; what is in use is tried again.

mod basic;
mod client_io;
mod files;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod guard;
mod listening;
mod not_done;
pub mod notices;
mod openapi;
mod routes;
mod seats;
mod serving;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::settings::{AdminAddress, Settings};
use clearway_core::supervisor::Action;
use tokio::sync::watch;

use crate::front::request::Wishes;
use crate::ground::aside;
use serving::{ApiState, Attendant};
use token::TokenFile;

/// How long clients that are being answered may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Where the API listens, and what it wants to be shown.
#[derive(Debug, Default)]
pub struct PublicPlaces {
    addresses: Vec<AdminAddress>,
    token: Option<Arc<TokenFile>>,
}

impl PublicPlaces {
    /// As the settings have it. Reads the token, which may hang: not to be called in the loop.
    pub fn of(settings: &Settings) -> Result<Self, Failure> {
        let addresses = settings.admin.clone();
        if let Some(address) = addresses.iter().find(|one| one.needs_a_token())
            && settings.admin_token_file.is_none()
        {
            let message = format!(
                "CLEARWAY_ADMIN has {address}, which other hosts may reach, and no token is needed to reload and stop this \
                 Clearway there"
            );
            return Err(Failure::new(ExitCode::Usage, message).hint(
                "put a secret into a file and name it with CLEARWAY_ADMIN_TOKEN_FILE, or listen at `127.0.0.1:PORT`, \
                 `[::1]:PORT` or a path",
            ));
        }
        // Where only paths are listened at, nothing shows it.
        let is_tcp = addresses.iter().any(|one| matches!(one, AdminAddress::Tcp(_)));
        let file = settings.admin_token_file.as_ref().filter(|_| is_tcp);
        let token = file.map(|file| TokenFile::read(file).map(Arc::new)).transpose()?;
        Ok(Self { addresses, token })
    }
}

/// The API, if there is one.
#[derive(Debug)]
pub struct PublicApi {
    places: Option<PublicPlaces>,
    requests: Wishes,
    state: watch::Sender<ApiState>,
}

impl PublicApi {
    /// Nothing listens yet. What clients ask goes to `requests`.
    pub fn new(places: PublicPlaces, requests: Wishes) -> Self {
        let places = Some(places).filter(|places| !places.addresses.is_empty());
        Self { places, requests, state: watch::Sender::new(ApiState::Closed) }
    }

    /// Begins; where a predecessor serves, clients find that until this one serves.
    pub fn begin(&mut self, has_predecessor: bool) {
        let Some(PublicPlaces { addresses, token }) = self.places.take() else { return };
        let state = if has_predecessor { ApiState::Closed } else { ApiState::Open };
        self.state.send_replace(state);
        let attendants: Vec<Attendant> = addresses
            .into_iter()
            .map(|address| Attendant::new(address, token.clone(), &self.requests, self.state.subscribe()))
            .collect();
        aside::spawn("serving the API", move || serving::serve(attendants));
    }

    /// What is about to be carried out.
    pub fn hear(&self, action: &Action) {
        let state = match action {
            Action::Commit(_) | Action::TakeBack => ApiState::Open,
            Action::Relieve(_) | Action::GiveBack => ApiState::Closed,
            _ => return,
        };
        self.state.send_replace(state);
    }

    /// Clearway ends: no client is let in any more, and what is being answered is finished.
    pub fn end(&self) {
        self.state.send_replace(ApiState::Ended);
    }

    /// Waits until the last answers are written, for a moment at most.
    pub async fn let_go(&self) {
        // Each attendant has a receiver until it is done.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.state.closed()).await;
    }
}
