//! Tests that change the kernel, each in a network namespace of its own.
//!
//! A test is a function; [`main`] runs it in a child: `ip netns exec ck-<pid>-<n> <this program>` with its
//! name in [`INSIDE`]. The namespace of the harness itself is never changed. Without root every test is
//! reported as ignored, by name. A test may start this program again as a *helper* (an argument after
//! [`HELPER`]), which is how a process that is killed or lacks capabilities is had.

use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

/// The environment variable that names the test to run, inside.
const INSIDE: &str = "CLEARWAY_KERNEL_INSIDE";
/// The environment variable that names the helper to run, inside.
const HELPER: &str = "CLEARWAY_KERNEL_HELPER";

/// Something with a name that can be run.
pub(crate) type Named = (&'static str, fn() -> Result<()>);

/// Runs the tests, or the one test or helper that this process is for.
pub(crate) fn main(tests: &[Named], helpers: &[Named]) -> ExitCode {
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
    let trials =
        tests.iter().map(|(name, _)| Trial::test(*name, || in_namespace(name)).with_ignored_flag(!root));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A namespace that is removed at the end, whatever happens.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(&format!("ip netns del {}", self.0));
    }
}

fn in_namespace(test: &str) -> std::result::Result<(), Failed> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let namespace =
        Namespace(format!("ck-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let inside = || -> Result<Output> {
        run(&format!("ip netns add {}", namespace.0))?;
        run(&format!("ip -n {} link set lo up", namespace.0))?;
        let program = std::env::current_exe()?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace.0]).arg(program).env(INSIDE, test);
        command.output().context("running the test in its namespace")
    };
    let output = inside().map_err(|error| Failed::from(format!("{error:?}")))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failed::from(format!("{}\n{told}{}", output.status, String::from_utf8_lossy(&output.stdout))))
}

/// This program again, as a helper in the same namespace, behind a wrapper such as `setpriv ...`.
pub(crate) fn helper(name: &str, wrapper: &[&str]) -> Result<Command> {
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

/// Runs a command line without quotes and returns what it prints; a failure is an error.
pub(crate) fn run(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command line")?;
    let output = Command::new(program).args(words).output().with_context(|| format!("running `{line}`"))?;
    ensure!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Everything that plumbing touches, as the tools of others show it.
pub(crate) fn state() -> Result<String> {
    let mut all = String::new();
    for line in [
        "ip rule",
        "ip -6 rule",
        "ip route show table all",
        "ip -6 route show table all",
        "nft -a list ruleset",
    ] {
        // Handles count up for as long as the namespace lives: they are no state of ours.
        let told = run(line)?;
        let told = told.lines().map(|line| line.split(" # handle").next().unwrap_or(line));
        all.extend(told.map(|line| format!("{line}\n")));
    }
    Ok(all)
}

/// Fails with both texts unless they are equal.
pub(crate) fn same(left: &str, right: &str, why: &str) -> Result<()> {
    if left == right {
        return Ok(());
    }
    bail!("{why}\n--- before\n{left}\n--- after\n{right}")
}

/// A listing of nft 1.0 as nft 1.1 writes it.
#[allow(dead_code)] // not every test asks
pub fn as_nft_now(text: &str) -> String {
    text.replace("tcp flags & (fin | syn | rst | ack) == syn", "tcp flags syn / fin,syn,rst,ack")
}

/// Whether this kernel removes a table with its owner (Linux 5.12).
#[allow(dead_code)] // not every test asks
pub fn has_owner_tables() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-', '+']).map_while(|word| word.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(12))
}
