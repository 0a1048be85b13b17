//! Tests of code that acts on the network namespace that its process is in: each in a process of its own, on a host of
//! its own.
//!
//! A test is a function; [`main`] starts this program again inside a namespace, with the test's name in `CLEARWAY_LAB_INSIDE`. The
//! namespace of the harness itself is never changed. Without root every test is reported as ignored, by name. A test may
//! start this program once more as a [`helper`], which is how a process that is killed or lacks capabilities is had.
//! Inside, [`Namespace::host`] is the test's own host.

use std::process::{Command, ExitCode, Output};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::kernel::Snapshot;
use crate::namespace::Namespace;

/// The environment variable that names the test to run, inside.
const INSIDE: &str = "CLEARWAY_LAB_INSIDE";
/// The environment variable that names the helper to run, inside.
pub const HELPER: &str = "CLEARWAY_LAB_HELPER";

/// Something with a name that can be run.
pub type Named = (&'static str, fn() -> Result<()>);

/// Runs the tests, or the one test or helper that this process is for.
pub fn main(tests: &[Named], helpers: &[Named]) -> ExitCode {
    for (variable, choice) in [(HELPER, helpers), (INSIDE, tests)] {
        if let Ok(name) = std::env::var(variable) {
            let outcome = choice.iter().find(|(known, _)| *known == name).map(|(_, run)| run());
            return match outcome {
                Some(Ok(())) => ExitCode::SUCCESS,
                Some(Err(error)) => {
                    eprintln!("{error:?}");
                    ExitCode::FAILURE
                }
                None => ExitCode::FAILURE,
            };
        }
    }
    let root = rustix::process::geteuid().is_root();
    let trial = |(name, _): &Named| Trial::test(*name, || in_namespace(name)).with_ignored_flag(!root);
    libtest_mimic::run(&Arguments::from_args(), tests.iter().map(trial).collect()).exit_code()
}

fn in_namespace(test: &str) -> std::result::Result<(), Failed> {
    let inside = || -> Result<Output> {
        let host = Namespace::create("test")?;
        let mut command = host.command(std::env::current_exe()?);
        command.env(INSIDE, test).output().context("running the test on its host")
    };
    let output = inside().map_err(|error| Failed::from(format!("{error:?}")))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failed::from(format!("{}\n{told}{}", output.status, String::from_utf8_lossy(&output.stdout))))
}

/// This program again, as a helper on the same host, behind a wrapper such as `setpriv ...`.
pub fn helper(name: &str, wrapper: &[&str]) -> Result<Command> {
    let program = std::env::current_exe()?;
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.env(HELPER, name);
    Ok(command)
}

/// Runs a command line without quotes on the test's host and gives what it prints; a failure is an error.
pub fn run(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command line")?;
    let output = Command::new(program).args(words).output().with_context(|| format!("running `{line}`"))?;
    ensure!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Everything that the kernel holds for the test's host, as the tools of others show it.
pub fn state() -> Result<String> {
    Ok(Snapshot::take(&Namespace::host()?)?.to_string())
}

/// Fails with both texts unless they are equal.
pub fn same(before: &str, after: &str, why: &str) -> Result<()> {
    if before == after {
        return Ok(());
    }
    bail!("{why}\n--- before\n{before}\n--- after\n{after}")
}
