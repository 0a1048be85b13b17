//! What the serving generation knows of its servers: the only place where it is asked, and the only copy that is kept.
//!
//! ```text
//!   Inquiry (core) says when --> a thread: show servers state --> Snapshot, kept here --> carry: for a successor, after a
//!        ^                                    |                                           crash; for a holder
//!        | HAProxy has said something         '-- where the transparent ones are -------> servers: the plumbing, the canary
//! ```
//!
//! What is needed at a certain moment (for a new generation, for a takeover) is asked for then, and what is kept counts
//! only if HAProxy does not answer any more ([`Question`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::count::Count;
use clearway_core::inquiry::Inquiry;
use clearway_core::names::Generation;
use clearway_core::settings::CarryMode;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::runtime::state::Remembered;
use tokio::sync::watch;
use tracing::{debug, info};

use crate::fleet::News;
use crate::fleet::launch::{Running, Sessions};
use crate::ground::{aside, due};
use crate::path::servers::{Generations, Seen};
use crate::shell::Shell;

/// How long an answer may take that something waits for: the new generation loads meanwhile.
const PROMPT: Duration = Duration::from_secs(2);

/// The same where nothing does.
const PATIENT: Duration = Duration::from_secs(5);

/// What was known of the servers at some moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The servers.
    pub servers: Arc<Remembered>,
    /// When.
    pub taken: Instant,
}

/// What is known, and when it is asked for.
#[derive(Debug, Default)]
pub struct State {
    known: Option<Snapshot>,
    /// The generation that was committed last, and its files.
    of: Option<(Generation, Arc<Configuration>)>,
    /// Whether that has not answered yet.
    fresh: bool,
    inquiry: Inquiry,
    /// Changes when it says something.
    heard: Option<watch::Receiver<()>>,
}

impl State {
    /// A generation serves from now on.
    pub fn serves(&mut self, generation: Generation, files: &Arc<Configuration>, running: &Running) {
        self.of = Some((generation, Arc::clone(files)));
        self.heard = Some(running.words.heard());
        self.fresh = true;
        self.inquiry.begins(due::elapsed());
    }

    /// What is known.
    pub fn known(&self) -> Option<&Snapshot> {
        self.known.as_ref()
    }

    /// Waits until the serving generation is to be asked.
    pub async fn due(&mut self) {
        loop {
            tokio::select! {
                () = due::after(self.inquiry.due()) => return,
                () = said(&mut self.heard), if self.inquiry.listens() => {
                    self.inquiry.said(due::elapsed());
                }
            }
        }
    }

    fn asked(&mut self) {
        self.inquiry.asked();
        if let Some(heard) = &mut self.heard {
            heard.mark_unchanged();
        }
    }
}

