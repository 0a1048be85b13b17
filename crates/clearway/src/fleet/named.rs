//! The files that a configuration names (certificates, maps, error pages ...), as they were just before a HAProxy read them:
//! `clearway status` and `clearway reload` tell whether they are still those.
//!
//! They are looked at on a thread, before a generation is started and for each status: they may be on a machine that does
//! not answer. The thread of a start is waited for as long as for the watch's ([`crate::fleet::reading`]); what it has not seen
//! by then is not compared.

use std::sync::Arc;

use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::{Drift, FileDifference, FileMount, Mounts};
use tokio::sync::oneshot;

use crate::fleet::files::{FileSet, Sighting};
use crate::ground::aside::Single;

/// What the files were.
#[derive(Debug)]
pub struct NamedFiles {
    files: FileSet,
    seen: Sighting,
    mounts: Mounts,
    /// Those that had been replaced on the host, where this container cannot see it.
    pub replaced: Vec<FileMount>,
}

/// Begins to look at what a configuration names; `before` is what was seen for the generation that serves. Nothing is told
/// if an earlier look still hangs.
pub fn look(
    looking: &Single,
    configuration: &Arc<Configuration>,
    before: Option<&Arc<NamedFiles>>,
) -> Option<oneshot::Receiver<NamedFiles>> {
    let (configuration, before) = (Arc::clone(configuration), before.cloned());
    let (sender, receiver) = oneshot::channel();
    let begun = looking.spawn(
        "looking at the files that the configuration names",
        move || NamedFiles::of(&configuration, before.as_deref()),
        |named| {
            // It may not be waited for any more.
            let _ = sender.send(named);
        },
    );
    begun.then_some(receiver)
}

impl NamedFiles {
    /// Looks at what a configuration names. It may take as long as it takes.
    pub fn of(configuration: &Configuration, before: Option<&Self>) -> Self {
        let files = FileSet::named(configuration);
        let seen = before.map_or_else(|| files.look(&Sighting::default()), |before| files.look(&before.seen));
        let mounts = Mounts::among(&seen.inodes());
        let former = before.map_or(&mounts, |before| &before.mounts);
        let replaced = former.replaced(&mounts);
        let mounts = mounts.clone().following(former);
        Self { files, seen, mounts, replaced }
    }

    /// What is different from what was seen before.
    pub fn changes_since(&self, before: &Self) -> Vec<FileDifference> {
        before.seen.changes(&self.seen)
    }

    /// Adds what is different now. It may take as long as it takes.
    pub fn compare(&self, drift: &mut Drift) {
        let now = self.files.look(&self.seen);
        drift.named = self.seen.changes(&now);
        drift.replaced.extend(self.mounts.replaced(&Mounts::among(&now.inodes())));
    }
}
