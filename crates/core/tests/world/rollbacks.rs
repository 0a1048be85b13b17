//! What the files of a balancer were, and what a rollback is to bring back.

use clearway_core::supervisor::{AttemptResult, Attempted, Cause};

use super::*;

/// What one balancer has read and served.
#[derive(Default)]
pub struct Past {
    /// What each generation was prepared from, and whether that was on the disk.
    read: BTreeMap<Generation, (File, bool)>,
    /// The configurations that it has copies of.
    remembered: BTreeSet<Generation>,
    served: Option<File>,
    before: Option<File>,
    /// What was before at the last commit.
    wanted: Option<File>,
}

impl Past {
    /// A generation is prepared from this. Gives a former one with the same file, if it is read from the disk.
    pub fn reads(&mut self, generation: Generation, source: Source, file: &File) -> Option<Generation> {
        // Also what was read from it for a plan.
        let is_on_disk = source == Source::Disk || source == Source::Served(generation);
        let known = |one: &&Generation| self.read.get(one).is_some_and(|(known, _)| known == file);
        let former = self.remembered.iter().find(known).copied();
        self.read.insert(generation, (file.clone(), is_on_disk));
        former.filter(|_| source == Source::Disk)
    }

    pub fn remember_only(&mut self, wanted: &[Generation]) {
        self.remembered = wanted.iter().copied().collect();
    }

    /// A generation serves: what is on the disk and different has what served before it.
    pub fn commits(&mut self, generation: Generation) {
        let Some((file, is_on_disk)) = self.read.get(&generation).cloned() else { return };
        self.wanted = self.before.clone();
        if self.served.as_ref().is_some_and(|served| *served != file) {
            self.before = self.served.take().filter(|_| is_on_disk);
        }
        self.served = Some(file);
    }

    /// What serves, as it was read.
    pub fn served(&self) -> Option<&File> {
        self.served.as_ref()
    }

    /// What was read under this number.
    pub fn file(&self, generation: Generation) -> Option<&File> {
        self.read.get(&generation).map(|(file, _)| file)
    }

    /// A rollback has brought back what served before.
    pub fn check(&self, attempted: &Attempted) -> Result<(), String> {
        let took = attempted.cause == Cause::Rollback && attempted.result == AttemptResult::Took;
        if took && (self.wanted.is_none() || self.served != self.wanted) {
            return Err(format!("a rollback was to bring back {:?}: {:?}", self.wanted, self.served));
        }
        Ok(())
    }
}
