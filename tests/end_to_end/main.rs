//! End to end: the real Clearway, the real HAProxy, the real kernel, seen by real clients.
//!
//! Each test has hosts of its own (network namespaces that carry its name) and takes everything away
//! again, also when it fails. They run as root, in parallel. A test that cannot run here is reported as
//! ignored, by name and with the reason, never as passed.

mod adversity;
mod bad_input;
mod crash;
mod entry_point;
mod foreign_address;
mod isolation;
mod reload;
mod residue;
mod stage;
mod stop;
mod supervision;
mod transparent;

use libtest_mimic::{Arguments, Trial};

/// A test: its name, and what it does.
type Test = (&'static str, fn() -> anyhow::Result<()>);

/// The tests of a module, under their own names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

fn main() {
    let arguments = Arguments::from_args();
    let why_not = stage::why_not();
    if let Some(reason) = &why_not {
        eprintln!("the end-to-end tests are ignored here: {reason}");
    }
    let modules = [
        transparent::TESTS,
        reload::TESTS,
        stop::TESTS,
        crash::TESTS,
        residue::TESTS,
        supervision::TESTS,
        isolation::TESTS,
        foreign_address::TESTS,
        entry_point::TESTS,
        bad_input::TESTS,
        adversity::TESTS,
    ];
    let trials = modules.into_iter().flatten().map(|(name, test)| {
        let name = name.trim_start_matches("end_to_end::");
        Trial::test(name, move || test().map_err(|error| format!("{error:?}").into()))
            .with_ignored_flag(why_not.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
