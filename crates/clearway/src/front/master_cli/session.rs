//! One client of the master CLI.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use clearway_haproxy::master_cli::{AccessLevel, Dialogue, DialogueStep, DialogueTarget, OwnCommand};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::front::master_cli::reach::Reachable;
use crate::front::master_cli::relay::{READS_WITHIN, Relay, write};
use crate::front::request::{Request, Wishes};

/// How many clients are served at the same time; the others wait in the queue of the socket. (HAProxy serves 10.)
const MOST: usize = 64;

/// How much is read at once.
const PIECE: usize = 4 << 10;

/// How often it is looked whether a client is still there.
const LOOK: Duration = Duration::from_secs(5);

/// What HAProxy says where a worker cannot be had.
const NO_TARGET: &[u8] = b"Can't connect to the target CLI!\n";

/// What clients are served with.
#[derive(Clone, Debug)]
pub struct ClientHost {
    requests: Wishes,
    room: Arc<Semaphore>,
}

/// Clearway is just ending.
fn ending<T>(_: T) -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl ClientHost {
    /// What clients ask goes to `requests`.
    pub fn new(requests: Wishes) -> Self {
        Self { requests, room: Arc::new(Semaphore::new(MOST)) }
    }

    /// Waits until there is room for one more client.
    pub async fn room(&self) -> OwnedSemaphorePermit {
        match self.room.clone().acquire_owned().await {
            Ok(room) => room,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Serves a client beside everything else, until it goes.
    pub fn serve(
        &self,
        client: impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
        level: AccessLevel,
        room: OwnedSemaphorePermit,
    ) {
        let host = self.clone();
        tokio::spawn(async move {
            let ours = client.as_fd().try_clone_to_owned();
            tokio::select! {
                // A client that goes is no error.
                _ = CliSession::new(client, &host, level).run() => {}
                () = left(ours) => {}
            }
            drop(room);
        });
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> io::Result<T> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(request(sender)).await.map_err(ending)?;
        answer.await.map_err(ending)
    }
}

/// Waits until the client has been gone for a while: a worker that hangs, or that others wait for, may never answer, and what a
/// client has written before it went is to be done. (One that has only closed its side, as `socat` does, is there. Of a client
/// over TCP the kernel does not tell the two apart.)
async fn left(client: io::Result<OwnedFd>) {
    let is_gone = || {
        let Ok(client) = &client else { return false };
        let mut asked = [PollFd::new(client, PollFlags::empty())];
        poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    };
    while !is_gone() {
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(READS_WITHIN).await;
}

struct CliSession<'a, C> {
    client: C,
    host: &'a ClientHost,
    level: AccessLevel,
    /// A command whose payload has not ended yet.
    open: Option<Relay>,
}

impl<'a, C: AsyncRead + AsyncWrite + Unpin + Send> CliSession<'a, C> {
    fn new(client: C, host: &'a ClientHost, level: AccessLevel) -> Self {
        Self { client, host, level, open: None }
    }

    async fn look(&mut self) -> io::Result<Box<Reachable>> {
        self.host.ask(Request::Processes).await
    }

    async fn run(mut self) -> io::Result<()> {
        let there = self.look().await?;
        let mut dialogue = Dialogue::new(there.dialect, self.level);
        let ended = self.talk(&mut dialogue, there).await;
        if let Some(mut relay) = self.open.take()
            && dialogue.is_within_a_line()
        {
            let _ = relay.say(b"\n").await;
        }
        ended
    }

    async fn talk(&mut self, dialogue: &mut Dialogue, mut there: Box<Reachable>) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let step = dialogue.step(&there.table);
            match step {
                DialogueStep::More => {
                    let length = self.client.read(&mut buffer).await?;
                    if length == 0 {
                        return Ok(());
                    }
                    dialogue.hear(&buffer[..length]);
                    there = self.look().await?;
                }
                DialogueStep::Say(text) => write(&mut self.client, text.as_bytes()).await?,
                DialogueStep::End(text) => return write(&mut self.client, text.as_bytes()).await,
                DialogueStep::Own(OwnCommand::Reload) => return self.reload().await,
                step => {
                    if !self.carry_out(step, &there).await? {
                        return write(&mut self.client, NO_TARGET).await;
                    }
                    there = self.look().await?;
                    write(&mut self.client, dialogue.prompt(&there.table).as_bytes()).await?;
                }
            }
        }
    }

    /// False if the process is not there that it is for.
    async fn carry_out(&mut self, step: DialogueStep, there: &Reachable) -> io::Result<bool> {
        match step {
            DialogueStep::Own(OwnCommand::ShowProcesses { debug }) => {
                let text = there.table.show(there.dialect, debug) + "\n";
                write(&mut self.client, text.as_bytes()).await?;
            }
            DialogueStep::Own(OwnCommand::ShowStartupLogs) => {
                let text = self.host.ask(Request::StartupLogs).await? + "\n";
                write(&mut self.client, text.as_bytes()).await?;
            }
            DialogueStep::Ask { target, bytes, payload } => {
                let Some(relay) = begin(there, target, &bytes).await else { return Ok(false) };
                if payload {
                    self.open = Some(relay);
                } else {
                    relay.answer(&mut self.client).await?;
                }
            }
            DialogueStep::Payload { bytes, is_last } => {
                let Some(mut relay) = self.open.take() else { return Ok(false) };
                // One that does not want it all answers all the same.
                let _ = relay.say(&bytes).await;
                if is_last {
                    relay.answer(&mut self.client).await?;
                } else {
                    self.open = Some(relay);
                }
            }
            DialogueStep::Speak { worker, bytes } => {
                let target = DialogueTarget::Worker(worker);
                let Some(relay) = begin(there, target, &bytes).await else { return Ok(false) };
                relay.converse(&mut self.client).await?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Answered in one piece when it is known how it went: some clients read once.
    async fn reload(&mut self) -> io::Result<()> {
        let text = self.host.ask(Request::ReloadAsMaster).await?;
        write(&mut self.client, text.as_bytes()).await
    }
}

async fn begin(there: &Reachable, target: DialogueTarget, bytes: &[u8]) -> Option<Relay> {
    Relay::begin(there.master_for(target)?, bytes).await.ok()
}
