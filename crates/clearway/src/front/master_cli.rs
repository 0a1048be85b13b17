//! The master CLI (`-S ADDRESS`): a socket at which Clearway answers as HAProxy's master does, for tools that know only that one.
//!
//! ```text
//!   socket    a socket that listens, as the address says; ours until another Clearway has taken over
//!   session   one client: a task with a `Dialogue`, which says what is to be done
//!   reach     which processes there are, asked of the rooms as a request; the way to each master
//!   relay     a command and its answer, to and from the real master of a generation
//!   record    what `show proc` and `show startup-logs` tell: reloads, births, last words
//!   lacking   what keeps it from listening there, for `check` and `doctor`
//! ```
//!
//! Nothing is waited for in the loop: a session waits for its client, for its worker, and for the answers to its requests. A worker
//! that hangs, or a client that does not read, stalls one session (docs/decisions/0036-master-cli.md).

pub mod lacking;
pub mod notices;
pub mod reach;
pub mod record;
mod relay;
mod session;
pub mod socket;

use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::supervisor::Action;
use tokio::task::AbortHandle;

use crate::front::request::Wishes;
use crate::ground::notice::tell;
use notices::MasterCliNotice;
use session::ClientHost;
use socket::{MasterCliPlace, MasterCliSocket};

/// How long after a failure it is tried again to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// The sockets of the master CLI.
#[derive(Debug)]
pub struct MasterCli {
    host: ClientHost,
    seats: Vec<Seat>,
}

/// One address, and what listens there.
#[derive(Debug)]
struct Seat {
    address: MasterCliPlace,
    state: SeatState,
}

#[derive(Debug)]
enum SeatState {
    /// No client comes in.
    Closed,
    /// Clients wait until a generation serves.
    Bound(MasterCliSocket),
    /// They are served.
    Open(AbortHandle),
}

impl MasterCli {
    /// Nothing listens yet. What clients ask goes to `requests`.
    pub fn new(addresses: Vec<MasterCliPlace>, requests: Wishes) -> Self {
        let seats = addresses.into_iter().map(|address| Seat { address, state: SeatState::Closed }).collect();
        Self { host: ClientHost::new(requests), seats }
    }

    /// Binds the addresses, before the loop runs. Where a predecessor serves, it is still to be found there.
    pub fn begin(&mut self, has_predecessor: bool) -> Result<(), Failure> {
        for Seat { address, state } in self.seats.iter_mut().filter(|_| !has_predecessor) {
            let opened = MasterCliSocket::open(address).map_err(|failure| match failure.code {
                ExitCode::AddressInUse => {
                    address.holders().iter().fold(failure, |failure, one| failure.hint(one.to_string()))
                }
                _ => failure,
            });
            *state = SeatState::Bound(opened?);
        }
        Ok(())
    }

    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        match action {
            Action::Commit(_) | Action::TakeBack => self.open(),
            Action::Relieve(_) => self.close(),
            _ => {}
        }
    }

    fn open(&mut self) {
        for Seat { address, state } in &mut self.seats {
            let host = self.host.clone();
            *state = match std::mem::replace(state, SeatState::Closed) {
                SeatState::Closed => {
                    SeatState::Open(tokio::spawn(listen(address.clone(), host)).abort_handle())
                }
                SeatState::Bound(socket) => SeatState::Open(tokio::spawn(socket.serve(host)).abort_handle()),
                SeatState::Open(task) => SeatState::Open(task),
            };
        }
    }

    /// No client comes in any more.
    pub fn close(&mut self) {
        for seat in &mut self.seats {
            if let SeatState::Open(task) = std::mem::replace(&mut seat.state, SeatState::Closed) {
                task.abort();
            }
        }
    }
}

/// Listens as soon as it can: another process may not have left the address yet.
async fn listen(address: MasterCliPlace, host: ClientHost) {
    let mut said = false;
    loop {
        match MasterCliSocket::open(&address) {
            Ok(socket) => return socket.serve(host).await,
            Err(failure) if !said => {
                said = true;
                tell(&MasterCliNotice::NotListening { failure });
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}
