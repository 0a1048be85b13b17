//! A look at the files, all of it: what follows a path may hang for ever, if the machine that has the files does
//! not answer. So a [`Job`] goes to a thread, and [`Looked`] comes back, or not.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::FileMount;
use tokio::sync::oneshot;

use crate::fleet::files::{FileChanges, FileSet, Sighting};
use crate::fleet::notices::FleetNotice;
use crate::fleet::watch::inotify::{self, Armed};
use crate::fleet::watch::paths::Interests;
use crate::ground::notice::tell;

/// What a look needs.
#[derive(Debug)]
pub struct Job {
    /// At what.
    pub files: LookAt,
    /// What there was at the last look.
    pub before: Arc<Sighting>,
    /// Where the kernel is told what to hint at; unset where no hints can be had.
    pub inotify: Option<Arc<OwnedFd>>,
}

/// At what is looked.
#[derive(Debug)]
pub enum LookAt {
    /// At what was looked at before: what has changed?
    Again(Arc<FileSet>),
    /// At the files of a configuration that a HAProxy is about to read.
    Anew(Following),
}

/// A configuration whose files are to be watched from now on.
#[derive(Debug)]
pub struct Following {
    /// As it was read.
    pub configuration: Arc<Configuration>,
    /// Where that was.
    pub invocation: Box<Invocation>,
    /// Hears when its files have been seen.
    pub seen: oneshot::Sender<()>,
}

/// What came of it.
#[derive(Debug)]
pub struct Looked {
    /// What was looked at.
    pub files: Arc<FileSet>,
    /// What there is.
    pub now: Sighting,
    /// What is different; unset if that was not looked at before.
    pub difference: Option<FileChanges>,
    /// What the kernel hints at from now on.
    pub armed: Option<Armed>,
    /// Mounted files that will never change here again, because they were replaced on the host.
    pub replaced: Vec<FileMount>,
}

/// Looks.
pub fn look(job: Job) -> Looked {
    let Job { files, before, inotify } = job;
    let (files, following) = match files {
        LookAt::Again(files) => (files, None),
        LookAt::Anew(following) => {
            (Arc::new(FileSet::of(&following.configuration, &following.invocation)), Some(following))
        }
    };
    let mounts = FileMount::all();
    let interests = Interests::of(files.paths().chain(before.paths()), &mounts);
    let replaced = mounts.into_iter().filter(|one| one.deleted && interests.mounted.contains(&one.point));
    // Watched first, then looked at: what changes in between is hinted at.
    let armed = inotify.map(|inotify| inotify::arm(&inotify, &interests));
    let now = files.look(&before);
    let (now, difference) = if let Some(Following { configuration, seen, .. }) = following {
        // It may not be waited for any more.
        let _ = seen.send(());
        (now.with(&configuration.files), None)
    } else {
        let difference = files.difference(&before, &now);
        (now, Some(difference))
    };
    Looked { files, now, difference, armed, replaced: replaced.collect() }
}

/// How long a look may take before it is said.
const LONG: Duration = Duration::from_secs(10);

/// A look under way.
#[derive(Debug)]
pub struct Looking {
    /// Whether it was hinted at a change.
    pub hinted: bool,
    /// Whether it takes [`LONG`].
    pub late: bool,
    since: Instant,
    answer: oneshot::Receiver<Looked>,
}

impl Looking {
    /// It has begun, and the answer will come there.
    pub fn begun(hinted: bool, answer: oneshot::Receiver<Looked>) -> Self {
        Self { hinted, late: false, since: Instant::now(), answer }
    }

    /// Waits until it is over; nothing if the thread has died. `said` is whether it was said of the looks before that
    /// they take long. May be dropped at any time, and called again.
    pub async fn looked(&mut self, said: &mut bool) -> Option<Looked> {
        let until = tokio::time::Instant::from_std(self.since + LONG);
        if let Ok(looked) = tokio::time::timeout_at(until, &mut self.answer).await {
            return looked.ok();
        }
        self.late = true;
        if !std::mem::replace(said, true) {
            tell(&FleetNotice::Hangs);
        }
        (&mut self.answer).await.ok()
    }
}
