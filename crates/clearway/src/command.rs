//! The subcommands other than `run`: each talks to a running Clearway, or looks at this host.

use std::path::Path;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;

use crate::cli::{Commit, Order, pages};
use crate::ground::print::complain;
use crate::runtime;
use crate::runtime::hold;

mod apply;
mod check;
mod cleanup;
mod diff;
mod doctor;
mod drain;
mod events;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod health;
mod history;
mod log_events;
mod metrics;
mod plan;
mod print;
mod reload;
mod sessions;
mod status;
mod subject;
mod trial;

/// Does what the command line says.
pub fn follow(order: Order) -> ExitCode {
    let outcome = match order {
        Order::Run(settings, arguments) => return runtime::run(settings, arguments),
        Order::Reload(target, Commit::Yes) => in_runtime(reload::reload(target)),
        Order::Reload(target, Commit::No) => in_runtime(trial::dry_run(target)),
        Order::Rollback(target) => in_runtime(reload::rollback(target)),
        Order::Apply(target) => in_runtime(apply::apply(target)),
        Order::Plan(target) => in_runtime(plan::plan(target)),
        Order::Diff(target, generation) => in_runtime(diff::diff(target, generation)),
        Order::Status(target, depth) => in_runtime(status::status(target, depth)),
        Order::Events(target, had) => in_runtime(events::events(target, had)),
        Order::History(target) => in_runtime(history::history(target)),
        Order::Metrics(target, whose) => in_runtime(metrics::metrics(target, whose)),
        Order::MetricsTable => Ok(print(metrics::reference().as_bytes())),
        Order::Health(target) => in_runtime(health::health(target)),
        Order::Drain(target, release) => in_runtime(drain::drain(target, release)),
        Order::Sessions(target, generation) => in_runtime(sessions::sessions(target, generation)),
        Order::End(target, generation) => in_runtime(sessions::end(target, generation)),
        Order::Hold(target) => hold::hold(&target.settings),
        Order::Cleanup(target) => cleanup::cleanup(&target),
        // In a runtime, because looking at peers needs one.
        Order::Check(target, arguments) => in_runtime(async move { check::check(&target, arguments).await }),
        Order::Doctor(target, arguments) => {
            in_runtime(async move { doctor::doctor(&target, arguments).await })
        }
        Order::Reference => Ok(print(pages::reference().as_bytes())),
        Order::LogEvents => Ok(print(log_events::log_events().as_bytes())),
        Order::Manual(page) => print_manual(page.as_deref()),
        Order::Manuals(directory) => write_manuals(&directory),
        Order::Completions(shell) => Ok(print(&pages::completions(shell))),
    };
    outcome.unwrap_or_else(|failure| {
        complain(&failure);
        failure.code
    })
}

fn in_runtime(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(ExitCode::Internal, format!("starting an event loop: {error}")))?
        .block_on(work)
}

fn print(text: &[u8]) -> ExitCode {
    crate::say!("{}", String::from_utf8_lossy(text).trim_end());
    ExitCode::Done
}

fn print_manual(subcommand: Option<&str>) -> Result<ExitCode, Failure> {
    let failure = |error| Failure::new(ExitCode::Internal, format!("writing the manual page: {error}"));
    Ok(print(&pages::manual(subcommand).map_err(failure)?))
}

fn write_manuals(directory: &Path) -> Result<ExitCode, Failure> {
    let failure = |error| Failure::new(ExitCode::Usage, format!("{}: {error}", directory.display()));
    pages::write_manuals(directory).map_err(failure)?;
    Ok(ExitCode::Done)
}

#[cfg(test)]
mod tests;
