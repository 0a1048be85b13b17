//! The proof of "equal or reload": configurations and edits of them, applied to a living HAProxy, whose answers must be those
//! of one that was started from the same files.
//!
//! `CLEARWAY_APPLY_PAIRS` says how many pairs (60 if unsaid; `make test-apply` takes 10,000), `CLEARWAY_APPLY_SEED` with which
//! seed to begin. A pair that differs is printed with its seed. `CLEARWAY_TEST_HAPROXY` names the programs, as for `real_haproxy`.

use libtest_mimic::{Arguments, Completion, Failed, Trial};

mod asked;
mod grammar;
mod judge;
mod living;
mod model;

fn main() {
    let arguments = Arguments::from_args();
    let names = std::env::var("CLEARWAY_TEST_HAPROXY").unwrap_or_else(|_| "haproxy".to_owned());
    let trials = names.split(';').map(|words| {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let name = format!("applied_is_as_started ({})", words.join(" "));
        Trial::ignorable_test(name, move || trial(words))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn trial(words: Vec<String>) -> Result<Completion, Failed> {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
    };
    if std::process::Command::new(&words[0]).args(&words[1..]).arg("-v").output().is_err() {
        return Ok(Completion::ignored_with("no haproxy in the PATH: apt-get install haproxy"));
    }
    judge::judge(words, number("CLEARWAY_APPLY_PAIRS", 60), number("CLEARWAY_APPLY_SEED", 1))?;
    Ok(Completion::Completed)
}
