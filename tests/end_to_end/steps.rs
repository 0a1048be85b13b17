//! A Clearway that says each of its steps and waits for a word to take it (`crates/clearway/src/ground/steps.rs`).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind, clearway_program};
use clearway_lab::wait::eventually;

use crate::stage::{CannotRun, EVENTS, SOON, Stage};

crate::tests![the_binary_that_is_shipped_has_no_hook];

/// The variable that names the test's socket.
const VARIABLE: &str = "CLEARWAY_TEST_STEPS";

/// The binary with the hook: `make test` builds it.
fn program() -> Result<PathBuf> {
    let named = std::env::var_os("CLEARWAY_STEPS_BIN").map(PathBuf::from);
    match named.filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => Err(CannotRun(
            "it needs the binary with the hook for tests: `make test-steps`, then \
             CLEARWAY_STEPS_BIN=target/debug/clearway-steps"
                .to_owned(),
        )
        .into()),
    }
}

/// The test's end of the conversation. Steps that no test stops at are taken at once; dropped, all are.
pub struct Steps(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The names of all steps so far.
    seen: Vec<String>,
    /// The step to stop at.
    stop: Option<String>,
    /// Set while Clearway stands before that step.
    standing: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on(&self) {
        self.state().standing = false;
        self.changed.notify_all();
    }

    /// Answers each step until Clearway has ended.
    fn follow(&self, mut stream: UnixStream) -> std::io::Result<()> {
        for line in BufReader::new(stream.try_clone()?).lines() {
            let name = name(&line?);
            let mut state = self.state();
            state.standing = state.stop.take_if(|stop| *stop == name).is_some();
            state.seen.push(name);
            drop(self.changed.wait_while(state, |state| state.standing));
            stream.write_all(b".")?;
        }
        Ok(())
    }
}

/// The verb and the step, without what it carries: `does Report Draining` of `does Report(Draining(...))`.
fn name(line: &str) -> String {
    let mut words =
        line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    let mut name: Vec<&str> = words.by_ref().take(2).collect();
    while matches!(name.last(), Some(&("Report" | "Event" | "Takeover"))) && words.peek().is_some() {
        name.extend(words.next());
    }
    name.join(" ")
}

impl Steps {
    /// Starts Clearway on the stage and waits until it serves.
    pub fn start(stage: &Stage, environment: &[(&str, &str)]) -> Result<(Self, Balancer)> {
        let (steps, mut balancer) = Self::launch(stage, None, environment)?;
        stage.wait_ready(&mut balancer)?;
        balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
        ensure!(!steps.0.state().seen.is_empty(), "it serves and has not said a step");
        Ok((steps, balancer))
    }

    /// Starts Clearway on the stage, to stop at a step perhaps, and waits for nothing.
    pub fn launch(
        stage: &Stage,
        stop: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<(Self, Balancer)> {
        static LAUNCHED: AtomicU32 = AtomicU32::new(0);
        let program = program()?;
        let path = stage.path(&format!("steps-{}", LAUNCHED.fetch_add(1, Ordering::Relaxed)));
        let listener = UnixListener::bind(&path)?;
        let shared = Arc::new(Shared::default());
        let following = Arc::clone(&shared);
        // It ends with Clearway's end of the connection; if that never comes, with the tests.
        std::thread::spawn(move || listener.accept().and_then(|(stream, _)| following.follow(stream)));
        let (socket, directory) = (path.display().to_string(), stage.run_directory());
        let mut variables = vec![("CLEARWAY_RUN_DIRECTORY", &*directory), EVENTS, (VARIABLE, &*socket)];
        variables.extend(environment);
        let (program, file) = (program.display().to_string(), stage.file().display().to_string());
        let words = [program, "haproxy".to_owned(), "-f".to_owned(), file];
        let steps = Self(shared);
        if let Some(step) = stop {
            steps.stop_at(step);
        }
        let balancer = Balancer::start_words(&stage.hosts.balancer, Kind::Clearway, &words, &variables)?;
        Ok((steps, balancer))
    }

    /// Where the next step of this name comes, Clearway will stop.
    pub fn stop_at(&self, step: &str) {
        self.0.state().stop = Some(step.to_owned());
    }

    /// Waits until Clearway stands before the step.
    pub fn wait(&self) -> Result<()> {
        let standing = || self.0.state().standing.then_some(());
        eventually(SOON, "Clearway to come to the step", standing).map_err(|error| {
            let state = self.0.state();
            error.context(format!("it never came to `{:?}`; the steps: {:?}", state.stop, state.seen))
        })
    }

    /// Waits until Clearway has come to a step of this name since [`Steps::take_seen`], without stopping there.
    pub fn wait_until_seen(&self, step: &str) -> Result<()> {
        let seen = || self.0.state().seen.iter().any(|one| one == step).then_some(());
        eventually(SOON, &format!("Clearway to come to `{step}`"), seen)
    }

    /// Lets Clearway take the step that it stands before.
    pub fn go_on(&self) {
        self.0.go_on();
    }

    /// The names of the steps since the last call, each once.
    pub fn take_seen(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.state().seen).into_iter().collect()
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.0.state().stop = None;
        self.0.go_on();
    }
}

fn the_binary_that_is_shipped_has_no_hook() -> Result<()> {
    let has_hook = |path: PathBuf| -> Result<bool> {
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE.as_bytes()))
    };
    ensure!(has_hook(program()?)?, "the name of the variable is no sign of the hook");
    ensure!(!has_hook(clearway_program()?)?, "the binary under test waits for tests");
    Ok(())
}
