//! What HAProxy has answered before it is started, and with that all that is known of a generation before it is prepared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clearway_core::failure::Failure;
use clearway_core::hints::Remark;
use clearway_core::names::Generation;
use clearway_haproxy::configuration::{Configuration, GlobalSetting, Guard, Holds, UsesrcLine};
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::version::Version;
use clearway_kernel::paths::MovedPath;

use crate::fleet::chosen::Chosen;
use crate::fleet::executable::{Executable, PATIENCE};
use crate::fleet::sidecars::Declared;
use crate::fleet::statistics::Counters;
use crate::path::servers::NamedServers;
use crate::tell::pid_file::{PidFileNames, PidFilePlace};

/// How many different conditions HAProxy is asked about: each costs a process.
const MOST_QUESTIONS: usize = 32;

/// What HAProxy has answered, and what the kernel tells of servers.
#[derive(Debug)]
pub struct Answers {
    /// The version of the file on disk.
    pub version: Version,
    /// The first transparent line that counts.
    pub transparent: Option<UsesrcLine>,
    /// The first setting of another user that counts.
    pub other_user: Option<GlobalSetting>,
    /// How many reloads an old generation may outlive, if that counts (`mworker-max-reloads`).
    pub most_reloads: Option<u32>,
    /// Where Clearway writes its pid: the first `pidfile` that counts.
    pub pid_file: Option<PidFilePlace>,
    /// Where HAProxy reads its counters at the start: the first `stats-file` that counts.
    pub stats_file: Option<PathBuf>,
    /// Why the counters of the generation that serves are not there.
    pub unsaved: Option<Remark>,
    /// The `program` sections that count, if there are any.
    pub programs: Option<Declared>,
    /// Its transparent servers.
    pub servers: NamedServers,
}

impl Answers {
    /// Asks. Blocks.
    pub fn of(
        executable: &Executable,
        configuration: &Configuration,
        pid_files: &PidFileNames,
    ) -> Result<Self, Failure> {
        let version = executable.version()?;
        let mut conditions = Conditions::asked(executable, version);
        let transparent =
            configuration.transparent.iter().find(|line| conditions.all_hold(line.guards.as_ref()));
        let other_user =
            configuration.global.other_users().find(|user| conditions.all_hold(user.guards.as_ref()));
        let (transparent, other_user) = (transparent.cloned(), other_user.cloned());
        let most_reloads = configuration.global.max_reloads();
        let most_reloads =
            most_reloads.filter(|(_, guards)| conditions.all_hold(guards)).map(|(most, _)| most);
        let configured = configuration.global.pid_files.iter().find(|one| conditions.all_hold(&one.guards));
        let pid_file = pid_files.look(configured.map(|one| one.value.as_ref()));
        let stats_file = configuration.global.stats_files.iter().find(|one| conditions.all_hold(&one.guards));
        let stats_file = stats_file.map(|file| pid_files.path(file.value.as_ref()));
        let programs = Declared::read(configuration, version, &mut |guards| conditions.all_hold(guards))?;
        let servers = NamedServers::of(configuration);
        let unsaved = None;
        Ok(Self {
            version,
            transparent,
            other_user,
            most_reloads,
            pid_file,
            stats_file,
            unsaved,
            programs,
            servers,
        })
    }

    /// Saves the counters of the generation that serves for the one that these are about. Blocks, for
    /// [`SAVING`](crate::fleet::statistics::SAVING) at most.
    #[must_use]
    pub fn with_saved(mut self, counters: Option<Counters>) -> Self {
        if let (Some(counters), Some(file)) = (counters, &self.stats_file) {
            self.unsaved = counters.save(file);
        }
        self
    }
}

/// A generation about which everything is known that is needed to prepare it.
#[derive(Debug)]
pub struct Draft {
    chosen: Chosen,
    answers: Answers,
}

impl Draft {
    /// Of what is chosen, and what HAProxy has answered about it.
    pub fn of(chosen: Chosen, answers: Answers) -> Self {
        Self { chosen, answers }
    }

    /// Which generation.
    pub fn generation(&self) -> Generation {
        self.chosen.generation()
    }

    /// What its files say.
    pub fn configuration(&self) -> &Arc<Configuration> {
        self.chosen.configuration()
    }

    /// What tells it from others.
    pub fn imprint(&self) -> &Imprint {
        self.chosen.imprint()
    }

    /// What HAProxy has answered.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The sockets in custody whose path leads elsewhere.
    pub fn moved(&self) -> &[MovedPath] {
        self.chosen.moved()
    }

    /// What it is started from, and what HAProxy has answered.
    pub fn into_parts(self) -> (Chosen, Answers) {
        (self.chosen, self.answers)
    }
}

/// The conditions of `.if` blocks, which HAProxy answers (`haproxy -cc`), each asked about once. One that it
/// does not understand, or does not answer in time, or before 2.5 cannot be asked about, counts as fulfilled.
struct Conditions<'a> {
    executable: &'a Executable,
    can_ask: bool,
    /// When the answers are not waited for any longer.
    until: Instant,
    known: BTreeMap<String, bool>,
}

impl<'a> Conditions<'a> {
    fn asked(executable: &'a Executable, version: Version) -> Self {
        Self {
            executable,
            can_ask: version >= Version::release(2, 5, 0),
            until: Instant::now() + PATIENCE,
            known: BTreeMap::new(),
        }
    }

    /// Whether a line with these guards counts.
    fn all_hold(&mut self, guards: &[Guard]) -> bool {
        guards.iter().all(|guard| self.holds(guard))
    }

    fn holds(&mut self, guard: &Guard) -> bool {
        let question = guard.argument();
        if !self.can_ask || (self.known.len() >= MOST_QUESTIONS && !self.known.contains_key(&question)) {
            return true;
        }
        let (executable, until) = (self.executable, self.until);
        let answer = *self.known.entry(question).or_insert_with_key(|question| {
            executable.holds(question, until).unwrap_or(guard.holds == Holds::True)
        });
        answer == (guard.holds == Holds::True)
    }
}
