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
use clearway_core::names::Generation;
use clearway_core::programs::{ProgramAction, ProgramReport};
use clearway_core::supervisor::{Action, Report};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::front::request::Wishes;
use crate::ground::notice::tell;
use notices::MasterCliNotice;
use session::ClientHost;
use socket::{MasterCliPlace, MasterCliSocket};

/// How long clients wait for programs: one whose file hangs is no reason to keep them out.
const PROGRAMS: Duration = Duration::from_secs(3);

/// How long after a failure it is tried again to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// The sockets of the master CLI.
#[derive(Debug)]
pub struct MasterCli {
    host: ClientHost,
    seats: Vec<Seat>,
    /// How many programs are being started.
    starting: usize,
    /// Whether a generation serves whose programs are not there yet: a client waits for these, as a real master lists them from
    /// the beginning.
    lacks_programs: watch::Sender<bool>,
}

/// One address, and what listens there.
#[derive(Debug)]
struct Seat {
    address: MasterCliPlace,
    state: SeatState,
}

impl Seat {
    fn is_open(&self) -> bool {
        matches!(self.state, SeatState::Open(_))
    }
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
        let (host, lacks_programs) = (ClientHost::new(requests), watch::Sender::new(false));
        Self { host, seats, starting: 0, lacks_programs }
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

    /// What is about to be carried out. `has_programs`: whether a generation is one with `program` sections.
    pub fn hear(&mut self, action: &Action, has_programs: impl Fn(Generation) -> bool) {
        match action {
            Action::Commit(generation) => {
                self.lacks_programs.send_replace(has_programs(*generation));
                self.open();
            }
            Action::Program(ProgramAction::Start(..)) => self.starting += 1,
            Action::Report(Report::Program(
                ProgramReport::Started { .. } | ProgramReport::NotStarted { .. },
            )) => {
                self.starting = self.starting.saturating_sub(1);
                self.lacks_programs.send_if_modified(|lacks| self.starting == 0 && std::mem::take(lacks));
            }
            // Its programs have been there since its commit.
            Action::TakeBack => {
                self.lacks_programs.send_replace(false);
                self.open();
            }
            Action::Relieve(_) => self.close(),
            _ => {}
        }
    }

    fn open(&mut self) {
        for Seat { address, state } in self.seats.iter_mut().filter(|seat| !seat.is_open()) {
            let (host, mut lacks_programs) = (self.host.clone(), self.lacks_programs.subscribe());
            let socket = match std::mem::replace(state, SeatState::Closed) {
                SeatState::Bound(socket) => Some(socket),
                _ => None,
            };
            let address = address.clone();
            let task = tokio::spawn(async move {
                let _ = timeout(PROGRAMS, lacks_programs.wait_for(|lacks| !lacks)).await;
                match socket {
                    Some(socket) => socket.serve(host).await,
                    None => listen(address, host).await,
                }
            });
            *state = SeatState::Open(task.abort_handle());
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