/// Waits until HAProxy says something; for ever if it cannot any more.
async fn said(heard: &mut Option<watch::Receiver<()>>) {
    if let Some(heard) = heard
        && heard.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Where the state is to be had at some moment: sent to a thread.
#[derive(Debug)]
pub struct Question {
    /// The generation that serves, and what its file says.
    serving: Option<(Sessions, Arc<Configuration>)>,
    /// What was known at last.
    pub known: Option<Snapshot>,
}

impl Question {
    /// Asks, or takes what is known. Blocks, for [`PROMPT`] at most.
    pub fn now(self) -> Option<Snapshot> {
        self.asked().or(self.known)
    }

    /// The answer of the generation that serves, if there is one and it answers. Blocks likewise.
    pub fn asked(&self) -> Option<Snapshot> {
        let (sessions, configuration) = self.serving.as_ref()?;
        ask(sessions, configuration, PROMPT)
    }
}

fn ask(sessions: &Sessions, configuration: &Configuration, limit: Duration) -> Option<Snapshot> {
    let answer = sessions.servers_state(limit)?;
    let told = answer.servers_state().inspect_err(|error| debug!("{error}")).ok()?;
    let servers = Arc::new(Remembered::of(told, &configuration.stated));
    Some(Snapshot { servers, taken: Instant::now() })
}

/// What a generation has said, if it has.
#[derive(Debug)]
pub struct Told {
    generation: Generation,
    snapshot: Option<Snapshot>,
    /// Where those servers are that see the addresses of clients, if some do.
    seen: Option<Seen>,
    /// How long it took.
    took: Duration,
}

impl Shell {
    /// Where the state of the servers is to be had at this moment.
    pub fn question(&self) -> Question {
        let of = self.fleet.state.of.as_ref();
        let of =
            of.filter(|(of, _)| self.fleet.serving.as_ref().is_some_and(|serving| serving.generation == *of));
        let serving = of.and_then(|(generation, configuration)| {
            Some((self.fleet.running.get(generation)?.sessions()?, Arc::clone(configuration)))
        });
        Question { serving, known: self.fleet.state.known.clone() }
    }

    /// Asks the generation that was committed last for the state of its servers, if that is of use. It may drain: its
    /// sessions need the plumbing.
    pub fn ask_for_state(&mut self) {
        self.fleet.state.asked();
        let Some((generation, configuration)) = self.fleet.state.of.clone() else { return };
        let Some(running) = self.fleet.running.get(&generation) else { return };
        let transparent = self.path.follows_servers();
        let carries = self.settings.carry == CarryMode::Servers && !configuration.stated.is_empty();
        if !transparent && !carries {
            return;
        }
        let (news, failed) = (self.fleet.news.clone(), self.fleet.news.clone());
        let begun = running.sessions().is_some_and(|sessions| {
            aside::spawn("asking for the state of the servers", move || {
                let begun = Instant::now();
                let snapshot = ask(&sessions, &configuration, PATIENT);
                let transparent = snapshot.as_ref().filter(|_| transparent);
                let seen = transparent.map(|snapshot| Seen::of(&snapshot.servers, &configuration));
                let _ = news.send(News::State(Told { generation, snapshot, seen, took: begun.elapsed() }));
            })
        });
        if !begun {
            let told = Told { generation, snapshot: None, seen: None, took: Duration::ZERO };
            let _ = failed.send(News::State(told));
        }
    }

    /// The answer, or none.
    pub fn hear_state(&mut self, told: Told) {
        let Told { generation, snapshot, seen, took } = told;
        if self.fleet.state.of.as_ref().is_none_or(|(of, _)| *of != generation) {
            return;
        }
        self.fleet.state.inquiry.heard(took, due::elapsed());
        // What nobody hears of: a route of ours that was replaced, a plain table that was flushed (before Linux 5.12), what
        // only a predecessor had needed that has gone. A generation that has just begun was prepared with a look.
        if self.path.follows_servers() && !self.fleet.state.fresh {
            self.path.look_after_the_plumbing();
        }
        let Some(snapshot) = snapshot else { return };
        let fresh = std::mem::take(&mut self.fleet.state.fresh);
        if self.fleet.serving.is_some() {
            debug!("the state of {} is known", Count(snapshot.servers.count(), "server"));
            let same =
                self.fleet.state.known.as_ref().is_some_and(|former| former.servers == snapshot.servers);
            self.fleet.state.known = Some(snapshot);
            if fresh || !same {
                self.tell_the_holder();
            }
        }
        if let Some(seen) = seen {
            let generations =
                if self.fleet.running.len() > 1 { Generations::Several } else { Generations::One };
            self.path.hear_of_servers(seen, fresh, generations);
        }
    }

    /// A holder knows it too.
    pub fn tell_the_holder(&mut self) {
        if let (CarryMode::Servers, Some(known)) = (self.settings.carry, &self.fleet.state.known) {
            self.peers.succession.keep_state(known);
        }
    }

    /// What another Clearway or a holder handed over, unless something is known already.
    pub fn inherit_state(&mut self, snapshot: Option<Snapshot>) {
        let Some(snapshot) = snapshot.filter(|_| self.settings.carry == CarryMode::Servers) else { return };
        let (count, age) = (snapshot.servers.count(), snapshot.taken.elapsed().as_secs());
        info!("the state of {} was handed over, as it was {age} s ago", Count(count, "server"));
        self.fleet.state.known.get_or_insert(snapshot);
    }
}
