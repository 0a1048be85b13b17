//! The proof of "equal or reload": configurations and edits of them, applied to a living HAProxy, whose answers must be those
//! of one that was started from the same files.
//!
//! `CLEARWAY_APPLY_PAIRS` says how many pairs (60 if unsaid; `make test-apply` takes 10,000), `CLEARWAY_APPLY_SEED` with which
//! seed to begin. A pair that differs is printed with its seed. `CLEARWAY_TEST_HAPROXY` names the programs, as for `real_haproxy`.

use libtest_mimic::{Arguments, Completion, Failed, Trial};

mod asked;
#[path = "../shared/binary.rs"]
mod binary;
mod grammar;
mod judge;
mod living;
mod model;

use binary::Binary;

fn main() {
    let arguments = Arguments::from_args();
    let binaries = Binary::all();
    let mut trials = Vec::new();
    if binaries.is_empty() {
        let reason = "no haproxy in the PATH: apt-get install haproxy";
        let ignored = move || Ok(Completion::ignored_with(reason));
        trials.push(Trial::ignorable_test("applied_is_as_started", ignored));
    }
    for binary in binaries {
        let name = format!("applied_is_as_started ({})", binary.version);
        trials.push(Trial::test(name, move || trial(binary)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(binary: Binary) -> Result<(), Failed> {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
    };
    judge::judge(binary, number("CLEARWAY_APPLY_PAIRS", 60), number("CLEARWAY_APPLY_SEED", 1))
}
