//! The life of a generation that is only tried.

use clearway_core::names::Generation;
use clearway_core::supervisor::{PlumbingDemand, Source};
use clearway_haproxy::configuration::Configuration;

use crate::fleet::Fleet;
use crate::fleet::trial::{self, Trial};

impl Fleet {
    /// Begins to read the files for a generation that is only tried.
    pub fn begin_trial(&mut self, generation: Generation) {
        self.preparing.begin_trial(generation);
        self.begin_to_read(generation, Source::Disk);
    }

    /// Whether this generation is only tried.
    pub fn is_tried(&self, generation: Generation) -> bool {
        self.preparing.is_tried(generation)
    }

    /// Something that a reload would do.
    pub fn would(&mut self, what: impl IntoIterator<Item = String>) {
        if let Some(trial) = self.preparing.trial() {
            trial.would(what);
        }
    }

    /// What the one that is tried would change, as far as it is known.
    pub fn take_changes(&mut self) -> Vec<String> {
        self.preparing.trial().map(Trial::take_changes).unwrap_or_default()
    }

    /// What the files say that is different from those that serve. `plumbed`: whether there is plumbing in the kernel.
    pub fn compare_for_trial(&mut self, new: &Configuration, needs: PlumbingDemand, plumbed: bool) {
        let former = self.configurations.committed().cloned().unwrap_or_default();
        let mut changes = trial::servers(&former, new);
        match (plumbed, needs) {
            (false, PlumbingDemand::Needed) => changes.push("the transparent plumbing would be put into the kernel".to_owned()),
            (true, PlumbingDemand::NotNeeded) => changes.push(
                "the transparent plumbing would be taken out of the kernel, after the last generation that needs it"
                    .to_owned(),
            ),
            _ => {}
        }
        self.would(changes);
    }
}
