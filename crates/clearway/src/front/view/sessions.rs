//! `clearway sessions`: which sessions generations have.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::fleet::worker_cli::ONE_OF_SEVERAL;
use crate::front::api::{EndOf, Session, Sessions, SessionsOf};
use crate::front::view::View;
use crate::ground::aside;

/// How long all generations together may take to list their sessions: less than the client waits.
const LISTING: Duration = Duration::from_secs(3);

/// How many sessions are listed; the answer stays below what a client reads.
const MOST: usize = 10_000;

impl View<'_> {
    /// Lists the sessions of one generation, or of all, on a thread of its own: one that hangs must not stop the loop.
    pub fn list_sessions(&self, only: Option<u32>, sender: oneshot::Sender<Result<Sessions, EndOf>>) {
        let mut generations = self.generations();
        if let Some(number) = only {
            generations.retain(|one| one.generation.number() == number);
            if generations.is_empty() {
                return drop(sender.send(Err(self.not_there(number))));
            }
        }
        let questions: Vec<_> = generations
            .iter()
            .map(|one| {
                let asked = self.fleet.askable(one.generation);
                let of = SessionsOf {
                    generation: one.generation.number(),
                    state: one.state,
                    worker: asked.as_ref().and_then(|asked| asked.worker),
                    sessions: None,
                    left_out: 0,
                };
                (of, asked.and_then(|asked| asked.cli))
            })
            .collect();
        aside::spawn("listing sessions", move || {
            let deadline = Instant::now() + LISTING;
            let mut room = MOST;
            let generations = questions.into_iter().map(|(mut of, cli)| {
                let limit = deadline.min(Instant::now() + ONE_OF_SEVERAL);
                let listed = cli.and_then(|cli| cli.sessions(limit));
                of.left_out = listed.as_ref().map_or(0, |listed| listed.len().saturating_sub(room));
                of.sessions = listed.map(|listed| listed.into_iter().take(room).map(Session::from).collect());
                room -= of.sessions.as_ref().map_or(0, Vec::len);
                of
            });
            let _ = sender.send(Ok(Sessions { generations: generations.collect() }));
        });
    }
}
