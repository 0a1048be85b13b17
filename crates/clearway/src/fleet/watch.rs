//! Watching the files: `CLEARWAY_WATCH`.
//!
//! ```text
//!   a person, a program   the kernel           Watch                              the loop
//!        | writes, renames     |                  |                                   |
//!        |-------------------->|---- a hint ----->| after a quiet time: looks         |
//!        |                     |                  | at every file itself              |
//!        |                     |                  |---- what has really changed ----->| reload
//!        |                     |                  |<--- follow(what it reads now) ----| prepares
//! ```
//!
//! Events are hints and nothing more: they tell that it is time to look ([`inotify`]). What counts is what is on
//! disk then, beside what was there at the last look ([`Sighting`]); a file that was only touched asks for nothing.
//! The *directories* are watched, along every symbolic link on the way ([`paths`]), because files are replaced
//! rather than written. Each look follows the way anew, so what was replaced on it is watched from then on.
//!
//! [`Watch::follow`] is called before a generation is started: what the files of a configuration are is what was
//! read for it, and what they refer to is seen before HAProxy reads it. So a change is never missed; at worst it
//! is seen although that HAProxy has it already. A reload that fails changes nothing of that: the next change
//! asks again.
//!
//! Looking, and watching a directory, is done on a thread ([`look`]), one look at a time: with a filesystem that
//! hangs (a hard mount of an NFS server that is gone) it never ends, and then nothing else does but the watching.
//!
//! A file that must be there and is gone asks for nothing either, since the reload could only fail: it is said,
//! and when the file comes back with another content, that is a change.
//!
//! While nothing happens, there is no thread and nothing wakes up. Where the kernel's limits do not
//! suffice, or if `poll` is set, everything is looked at every [`POLL`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clearway_core::count::Count;
use clearway_core::settings::WatchMode;
use clearway_core::watching::{LookTimes, POLL};
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use tokio::sync::oneshot;

use crate::debug;
use crate::fleet::notices::FleetNotice;
use crate::ground::notice::tell;

mod inotify;
mod look;
mod paths;

use crate::fleet::files::{FileChanges, FileSet, Sighting};
use crate::ground::{aside, due};
use inotify::{Inotify, NoHints};
use look::{Following, Job, LookAt, Looked, Looking};

/// Watches the files of a configuration, or does nothing at all.
#[derive(Debug)]
pub struct Watch {
    mode: WatchMode,
    /// When it is looked.
    times: LookTimes,
    files: Arc<FileSet>,
    seen: Arc<Sighting>,
    inotify: Inotify,
    /// How it is looked.
    look: fn(Job) -> Looked,
    looking: Option<Looking>,
    /// What is to be watched as soon as no look is under way.
    following: Option<Following>,
    /// What was said already, by the file that it is about.
    said: BTreeSet<PathBuf>,
    said_polling: bool,
    said_late: bool,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new(mode: WatchMode, quiet: Duration) -> Self {
        Self {
            mode,
            times: LookTimes::after(quiet),
            files: Arc::default(),
            seen: Arc::default(),
            inotify: Inotify::default(),
            look: look::look,
            looking: None,
            following: None,
            said: BTreeSet::new(),
            said_polling: false,
            said_late: false,
        }
    }

    /// From now on the files of this configuration are watched, which a HAProxy is about to read: as soon as they
    /// were seen, which is told, unless watching is off. It may take for ever, and fails if another one is followed.
    pub fn follow(
        &mut self,
        configuration: &Arc<Configuration>,
        invocation: &Invocation,
    ) -> Option<oneshot::Receiver<()>> {
        if self.mode == WatchMode::Off {
            return None;
        }
        let (seen, told) = oneshot::channel();
        let (configuration, invocation) = (Arc::clone(configuration), Box::new(invocation.clone()));
        self.following = Some(Following { configuration, invocation, seen });
        Some(told)
    }

