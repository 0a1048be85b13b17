//! What a signal means.

use tokio::signal::unix::{self, SignalKind, signal};

/// What a signal means.
#[derive(Clone, Copy, Debug)]
pub enum SignalNews {
    /// Children have ended.
    Children,
    /// A reload, by the signal of this name.
    Reload(&'static str),
    /// A stop, likewise.
    Stop(&'static str),
}

/// Those that are not left to their default actions.
#[derive(Debug)]
pub struct Signals {
    child: unix::Signal,
    hup: unix::Signal,
    usr1: unix::Signal,
    usr2: unix::Signal,
    term: unix::Signal,
    int: unix::Signal,
}

impl Signals {
    /// From now on none is missed.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> SignalNews {
        tokio::select! {
            Some(()) = self.child.recv() => SignalNews::Children,
            Some(()) = self.term.recv() => SignalNews::Stop("SIGTERM"),
            Some(()) = self.int.recv() => SignalNews::Stop("SIGINT"),
            Some(()) = self.usr1.recv() => SignalNews::Stop("SIGUSR1"),
            Some(()) = self.hup.recv() => SignalNews::Reload("SIGHUP"),
            Some(()) = self.usr2.recv() => SignalNews::Reload("SIGUSR2"),
            else => std::future::pending().await,
        }
    }
}
