//! What generations were started from that serve, or that served before: what a start after a crash or a rollback takes, and what
//! the files on disk are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::Source;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::{Drift, FilesOnDisk, Imprint};

use crate::fleet::chosen::{Chosen, ReadFrom, StartedFrom};
use crate::fleet::difference::DifferenceQuestion;
use crate::fleet::named::NamedFiles;
use crate::fleet::notices::FleetNotice;
use crate::ground::aside::Single;
use crate::ground::notice::tell;

/// How long the files may take to be compared for a status.
const COMPARING: Duration = Duration::from_secs(1);

/// What generations were started from.
#[derive(Debug, Default)]
pub struct Configurations {
    read: BTreeMap<Generation, StartedFrom>,
    /// What the generation was started from that was committed last.
    committed: Option<StartedFrom>,
    /// That generation.
    serves: Option<Generation>,
    /// What the last generation has not read of what is on the host, each with what mends it.
    not_read: Vec<String>,
    comparing: Single,
    planning: Single,
}

impl Configurations {
    /// The configuration, and where HAProxy is to read it. What it says now is remembered for the day when the
    /// files say something else and HAProxy dies, or a rollback is asked for.
    pub fn choose(
        &mut self,
        generation: Generation,
        source: Source,
        read: Result<StartedFrom, Failure>,
    ) -> Result<Chosen, Failure> {
        let Source::Served(former) = source else { return Ok(self.choose_the_files(generation, read?)) };
        let Some(served) = self.read.get(&former).cloned() else {
            let message = format!("the configuration of generation {former} is forgotten");
            return Err(Failure::new(ExitCode::Internal, message));
        };
        self.read.insert(generation, served.clone());
        match read {
            Ok(now) if now.configuration.files == served.configuration.files => {
                return Ok(Chosen::new(generation, ReadFrom::Paths, served, Vec::new()));
            }
            Ok(_) => tell(&FleetNotice::Differs { generation, former }),
            Err(failure) => tell(&FleetNotice::Unreadable { generation, former, error: failure.message }),
        }
        let files = ReadFrom::Copies(Arc::clone(&served.configuration));
        Ok(Chosen::new(generation, files, served, Vec::new()))
    }

    fn choose_the_files(&mut self, generation: Generation, mut read: StartedFrom) -> Chosen {
        let none = Arc::default();
        let former = self.committed.as_ref().map_or(&none, |committed| &committed.imprint);
        let replaced = read.imprint.replaced_since(former);
        read.imprint = Arc::new(Imprint::clone(&read.imprint).following(former));
        self.read.insert(generation, read.clone());
        Chosen::new(generation, ReadFrom::Paths, read, replaced)
    }

    /// This was seen of what the configuration of a generation names.
    pub fn names(&mut self, generation: Generation, named: Option<Arc<NamedFiles>>) {
        if let Some(from) = self.read.get_mut(&generation) {
            from.named = named;
        }
    }

    /// A generation serves: what is on disk is compared from now on with what it was started from. Gives its
    /// configuration, as it was read.
    pub fn commit(&mut self, generation: Generation) -> Option<Arc<Configuration>> {
        self.committed = self.read.get(&generation).cloned();
        self.serves = Some(generation);
        self.committed().cloned()
    }

    /// The configuration of the generation that was committed last.
    pub fn committed(&self) -> Option<&Arc<Configuration>> {
        self.committed.as_ref().map(|committed| &committed.configuration)
    }

    /// What was read under this number, as long as it is remembered.
    pub fn read(&self, generation: Generation) -> Option<&StartedFrom> {
        self.read.get(&generation)
    }

    /// For what compares files beside the loop.
    pub fn comparing(&self) -> Single {
        self.comparing.clone()
    }

    /// For what plans beside the loop, and carries nothing out.
    pub fn planning(&self) -> Single {
        self.planning.clone()
    }

