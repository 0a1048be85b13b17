//! `clearway sessions` and `clearway end`: which sessions generations have, and the end of one generation by hand.

use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_core::supervisor::GenerationStatus;
use tokio::sync::oneshot;

use crate::fleet::launch;
use crate::front::api::{EndOf, Session, Sessions, SessionsOf};
use crate::ground::aside;
use crate::shell::Shell;

/// How long all generations together may take to list their sessions: less than the client waits.
const LISTING: Duration = Duration::from_secs(3);

/// How many sessions are listed; the answer stays below what a client reads.
const MOST: usize = 10_000;

/// Somebody who waits until a generation is gone.
#[derive(Debug)]
pub struct Ending {
    generation: Generation,
    /// How many sessions are cut, as soon as it has said so.
    cut: Option<u64>,
    sender: oneshot::Sender<EndOf>,
}

impl Shell {
    /// Lists the sessions of these generations, on a thread of its own: one that hangs must not stop the loop.
    pub fn answer_sessions(
        &self,
        generations: &[GenerationStatus],
        sender: oneshot::Sender<Result<Sessions, EndOf>>,
    ) {
        let questions: Vec<_> = generations
            .iter()
            .map(|one| {
                let running = self.fleet.running.get(&one.generation);
                let of = SessionsOf {
                    generation: one.generation.number(),
                    state: one.state,
                    worker: running.and_then(|running| running.worker.as_ref()).map(|worker| worker.pid),
                    sessions: None,
                    left_out: 0,
                };
                (of, running.and_then(crate::fleet::launch::Running::sessions))
            })
            .collect();
        aside::spawn("listing sessions", move || {
            let deadline = Instant::now() + LISTING;
            let mut room = MOST;
            let generations = questions.into_iter().map(|(mut of, sessions)| {
                let limit = deadline.min(Instant::now() + launch::SURVEY_OF_ONE);
                let listed = sessions.and_then(|sessions| sessions.list(limit));
                of.left_out = listed.as_ref().map_or(0, |listed| listed.len().saturating_sub(room));
                of.sessions = listed.map(|listed| listed.into_iter().take(room).map(Session::from).collect());
                room -= of.sessions.as_ref().map_or(0, Vec::len);
                of
            });
            let _ = sender.send(Ok(Sessions { generations: generations.collect() }));
        });
    }

    /// Remembers who waits until a generation is gone.
    pub fn await_end(&mut self, generation: Generation, sender: oneshot::Sender<EndOf>) {
        self.front.ending.retain(|one| !one.sender.is_closed());
        self.front.ending.push(Ending { generation, cut: None, sender });
    }

    /// A generation that is about to be cut has said how many sessions it has.
    pub fn note_what_is_cut(&mut self, generation: Generation, sessions: Option<u64>) {
        for one in self.front.ending.iter_mut().filter(|one| one.generation == generation) {
            one.cut = sessions;
        }
    }

    /// A generation is gone.
    pub fn tell_who_waits_for_the_end_of(&mut self, gone: Generation) {
        for one in self.front.ending.extract_if(.., |one| one.generation == gone) {
            let _ = one.sender.send(EndOf::Ended { generation: gone.number(), cut: one.cut });
        }
    }
}
