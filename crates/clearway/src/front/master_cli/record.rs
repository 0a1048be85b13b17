//! What a master CLI tells of the past: how many reloads there were, since when each worker has been running, and what HAProxy
//! said when it was started last.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::failure::Failure;
use clearway_core::hints::Hint;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Action, Answer, Report, Source};
use clearway_haproxy::master_cli::MasterView;
use tokio::sync::Semaphore;

/// How many clients may speak with one master at the same time.
const LANES: usize = 6;

/// The past.
#[derive(Debug)]
pub struct MasterCliPast {
    begun: Instant,
    reloads: u32,
    /// How many of the last ones failed.
    failed: u32,
    has_served: bool,
    /// The reload that is under way.
    reload: Option<Generation>,
    births: BTreeMap<Generation, Birth>,
    startup_logs: Vec<String>,
}

/// The beginning of a generation.
#[derive(Clone, Debug)]
pub struct Birth {
    at: Instant,
    /// How many reloads there had been.
    reloads: u32,
    /// HAProxy's own text for its version.
    pub version: String,
    /// How many more clients it may have at the same time.
    pub lane: Arc<Semaphore>,
}

impl Birth {
    /// For how long it has been running.
    pub fn uptime(&self) -> Duration {
        self.at.elapsed()
    }
}

impl MasterCliPast {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            reloads: 0,
            failed: 0,
            has_served: false,
            reload: None,
            births: BTreeMap::new(),
            startup_logs: Vec::new(),
        }
    }

    /// What is about to be carried out. `version`: of the program on disk; `said`: what a generation has said so far.
    pub fn hear(
        &mut self,
        action: &Action,
        version: impl Fn() -> String,
        said: impl Fn(Generation) -> Vec<String>,
    ) {
        match action {
            Action::Prepare(generation, Source::Disk) if self.has_served => self.reload = Some(*generation),
            Action::Report(Report::Started { generation, .. }) => {
                let lane = Arc::new(Semaphore::new(LANES));
                let birth = Birth { at: Instant::now(), reloads: self.reloads, version: version(), lane };
                self.births.insert(*generation, birth);
            }
            Action::Report(Report::Serving { generation, .. }) => {
                self.count(*generation, 0);
                self.has_served = true;
                self.startup_logs = said(*generation);
                if let Some(birth) = self.births.get_mut(generation) {
                    birth.reloads = self.reloads;
                }
            }
            Action::Report(Report::Refused { generation, failure, .. }) => {
                self.count(*generation, self.failed + 1);
                self.startup_logs = words(failure);
            }
            _ => {}
        }
    }

    fn count(&mut self, generation: Generation, failed: u32) {
        if self.reload.take_if(|reload| *reload == generation).is_some() {
            self.reloads += 1;
            self.failed = failed;
        }
    }

    /// A generation is gone.
    pub fn gone(&mut self, generation: Generation) {
        self.births.remove(&generation);
    }

    /// What is said of the master that a client believes to speak with.
    pub fn master(&self) -> MasterView {
        let uptime = self.begun.elapsed();
        MasterView { pid: std::process::id(), uptime, reloads: self.reloads, failed: self.failed }
    }

    /// The beginning of a generation.
    pub fn birth(&self, generation: Generation) -> Option<&Birth> {
        self.births.get(&generation)
    }

    /// How many reloads a generation has seen.
    pub fn reloads_since(&self, birth: &Birth) -> u32 {
        self.reloads.saturating_sub(birth.reloads)
    }

    /// What HAProxy said when it was started last, whether that came to something or not.
    pub fn startup_logs(&self) -> String {
        text(&self.startup_logs)
    }
}

