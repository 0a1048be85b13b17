//! What is being prepared: one generation at a time.

use std::path::PathBuf;

use clearway_core::names::Generation;

use crate::fleet::launch::Prepared;
use crate::fleet::trial::Trial;
use crate::ground::aside::Single;

/// What is being prepared.
#[derive(Debug, Default)]
pub struct Preparing {
    /// The generation whose files are read and looked at, and about which HAProxy is asked.
    under_way: Option<Generation>,
    /// The one that is launched next.
    prepared: Option<(Generation, Prepared)>,
    /// The pid file that was found to be fine last.
    pub pid_file: Option<PathBuf>,
    /// What is only tried.
    trial: Option<Trial>,
    /// The attempt whose files are read for a plan, and what of them was replaced where this container cannot see it.
    plan: Option<(Generation, Vec<String>)>,
    /// Reads the files.
    pub reading: Single,
    /// Looks at the paths of Unix sockets.
    pub looking: Single,
    /// Looks at the files that a configuration names.
    pub naming: Single,
    /// Asks HAProxy.
    pub asking: Single,
}

impl Preparing {
    /// This one is prepared from now on.
    pub fn begin(&mut self, generation: Generation) {
        self.under_way = Some(generation);
    }

    /// The same, and its files are read for a plan.
    pub fn begin_plan(&mut self, generation: Generation) {
        self.plan = Some((generation, Vec::new()));
        self.begin(generation);
    }

    /// Whether they are.
    pub fn is_planned(&self, generation: Generation) -> bool {
        self.plan.as_ref().is_some_and(|(one, _)| *one == generation)
    }

    /// They are looked at, and these were replaced where this container cannot see it.
    pub fn read_for_plan(&mut self, generation: Generation, not_read: Vec<String>) {
        self.end(generation);
        self.plan = Some((generation, not_read));
    }

    /// The plan of this attempt is not waited for any more. Gives what was replaced, if there was one.
    pub fn end_plan(&mut self, generation: Generation) -> Option<Vec<String>> {
        self.plan.take_if(|(one, _)| *one == generation).map(|(_, not_read)| not_read)
    }

    /// The same, and it is only tried.
    pub fn begin_trial(&mut self, generation: Generation) {
        self.trial = Some(Trial::of(generation));
        self.begin(generation);
    }

    /// Whether it still is: it may have been abandoned meanwhile.
    pub fn is_under_way(&self, generation: Generation) -> bool {
        self.under_way == Some(generation)
    }

    /// Everything is known of it. False if it was abandoned meanwhile.
    pub fn end(&mut self, generation: Generation) -> bool {
        self.under_way.take_if(|one| *one == generation).is_some()
    }

    /// It can be launched.
    pub fn done(&mut self, generation: Generation, prepared: Prepared) {
        self.prepared = Some((generation, prepared));
    }

    /// It is launched.
    pub fn take(&mut self, generation: Generation) -> Option<Prepared> {
        self.prepared.take_if(|(one, _)| *one == generation).map(|(_, prepared)| prepared)
    }

    /// It will never serve.
    pub fn abandon(&mut self, generation: Generation) {
        self.end(generation);
        self.take(generation);
        self.end_plan(generation);
        self.trial.take_if(|trial| trial.is_of(generation));
    }

    /// Whether it is only tried.
    pub fn is_tried(&self, generation: Generation) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.is_of(generation))
    }

    /// What is only tried.
    pub fn trial(&mut self) -> Option<&mut Trial> {
        self.trial.as_mut()
    }
}