    /// A former generation that has read the same files, of those whose configurations are remembered.
    pub fn same_files(&self, generation: Generation) -> Option<Generation> {
        let ours = &self.read.get(&generation)?.imprint;
        let is_same =
            |(one, from): &(&Generation, &StartedFrom)| **one != generation && from.imprint.is_same(ours);
        self.read.iter().find(is_same).map(|(former, _)| *former)
    }

    /// What a generation was started from, if that is remembered: the one that was committed last if none is named.
    pub fn of(&self, number: Option<u32>) -> Option<(Generation, &StartedFrom)> {
        let serves = self.serves.zip(self.committed.as_ref());
        let is_meant = |generation: Generation| number.is_none_or(|number| generation.number() == number);
        let read = || self.read.iter().find(|(one, _)| number.is_some() && is_meant(**one));
        serves.filter(|(one, _)| is_meant(*one)).or_else(|| read().map(|(one, from)| (*one, from)))
    }

    /// The generations of which it is remembered.
    pub fn remembered(&self) -> BTreeSet<Generation> {
        self.read.keys().copied().chain(self.serves).collect()
    }

    /// The question what is different on disk, if it is remembered what that generation was started from.
    pub fn difference_question(
        &self,
        number: Option<u32>,
        invocation: &Invocation,
    ) -> Option<DifferenceQuestion> {
        let (generation, from) = self.of(number)?;
        let (invocation, comparing) = (invocation.clone(), self.comparing.clone());
        Some(DifferenceQuestion { generation, from: from.clone(), invocation, comparing })
    }

    /// The configuration of this generation has never served.
    pub fn forget(&mut self, generation: Generation) {
        self.read.remove(&generation);
    }

    /// No other ones will be wanted.
    pub fn keep_only(&mut self, wanted: &[Generation]) {
        self.read.retain(|one, _| wanted.contains(one));
    }

    /// What the configuration of the generation that was committed last names, as it was seen then.
    pub fn named(&self) -> Option<&Arc<NamedFiles>> {
        self.committed.as_ref()?.named.as_ref()
    }

    /// What was replaced where this container cannot see it is said, each time: nothing new is read of it.
    pub fn not_read(&mut self, generation: Generation, lines: Vec<String>) {
        for line in &lines {
            tell(&FleetNotice::NotNew { generation, detail: line.clone() });
        }
        self.not_read = lines;
    }

    /// What the last generation has not read of what is on the host, each with what mends it.
    pub fn what_was_not_read(&self) -> &[String] {
        &self.not_read
    }

    /// The question whether the files on disk are still those that serve. Unset as long as none has served.
    pub fn drift_question(&self, invocation: &Invocation) -> Option<DriftQuestion> {
        let StartedFrom { imprint, named, .. } = self.committed.clone()?;
        Some(DriftQuestion {
            imprint,
            named,
            invocation: invocation.clone(),
            comparing: self.comparing.clone(),
        })
    }
}

/// What the files on disk are compared with.
#[derive(Debug)]
pub struct DriftQuestion {
    imprint: Arc<Imprint>,
    named: Option<Arc<NamedFiles>>,
    invocation: Invocation,
    comparing: Single,
}

impl DriftQuestion {
    /// Compares on a thread that may hang; not to be called in the loop.
    pub fn ask(&self) -> Drift {
        let (imprint, named, invocation) =
            (Arc::clone(&self.imprint), self.named.clone(), self.invocation.clone());
        let what = "comparing the configuration with what is on disk";
        let compared = self.comparing.outcome_within(what, COMPARING, move || {
            let mut drift = imprint.drift(&invocation);
            if let Some(named) = named {
                named.compare(&mut drift);
            }
            drift
        });
        compared.unwrap_or_else(|| {
            let files = FilesOnDisk::Unreadable("its files do not answer".to_owned());
            Drift { files, named: Vec::new(), replaced: Vec::new() }
        })
    }
}

#[cfg(test)]
mod tests;