/// The answer to `reload`. `said`: what the new generation has said.
pub fn reloaded(answer: &Answer, said: impl Fn(Generation) -> Vec<String>) -> String {
    let (number, lines) = match answer {
        Answer::Serving { generation, .. } => (1, or_ours(said(*generation), *generation)),
        Answer::Applied { serving, .. } => (1, or_ours(Vec::new(), *serving)),
        Answer::Refused(failure) => (0, words(failure)),
        Answer::Tried { .. } | Answer::Stopping => {
            (0, vec![alert("Clearway is stopping: it reloads no more")])
        }
    };
    format!("Success={number}\n--\n{}\n", text(&lines))
}

/// A HAProxy that is told to be quiet says nothing, and the client library of the data plane API takes an answer without a line
/// below the `--` for a reload that failed.
fn or_ours(mut lines: Vec<String>, generation: Generation) -> Vec<String> {
    if lines.is_empty() {
        lines
            .push(format!("[NOTICE]   ({}) : clearway : generation {generation} serves", std::process::id()));
    }
    lines
}

/// HAProxy's own words, then why it is refused, and what helps.
fn words(failure: &Failure) -> Vec<String> {
    let mut lines = failure.words.clone();
    lines.push(alert(&failure.message));
    lines.extend(failure.hints.iter().map(|hint| alert(&Hint(hint).to_string())));
    lines
}

/// As HAProxy writes a line.
fn alert(text: &str) -> String {
    format!("[ALERT]    ({}) : clearway : {text}", std::process::id())
}

fn text(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
        text
    })
}

#[cfg(test)]
mod tests {
    use clearway_core::exit::ExitCode;

    use super::*;

    const FIRST: Generation = Generation::FIRST;

    fn refused(generation: Generation) -> Action {
        let failure = Failure::new(ExitCode::ConfigurationRefused, "no").hint("mend it");
        Action::Report(Report::Refused { generation, failure, serving: None })
    }

    #[test]
    fn reloads_that_fail_are_counted_until_one_takes() {
        let mut record = MasterCliPast::new();
        let mut hear = |action: Action| {
            record.hear(&action, || "3.0".into(), |_| vec!["[NOTICE] hello".into()]);
            (record.master().reloads, record.master().failed, record.startup_logs())
        };
        hear(Action::Prepare(FIRST, Source::Disk));
        let (reloads, failed, logs) = hear(refused(FIRST));
        assert_eq!((reloads, failed), (0, 0), "the start is no reload");
        assert!(logs.contains(" : clearway : no\n") && logs.contains("mend it"), "{logs}");
        let serving = |generation| {
            let proof = clearway_core::supervisor::Proof {
                worker: 8,
                adopted: Vec::new(),
                fresh: Vec::new(),
                unclaimed: Vec::new(),
            };
            Action::Report(Report::Serving { generation, proof, moved: Vec::new(), took: Duration::ZERO })
        };
        assert_eq!(hear(serving(FIRST)), (0, 0, "[NOTICE] hello\n".into()));
        let second = FIRST.next();
        hear(Action::Prepare(second, Source::Disk));
        assert_eq!(hear(refused(second)).1, 1);
        let third = second.next();
        hear(Action::Prepare(third, Source::Disk));
        hear(Action::Report(Report::Started { generation: third, pid: 7 }));
        assert_eq!(hear(serving(third)).0, 2);
        assert_eq!(record.master().failed, 0);
        assert_eq!(record.reloads_since(record.birth(third).unwrap()), 0);
    }

    #[test]
    fn an_answer_begins_with_whether_it_took() {
        let failure = Failure::new(ExitCode::ConfigurationRefused, "no");
        let text = reloaded(&Answer::Refused(failure), |_| Vec::new());
        assert!(text.starts_with("Success=0\n--\n[ALERT]    (") && text.ends_with(" : no\n\n"), "{text}");
        assert!(reloaded(&Answer::Stopping, |_| Vec::new()).starts_with("Success=0\n--\n"));
        assert_eq!(or_ours(vec!["x".into()], FIRST), ["x"]);
        let [line] = &*or_ours(Vec::new(), FIRST) else { panic!("one line") };
        assert!(line.starts_with("[NOTICE]   (") && line.ends_with("generation 1 serves"), "{line}");
    }
}
