//! What HAProxy is asked before it is started: its version, if its file has changed, and whether the conditions hold on
//! which its rights depend. Each question costs a process, which may not answer: they are asked beside the loop, so that
//! signals, ended children and requests for the state do not wait.
//!
//! ```text
//!   fleet, in the loop              thread
//!   ask ---------------------------> haproxy -v, haproxy -cc ...: PATIENCE for the former, as long for all of the latter
//!   asked <------------------------- News::Asked; the shell goes on with the draft
//! ```
//!
//! One such thread at a time: while one hangs (its program is on a machine that does not answer), no other is begun. What
//! it starts ends with it ([`crate::fleet::child::confine`]), and only it waits for that ([`crate::fleet::reaper`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::Event;
use clearway_haproxy::configuration::{Configuration, GlobalSetting, Guard, Holds, UsesrcLine};
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::version::Version;
use clearway_kernel::paths::MovedPath;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::fleet::executable::{Executable, PATIENCE};
use crate::fleet::reading::Chosen;
use crate::fleet::sidecars::Declared;
use crate::fleet::{Consequence, Fleet, News};
use crate::ground::aside;

/// How many different conditions HAProxy is asked about: each costs a process.
const MOST_QUESTIONS: usize = 32;

/// How long all of it may take: the version, the conditions, and what a busy machine adds.
const ASKING: Duration = Duration::from_secs(2 * PATIENCE.as_secs() + 2);

/// What HAProxy has answered.
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
    /// The `program` sections that count, if there are any.
    pub programs: Option<Declared>,
}

impl Answers {
    /// Asks. Blocks.
    fn of(executable: &Executable, configuration: &Configuration) -> Result<Self, Failure> {
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
        let programs = Declared::read(configuration, version, &mut |guards| conditions.all_hold(guards))?;
        Ok(Self { version, transparent, other_user, most_reloads, programs })
    }
}

/// A generation about which everything is known that is needed to prepare it.
#[derive(Debug)]
pub struct Draft {
    chosen: Chosen,
    answers: Answers,
}

impl Draft {
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

impl Fleet {
    /// Asks HAProxy for its version while something else is waited for, so that the first generation need not wait.
    pub fn ask_version(&self) {
        let executable = self.executable.clone();
        // What is wrong with it is said when a generation is prepared.
        aside::spawn("asking HAProxy for its version", move || drop(executable.version()));
    }

    /// Begins to ask what must be known before a generation is prepared: [`News::Asked`] follows.
    pub(super) fn ask(&mut self, chosen: Chosen) -> Event {
        // It may have been abandoned while its files were looked at.
        if !self.preparing.is_under_way(chosen.generation()) {
            return Event::TimePassed;
        }
        let (sender, receiver) = oneshot::channel();
        let (executable, configuration) = (self.executable.clone(), Arc::clone(chosen.configuration()));
        let hangs = self.preparing.asking.is_busy();
        let work = move || Answers::of(&executable, &configuration);
        self.preparing.asking.spawn("asking HAProxy for its version", work, |answers| {
            // It may not be waited for any more.
            let _ = sender.send(answers);
        });
        let news = self.news.clone();
        tokio::spawn(async move {
            let answers = match timeout(ASKING, receiver).await {
                Ok(Ok(answers)) => answers,
                Ok(Err(_)) if hangs => Err(no_answer("the last question is not answered yet")),
                Ok(Err(_)) => Err(Failure::new(
                    ExitCode::Internal,
                    "asking HAProxy for its version: no thread can be started",
                )),
                Err(_) => Err(no_answer(&format!("no answer within {} s", ASKING.as_secs()))),
            };
            let generation = chosen.generation();
            let draft = answers.map(|answers| Box::new(Draft { chosen, answers }));
            let _ = news.send(News::Asked { generation, draft });
        });
        Event::TimePassed
    }

    /// HAProxy has answered, or not.
    pub(super) fn asked(
        &mut self,
        generation: Generation,
        draft: Result<Box<Draft>, Failure>,
    ) -> Consequence {
        // It may have been abandoned while HAProxy was asked.
        if !self.preparing.end(generation) {
            return Consequence::Event(Event::TimePassed);
        }
        match draft {
            Ok(draft) => Consequence::Asked(draft),
            Err(failure) => Consequence::Event(Event::Failed { generation, failure }),
        }
    }
}

fn no_answer(what: &str) -> Failure {
    Failure::new(ExitCode::NoHaproxy, format!("asking HAProxy for its version: {what}"))
        .hint("is its file on another machine (NFS, SMB)?")
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