    /// Waits until a file has changed, and tells which. May be dropped at any time, and called again.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            if let Some(looking) = &mut self.looking {
                // What the kernel hints at meanwhile waits there.
                let looked = looking.looked(&mut self.said_late).await;
                let changed = self.take(looked);
                if !changed.is_empty() {
                    return changed;
                }
                continue;
            }
            let next = self.times.next();
            if self.following.is_some() || next.is_some_and(|at| at <= due::elapsed()) {
                self.begin();
                continue;
            }
            tokio::select! {
                relevant = self.inotify.next() => if relevant { self.times.hint(due::elapsed()) },
                () = due::after(next) => {}
            }
        }
    }

    /// Begins to look at every file.
    fn begin(&mut self) {
        let hinted = self.times.begin();
        let files = match self.following.take() {
            Some(following) => LookAt::Anew(following),
            None => LookAt::Again(Arc::clone(&self.files)),
        };
        let inotify = (self.mode == WatchMode::On).then(|| self.inotify.descriptor());
        let inotify = inotify.and_then(|opened| opened.map_err(|why| self.polls_because(&why)).ok());
        let job = Job { files, before: Arc::clone(&self.seen), inotify };
        let (look, (sender, answer)) = (self.look, oneshot::channel());
        let begun = aside::spawn("looking at the watched files", move || {
            // It is not waited for any more if Clearway leaves.
            let _ = sender.send(look(job));
        });
        if begun {
            self.looking = Some(Looking::begun(hinted, answer));
        } else {
            self.times.poll(due::elapsed() + POLL);
        }
    }

    /// A look is over; what has changed is remembered as it is now.
    fn take(&mut self, looked: Option<Looked>) -> Vec<PathBuf> {
        let looking = self.looking.take();
        let hinted = looking.as_ref().is_some_and(|looking| looking.hinted);
        if !looking.is_some_and(|looking| looking.late) && std::mem::take(&mut self.said_late) {
            tell(&FleetNotice::Answers);
        }
        let Some(Looked { files, now, difference, armed, replaced }) = looked else {
            self.times.poll(due::elapsed() + POLL);
            return Vec::new();
        };
        if let Some(Err(why)) = armed.map(|armed| self.inotify.take(armed)) {
            self.polls_because(&why);
        }
        // A mounted file that was replaced on the host will never change here again.
        for mount in replaced {
            if self.said.insert(mount.point.clone()) {
                tell(&FleetNotice::Replaced { detail: mount.replaced() });
            }
        }
        if self.mode == WatchMode::Poll || !self.inotify.is_complete() {
            self.times.poll(due::elapsed() + POLL);
        } else {
            self.times.wait_for_hints();
        }
        match difference {
            None => {
                (self.files, self.seen) = (files, Arc::new(now));
                if self.seen.is_incomplete() {
                    self.say(Path::new(""), &FleetNotice::Incomplete);
                }
                // What has changed since the files were read gave no hint if it was not watched before.
                self.times.hint(due::elapsed());
                Vec::new()
            }
            // Another configuration is about to be followed: these files are looked at for it, or never more.
            Some(_) if self.following.is_some() => Vec::new(),
            Some(difference) if !hinted && !difference.changed.is_empty() => {
                // Seen by polling, perhaps half written: a quiet time later it is looked at again.
                self.times.hint(due::elapsed());
                Vec::new()
            }
            Some(difference) => self.changed_since(now, difference),
        }
    }

    /// What is different counts, and is remembered.
    fn changed_since(&mut self, now: Sighting, difference: FileChanges) -> Vec<PathBuf> {
        for path in &difference.missing {
            self.say(path, &FleetNotice::Missing { file: path.display().to_string() });
        }
        for path in &difference.back {
            if self.said.remove(path) {
                tell(&FleetNotice::Back { file: path.display().to_string() });
            }
        }
        debug!("looked at {}; changed: {}", Count(now.paths().len(), "file"), difference.changed.len());
        self.seen = Arc::new(now.keeping(&self.seen, &difference.missing));
        difference.changed
    }

    /// The kernel gives no hints, or not all.
    fn polls_because(&mut self, why: &NoHints) {
        if !std::mem::replace(&mut self.said_polling, true) {
            tell(&FleetNotice::Polls { error: why.to_string(), pause: POLL.as_secs() });
        }
    }

    /// Says something about a path once.
    fn say(&mut self, path: &Path, what: &FleetNotice) {
        if self.said.insert(path.to_path_buf()) {
            tell(what);
        }
    }
}

#[cfg(test)]
mod tests;
