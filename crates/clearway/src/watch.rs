//! Watching the files: `CLEARWAY_WATCH`.
//!
//! ```text
//!   somebody writes       the kernel           Watch                              the loop
//!        | writes, renames     |                  |                                   |
//!        |-------------------->|---- a hint ----->| after a quiet time: looks         |
//!        |                     |                  | at every file itself              |
//!        |                     |                  |---- what has really changed ----->| reload
//!        |                     |                  |<--- follow(what it reads now) ----| prepares
//! ```
//!
//! Events are hints and nothing more: they tell that it is time to look ([`hints`]). What counts is what is on
//! disk then, beside what was there at the last look ([`seen`]); a file that was only touched asks for nothing.
//! The *directories* are watched, along every symbolic link on the way ([`paths`]), because files are replaced
//! rather than written. Each look follows the way anew, so whatever was replaced on it is watched from then on.
//!
//! [`Watch::follow`] is called before a generation is started: what the files of a configuration are is what was
//! read for it, and what they refer to is seen before HAProxy reads it. So a change is never missed; at worst it
//! is seen although that HAProxy has it already. A reload that fails changes nothing of that: the next change
//! asks again.
//!
//! A file that must be there and is gone asks for nothing either, since the reload could only fail: it is said,
//! and when the file comes back with another content, that is a change.
//!
//! There is no thread and no task; while nothing happens, nothing wakes up. Where the kernel's limits do not
//! suffice, or if `poll` is set, everything is looked at every [`POLL`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clearway_core::settings::WatchMode;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::FileMount;
use tracing::{debug, info, warn};

mod hints;
mod paths;
mod seen;

use hints::Hints;
use paths::Interests;
use seen::{Seen, Subjects};

/// How long a constant stream of events may put a look off.
const LONGEST: Duration = Duration::from_secs(5);

/// How often everything is looked at where the kernel gives no hints.
const POLL: Duration = Duration::from_secs(5);

/// Watches the files of a configuration, or does nothing at all.
#[derive(Debug)]
pub struct Watch {
    mode: WatchMode,
    quiet: Duration,
    subjects: Subjects,
    seen: Seen,
    hints: Hints,
    /// The first hint since the last look, and the last one.
    hinted: Option<(Instant, Instant)>,
    /// When to look although nobody has hinted at anything.
    poll_at: Option<Instant>,
    /// What was said already, by whom it is about.
    said: BTreeSet<PathBuf>,
    said_polling: bool,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new(mode: WatchMode, quiet: Duration) -> Self {
        Self {
            mode,
            quiet,
            subjects: Subjects::default(),
            seen: Seen::default(),
            hints: Hints::default(),
            hinted: None,
            poll_at: None,
            said: BTreeSet::new(),
            said_polling: false,
        }
    }

    /// From now on the files of this configuration are watched, which a HAProxy is about to read.
    pub fn follow(&mut self, configuration: &Configuration, invocation: &Invocation) {
        if self.mode == WatchMode::Off {
            return;
        }
        self.subjects = Subjects::of(configuration, invocation);
        // Watched first, then looked at: what changes in between is hinted at.
        self.arm();
        self.seen = self.subjects.look(&self.seen).with(&configuration.files);
        if self.seen.left_out {
            self.say(Path::new(""), "the configuration names more files than are watched: some are not");
        }
        // What has changed since the files were read gave no hint if it was not watched before.
        self.hint();
    }

    /// Waits until a file has changed, and tells which. May be dropped at any time, and called again.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            let due = self.due();
            if due.is_some_and(|at| at <= Instant::now()) {
                let changed = self.look();
                if !changed.is_empty() {
                    return changed;
                }
                continue;
            }
            tokio::select! {
                relevant = self.hints.next() => if relevant { self.hint() },
                () = until(due) => {}
            }
        }
    }

    fn hint(&mut self) {
        let now = Instant::now();
        self.hinted = Some((self.hinted.map_or(now, |(first, _)| first), now));
    }

    fn due(&self) -> Option<Instant> {
        let hinted = self.hinted.map(|(first, last)| {
            let latest = first + LONGEST.max(self.quiet);
            (last + self.quiet).min(latest)
        });
        [hinted, self.poll_at].into_iter().flatten().min()
    }

    /// Looks at every file; what has changed is remembered as it is now.
    fn look(&mut self) -> Vec<PathBuf> {
        let hinted = self.hinted.take().is_some();
        self.arm();
        let now = self.subjects.look(&self.seen);
        let difference = self.seen.difference(&now, &self.subjects);
        if !hinted && !difference.changed.is_empty() {
            // Seen by polling, perhaps half written: a quiet time later it is looked at again.
            self.hint();
            return Vec::new();
        }
        for path in &difference.missing {
            self.say(path, "is gone, and HAProxy would not start without it; waiting until it is back");
        }
        for path in &difference.back {
            if self.said.remove(path) {
                info!("{} is back", path.display());
            }
        }
        debug!(
            "looked at {} file(s), of which {} have changed",
            now.paths().count(),
            difference.changed.len()
        );
        self.seen = now.keeping(&self.seen, &difference.missing);
        difference.changed
    }

    /// Watches the way to every file as it is now.
    fn arm(&mut self) {
        if self.mode == WatchMode::On {
            let mounts = FileMount::all();
            let interests = Interests::of(self.subjects.paths().chain(self.seen.paths()), &mounts);
            self.warn_of_replaced(&mounts, &interests);
            if let Err(why) = self.hints.arm(&interests)
                && !std::mem::replace(&mut self.said_polling, true)
            {
                warn!("watching the files: {why}; they are looked at every {} s instead", POLL.as_secs());
            }
        }
        let polls = self.mode == WatchMode::Poll || !self.hints.is_complete();
        self.poll_at = polls.then(|| Instant::now() + POLL);
    }

    /// A mounted file that was replaced on the host will never change here again.
    fn warn_of_replaced(&mut self, mounts: &[FileMount], interests: &Interests) {
        for mount in mounts.iter().filter(|mount| mount.deleted && interests.mounted.contains(&mount.point)) {
            if self.said.insert(mount.point.clone()) {
                warn!("{}", mount.replaced());
            }
        }
    }

    /// Says something about a path once.
    fn say(&mut self, path: &Path, what: &str) {
        if self.said.insert(path.to_path_buf()) {
            warn!("{}{}{what}", path.display(), if path.as_os_str().is_empty() { "" } else { " " });
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The names of what has changed, for a log line: not more than somebody wants to read.
pub fn listed(changed: &[PathBuf]) -> String {
    const MOST: usize = 3;
    let names: Vec<String> = changed.iter().take(MOST).map(|path| path.display().to_string()).collect();
    let more = changed.len().saturating_sub(MOST);
    names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests;
