//! Clients that Clearway lets go before it ends itself.
//!
//! The end of a container's first process kills every other process in it, also one that was given its answer a
//! millisecond before. So Clearway ends after them: a client that waits for an answer, or was given one less than [`MOMENT`]
//! ago, has that long to read it and to be gone. One that cannot be seen from here (it asks from outside of the container) is not
//! killed by our end, but is given its answer before it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// How long a client may take to be gone after its answer. One that asks again and again never is.
const MOMENT: Duration = Duration::from_secs(1);

/// How many are waited for: each costs a descriptor.
const MOST: usize = 64;

/// The process that has connected.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Its process, if it is in our PID namespace.
    pub pid: Option<i32>,
}

/// The processes that have asked something lately.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    seen: Arc<Mutex<Vec<Client>>>,
    /// How many wait of those that are not in the list.
    unseen: watch::Sender<usize>,
}

#[derive(Debug)]
struct Client {
    /// Its handle (pidfd), which can be read from when it is gone.
    process: Arc<OwnedFd>,
    /// Unset: it waits.
    answered: Option<Instant>,
}

/// A request of one of them; it is answered when this is dropped.
#[derive(Debug)]
pub struct Visit {
    clients: Clients,
    /// Its process; unset: it is counted only.
    process: Option<Arc<OwnedFd>>,
}

impl Clients {
    /// A process has asked something. One of another PID namespace is not seen, and not killed by our end.
    pub fn asked(&self, pid: Option<i32>) -> Visit {
        let process = pid.and_then(handle_of).map(Arc::new).filter(|process| self.remember(process));
        if process.is_none() {
            self.unseen.send_modify(|waiting| *waiting += 1);
        }
        Visit { clients: self.clone(), process }
    }

    /// Whether there was room for it.
    fn remember(&self, process: &Arc<OwnedFd>) -> bool {
        let mut clients = self.lock();
        clients.retain(Client::is_near);
        let has_room = clients.len() < MOST;
        if has_room {
            clients.push(Client { process: Arc::clone(process), answered: None });
        }
        has_room
    }

    /// Waits until those are gone that wait or were just answered, for a moment at most.
    pub async fn let_go(&self) {
        let near: Vec<Arc<OwnedFd>> =
            self.lock().iter().filter(|one| one.is_near()).map(|one| Arc::clone(&one.process)).collect();
        let mut unseen = self.unseen.subscribe();
        let all_gone = async {
            // What has its answer has it sent in the same turn of the loop.
            let _ = unseen.wait_for(|waiting| *waiting == 0).await;
            for process in near {
                gone(process).await;
            }
        };
        let _ = tokio::time::timeout(MOMENT, all_gone).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of a process, if it is there.
pub fn handle_of(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Waits until a process is gone. What cannot be waited for is not waited for.
pub async fn gone(process: Arc<OwnedFd>) {
    // SAFETY: an `OwnedFd` is open and the same until it is dropped, and the `AsyncFd` owns a part of it.
    let process = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) };
    if let Ok(process) = process {
        let _ = process.readable().await;
    }
}

impl Client {
    fn is_near(&self) -> bool {
        self.answered.is_none_or(|answered| answered.elapsed() < MOMENT)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some(process) = &self.process else {
            return self.clients.unseen.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        };
        if let Some(client) = self.clients.lock().iter_mut().find(|one| Arc::ptr_eq(&one.process, process)) {
            client.answered = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn sleeping() -> std::process::Child {
        std::process::Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn one_that_waits_is_let_go_and_one_of_long_ago_is_not_waited_for() {
        let clients = Clients::default();
        let mut child = sleeping();
        let visit = clients.asked(i32::try_from(child.id()).ok());
        let begun = Instant::now();
        let gone = std::thread::spawn(move || {
            child.kill().unwrap();
            child.wait().unwrap();
        });
        runtime().block_on(clients.let_go());
        gone.join().unwrap();
        drop(visit);
        for client in clients.lock().iter_mut() {
            client.answered = begun.checked_sub(MOMENT);
        }
        let near = clients.lock().iter().filter(|one| one.is_near()).count();
        assert_eq!(near, 0, "it was answered long ago");
    }

    #[test]
    fn one_that_stays_is_waited_for_a_moment_only() {
        let clients = Clients::default();
        let mut child = sleeping();
        drop(clients.asked(i32::try_from(child.id()).ok()));
        let begun = Instant::now();
        runtime().block_on(clients.let_go());
        assert!(begun.elapsed() >= MOMENT, "it was answered just now");
        child.kill().unwrap();
        child.wait().unwrap();
        runtime().block_on(clients.let_go());
    }

    #[test]
    fn one_that_cannot_be_seen_is_given_its_answer() {
        let clients = Clients::default();
        let visit = clients.asked(None);
        let answered = Arc::new(Mutex::new(false));
        runtime().block_on(async {
            let tells = Arc::clone(&answered);
            tokio::spawn(async move {
                *tells.lock().unwrap() = true;
                drop(visit);
            });
            clients.let_go().await;
        });
        assert!(*answered.lock().unwrap(), "it ended before the answer");
    }

    #[test]
    fn those_that_cannot_be_seen_and_those_that_are_too_many_are_not_waited_for() {
        let clients = Clients::default();
        assert!(clients.asked(None).process.is_none());
        let own = i32::try_from(std::process::id()).ok();
        let visits: Vec<Visit> = (0..=MOST).map(|_| clients.asked(own)).collect();
        assert_eq!(visits.iter().filter(|visit| visit.process.is_some()).count(), MOST);
    }
}
