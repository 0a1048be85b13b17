//! Threads beside the loop. None is worth the life of PID 1: where the limit of processes is reached, what a thread
//! was to do is left out, and said.

use std::sync::mpsc::{self, Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ground::notice::{GroundNotice, tell};

/// Where a thread is needed.
pub const LIMIT_REACHED: &str =
    "a limit of processes is reached: `--pids-limit` at `docker run`, TasksMax= under systemd";

/// Does something beside the loop; false if there can be no thread.
pub fn spawn(what: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let spawned = std::thread::Builder::new().name("clearway-aside".to_owned()).spawn(work);
    if let Err(error) = &spawned {
        let hints = vec![LIMIT_REACHED.to_owned()];
        tell(&GroundNotice::NoThread { what: what.to_owned(), error: error.to_string(), hints });
    }
    spawned.is_ok()
}

/// Does something beside the loop, and waits for what comes of it; nothing if there can be no thread, which is logged.
/// Not by tokio's own threads, which panic there.
pub async fn outcome_of<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    // The other end of a connection is looked up with it (`ground::credentials`).
    let runtime = tokio::runtime::Handle::try_current().ok();
    spawn(what, move || {
        let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
        let _ = sender.send(work());
    });
    receiver.await.ok()
}

/// How long what is still to be done may take at the end.
const LAST_WORK: Duration = Duration::from_secs(1);

/// A thread that does one thing after the other, each of which may take long. What is in the queue when this is dropped is
/// waited for, for a second at most.
#[derive(Debug)]
pub struct Queue<T> {
    work: Option<Sender<T>>,
    /// Closed when everything is done.
    done: Receiver<()>,
}

impl<T: Send + 'static> Queue<T> {
    /// Begins; nothing if there can be no thread.
    pub fn begin(what: &str, mut work_on: impl FnMut(T) + Send + 'static) -> Option<Self> {
        let (work, waiting) = channel();
        let (doing, done) = channel();
        let begun = spawn(what, move || {
            let _until_the_end: Sender<()> = doing;
            while let Ok(one) = waiting.recv() {
                work_on(one);
            }
        });
        begun.then_some(Self { work: Some(work), done })
    }

    /// Has it done after what is in the queue already.
    pub fn put(&self, one: T) {
        // Its thread lives as long as this.
        let _ = self.work.as_ref().map(|work| work.send(one));
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        self.work = None;
        let _ = self.done.recv_timeout(LAST_WORK);
    }
}

/// Something that may never end, as a file may be on a machine that does not answer: once at a time.
#[derive(Clone, Debug, Default)]
pub struct Single(Arc<Mutex<Option<Instant>>>);

impl Single {
    fn begun(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long it has been under way, if it is.
    pub fn busy_for(&self) -> Option<Duration> {
        self.begun().map(|begun| begun.elapsed())
    }

    /// Whether it is under way.
    pub fn is_busy(&self) -> bool {
        self.begun().is_some()
    }

    /// Does it beside the loop, and tells what came of it when it is not under way any more: what hears that may begin the
    /// next one. False if it is still under way, or there can be no thread.
    pub fn spawn<T>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
        tell: impl FnOnce(T) + Send + 'static,
    ) -> bool {
        match &mut *self.begun() {
            Some(_) => return false,
            begun => *begun = Some(Instant::now()),
        }
        let busy = Busy(self.clone());
        spawn(what, move || {
            let outcome = work();
            drop(busy);
            tell(outcome);
        })
    }
}

/// How often it is looked whether another thread is still at it.
const PACE: Duration = Duration::from_millis(5);

impl Single {
    /// Does it beside the loop, and waits for what comes of it. Nothing if that, or what is under way already, takes longer than
    /// `limit`. Not to be called in the loop.
    pub fn outcome_within<T: Send + 'static>(
        &self,
        what: &str,
        limit: Duration,
        work: impl FnOnce() -> T + Clone + Send + 'static,
    ) -> Option<T> {
        let until = Instant::now() + limit;
        // What has not answered another one for so long is not waited for once more.
        while self.busy_for() <= Some(limit) {
            let (sender, receiver) = mpsc::channel();
            // It may not be waited for any more.
            let begun = self.spawn(what, work.clone(), move |outcome| drop(sender.send(outcome)));
            let left = until.saturating_duration_since(Instant::now());
            if begun {
                return receiver.recv_timeout(left).ok();
            }
            if left.is_zero() {
                break;
            }
            std::thread::sleep(PACE);
        }
        None
    }
}

/// As long as it lives.
struct Busy(Single);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.begun() = None;
    }
}

#[cfg(test)]
mod tests;
