//! End to end: the real Clearway, the real HAProxy, the real kernel, seen by real clients.
//!
//! Each test has hosts of its own (network namespaces that carry its name) and takes everything away
//! again, also when it fails. They run as root, in parallel. A test that cannot run here is reported as
//! ignored, by name and with the reason, never as passed.

mod adversity;
mod api;
mod apply;
mod backlog;
mod bad_input;
mod canary;
mod carry;
mod container;
mod copies;
mod cost;
mod crash;
mod device;
mod diff;
mod draining;
mod dry_run;
mod ends;
mod entry_point;
mod events;
mod foreign_address;
mod hints;
mod history;
mod holder;
mod hung;
mod intercept;
mod isolation;
mod kill;
mod kinds;
mod marked_down;
mod master_cli;
mod masters;
mod metrics;
mod modules;
mod names;
mod obstacles;
mod page;
mod parity;
mod paths;
mod pid_file;
mod programs;
mod prompt;
mod questions;
mod reload;
mod repair;
mod residue;
mod rollback;
mod scale;
mod sessions;
mod several;
mod shared_address;
mod stage;
mod statistics;
mod status_watch;
mod steering;
mod steps;
mod stick_tables;
mod stop;
mod strategy;
mod subject;
mod supervision;
mod systemd;
mod takeover;
mod topologies;
mod transaction;
mod transparent;
mod traps;
mod truth;
mod tutorial;
mod watch;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test: its name, and what it does.
type Test = (&'static str, fn() -> anyhow::Result<()>);

/// The tests of a module, under their own names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

/// All modules but those of containers.
const MODULES: &[&[Test]] = &[
    transparent::TESTS,
    topologies::TESTS,
    traps::TESTS,
    intercept::TESTS,
    intercept::closed::TESTS,
    canary::TESTS,
    carry::TESTS,
    stick_tables::TESTS,
    obstacles::TESTS,
    hints::TESTS,
    names::TESTS,
    shared_address::TESTS,
    reload::TESTS,
    draining::TESTS,
    dry_run::TESTS,
    transaction::TESTS,
    kill::TESTS,
    steps::TESTS,
    stop::TESTS,
    statistics::TESTS,
    ends::TESTS,
    events::TESTS,
    events::wire::TESTS,
    sessions::TESTS,
    marked_down::TESTS,
    steering::TESTS,
    strategy::TESTS,
    strategy::FOREIGN,
    strategy::KILLED,
    strategy::TABLEFLIP,
    takeover::TESTS,
    takeover::arrival::TESTS,
    takeover::killed::TESTS,
    takeover::many::TESTS,
    takeover::moved::TESTS,
    takeover::superseded::TESTS,
    takeover::tables::TESTS,
    holder::TESTS,
    holder::quiet::TESTS,
    holder::asked::TESTS,
    systemd::TESTS,
    backlog::TESTS,
    hung::TESTS,
    questions::TESTS,
    prompt::TESTS,
    crash::TESTS,
    device::TESTS,
    kinds::TESTS,
    master_cli::TESTS,
    master_cli::addresses::TESTS,
    master_cli::tools::TESTS,
    masters::TESTS,
    parity::TESTS,
    paths::TESTS,
    pid_file::TESTS,
    copies::TESTS,
    programs::TESTS,
    residue::TESTS,
    repair::TESTS,
    supervision::TESTS,
    isolation::TESTS,
    foreign_address::TESTS,
    entry_point::TESTS,
    bad_input::TESTS,
    adversity::TESTS,
    api::TESTS,
    apply::TESTS,
    apply::files::TESTS,
    apply::killed::TESTS,
    apply::told::TESTS,
    api::guarded::TESTS,
    api::described::TESTS,
    metrics::TESTS,
    metrics::joined::TESTS,
    metrics::now::TESTS,
    metrics::prometheus::TESTS,
    metrics::tools::TESTS,
    rollback::TESTS,
    diff::TESTS,
    status_watch::TESTS,
    modules::TESTS,
    watch::TESTS,
    truth::TESTS,
    history::TESTS,
    page::TESTS,
    cost::TESTS,
    tutorial::TESTS,
    scale::TESTS,
    several::TESTS,
    subject::TESTS,
];

fn main() {
    let mut arguments = Arguments::from_args();
    let why_not = stage::why_not();
    if let Some(reason) = &why_not {
        eprintln!("the end-to-end tests are ignored here: {reason}");
    }
    // Those that use the machine's own network wait for each other: one thread more, and they are no neighbours.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads = arguments.test_threads.or(Some(cores + 1));
    let containers = container::TESTS.into_iter().flatten().collect();
    let tests = spread(containers, MODULES.iter().copied().flatten().collect());
    let trials = tests.into_iter().map(|test| trial(test).with_ignored_flag(why_not.is_some()));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// A test for the harness.
fn trial((name, test): &'static Test) -> Trial {
    let name = name.trim_start_matches("end_to_end::");
    Trial::ignorable_test(name, || {
        clearway_lab::process::forget_deaths();
        completion(test())
    })
}

/// How a test ended. One that finds out that it cannot run here is ignored, with its reason.
fn completion(outcome: anyhow::Result<()>) -> Result<Completion, Failed> {
    match outcome.map_err(anyhow::Error::downcast::<stage::CannotRun>) {
        Ok(()) => Ok(Completion::Completed),
        Err(Ok(stage::CannotRun(reason))) => Ok(Completion::ignored_with(reason)),
        Err(Err(error)) => Err(format!("{error:?}").into()),
    }
}

/// Both in one row, evenly mixed.
fn spread<T>(few: Vec<T>, many: Vec<T>) -> Vec<T> {
    let (few_count, many_count) = (few.len(), many.len());
    let few = few.into_iter().enumerate().map(|(index, one)| ((2 * index + 1) * many_count, one));
    let many = many.into_iter().enumerate().map(|(index, one)| ((2 * index + 1) * few_count, one));
    let mut row: Vec<_> = few.chain(many).collect();
    row.sort_by_key(|(place, _)| *place);
    row.into_iter().map(|(_, one)| one).collect()
}
