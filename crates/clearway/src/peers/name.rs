//! The sockets of the name: the lock and the door, the gate before them, and the admin sockets beside them. When they are
//! made, opened and closed is decided by the core ([`clearway_core::peers`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use clearway_core::names::InstanceName;
use clearway_core::peers::{NameGate, NamePart, PeersEvent};
use clearway_core::settings::Settings;
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::ground::notice::tell;
use crate::peers::admin_socket::AdminSocket;
use crate::peers::door::Door;
use crate::peers::news::News;
use crate::peers::notices::PeersNotice;
use crate::peers::{names, successor};

/// How many connections may wait to be accepted; the same as at the beginning.
const BACKLOG: i32 = 128;

/// What serves admin sockets.
pub trait ServeAdmin: std::fmt::Debug {
    /// Serves one until it is told to end; where there is a gate, as long as that is open.
    fn serve(&self, listener: UnixListener, gate: Option<watch::Receiver<bool>>) -> AbortHandle;
}

/// What this process has of the name, and what accepts there.
#[derive(Debug)]
pub(super) struct Name {
    instance: Option<InstanceName>,
    run_directory: PathBuf,
    /// Where the next one knocks; unset for a private instance.
    door: Option<Door>,
    admin: AdminSocket,
    serve: Box<dyn ServeAdmin>,
    news: UnboundedSender<News>,
    /// Duplicates of the lock and of the door, in this order. Without the door as long as it could not be made.
    sockets: Vec<OwnedFd>,
    /// What has come with the predecessor's last word, while that is heard.
    given: Vec<OwnedFd>,
    /// What accepts at them, while the gate is open.
    tasks: Vec<AbortHandle>,
    gate: watch::Sender<bool>,
    /// The admin socket beside the name, while that is a successor's; and what serves it.
    aside: Option<(AdminSocket, AbortHandle)>,
}

impl Name {
    /// Nothing of it yet.
    pub(super) fn new(settings: &Settings, serve: Box<dyn ServeAdmin>, news: UnboundedSender<News>) -> Self {
        let instance = settings.instance.clone();
        Self {
            run_directory: settings.run_directory.clone(),
            door: instance.as_ref().map(|name| Door::of_balancer(name, settings)),
            admin: AdminSocket::nowhere(instance.as_ref()),
            instance,
            serve,
            news,
            sockets: Vec::new(),
            given: Vec::new(),
            tasks: Vec::new(),
            gate: watch::Sender::new(true),
            aside: None,
        }
    }

    /// Begins with an admin socket; says whether it has the lock.
    pub(super) fn begin(&mut self, admin: AdminSocket) -> bool {
        self.admin = admin;
        if let Some(file) = self.admin.file() {
            self.serve_file(file);
        }
        self.sockets = self.admin.lock().map(OwnedFd::from).into_iter().collect();
        !self.sockets.is_empty()
    }

    /// Whether other Clearways can meet this one.
    pub(super) fn is_private(&self) -> bool {
        self.door.is_none()
    }

    /// What there is of it, to be given away.
    pub(super) fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }

    /// These came with the predecessor's last word; says whether the lock is among them.
    pub(super) fn offer(&mut self, given: Vec<OwnedFd>) -> bool {
        self.given = given;
        !self.given.is_empty()
    }

    /// They are the name from now on.
    pub(super) fn use_given(&mut self) {
        self.sockets = std::mem::take(&mut self.given);
    }

    /// Binds the lock, if no process has it.
    pub(super) fn take_lock(&mut self) -> Option<PeersEvent> {
        match self.admin.take_the_name() {
            Ok(lock) => {
                self.sockets = vec![lock?.into()];
                Some(PeersEvent::LockTaken)
            }
            Err(failure) => Some(PeersEvent::LockNotFree(failure)),
        }
    }

    /// The process that listened last is the one at a client's other end (`SO_PEERCRED`, unix(7)).
    pub(super) fn listen_anew(&self) {
        for socket in &self.sockets {
            if let Err(error) = rustix::net::listen(socket, BACKLOG) {
                tell(&PeersNotice::NotListening { error: error.to_string() });
            }
        }
    }

    /// Accepts at a part of it, which is made if it is not there yet.
    pub(super) fn open(&mut self, part: NamePart) -> PeersEvent {
        match self.try_to_open(part) {
            Ok(()) => PeersEvent::Opened(part),
            Err(why) => PeersEvent::NotOpened(why),
        }
    }

    fn try_to_open(&mut self, part: NamePart) -> Result<(), String> {
        let task = match part {
            NamePart::Lock => {
                let Some(lock) = self.sockets.first() else { return Ok(()) };
                let listener =
                    duplicate(lock).map_err(|error| format!("the abstract admin socket: {error}"))?;
                self.serve.serve(listener, Some(self.gate.subscribe()))
            }
            NamePart::Door => {
                let Some(door) = &self.door else { return Ok(()) };
                let cannot = |error: io::Error| format!("listening at {door}: {error}");
                if self.sockets.len() < 2 {
                    self.sockets.push(door.listen().map_err(cannot)?);
                }
                let Some(socket) = self.sockets.get(1) else { return Ok(()) };
                let listener = duplicate(socket).map_err(cannot)?;
                let served = successor::serve(listener, self.gate.subscribe(), self.news.clone());
                tokio::spawn(served).abort_handle()
            }
        };
        self.tasks.push(task);
        Ok(())
    }

    /// Accepts at what is open of it, or leaves that to the process that has it as well.
    pub(super) fn set_gate(&self, gate: NameGate) {
        self.gate.send_replace(gate == NameGate::Open);
    }

    /// Nothing of it is kept.
    pub(super) fn let_go(&mut self) {
        self.set_gate(NameGate::Closed);
        self.sockets.clear();
        self.tasks.drain(..).for_each(|task| task.abort());
    }

    /// Puts a socket file of our own in the place of a predecessor's.
    pub(super) fn make_file(&mut self) {
        if let Some(file) = self.admin.replace_file(&self.run_directory) {
            self.serve_file(file);
        }
    }

    fn serve_file(&self, file: std::os::unix::net::UnixListener) {
        match unblocked(file) {
            Ok(listener) => drop(self.serve.serve(listener, None)),
            Err(error) => tell(&PeersNotice::AdminUnserved { error: error.to_string() }),
        }
    }

    /// Makes an admin socket beside the name, so that this container can go on asking this Clearway.
    pub(super) fn stand_aside(&mut self) {
        let Some(instance) = &self.instance else { return };
        let made = AdminSocket::aside(&names::superseded(instance), &self.run_directory)
            .and_then(|(admin, listener)| Ok((admin, unblocked(listener)?)));
        match made {
            Ok((admin, listener)) => self.aside = Some((admin, self.serve.serve(listener, None))),
            Err(error) => tell(&PeersNotice::AdminNone { error: error.to_string() }),
        }
    }

    /// The admin socket of the name is this one's again.
    pub(super) fn come_back(&mut self) {
        if let Some((_admin, served)) = self.aside.take() {
            served.abort();
        }
    }

    /// Removes the admin sockets.
    pub(super) fn leave(&mut self) {
        if let Some((mut admin, _)) = self.aside.take() {
            admin.leave();
        }
        self.admin.leave();
    }
}

/// A duplicate of a listening socket that does not block.
fn duplicate(socket: &OwnedFd) -> io::Result<UnixListener> {
    unblocked(socket.try_clone()?.into())
}

fn unblocked(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
