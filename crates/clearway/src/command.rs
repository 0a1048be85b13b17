//! The subcommands other than `run`: each talks to a running Clearway, or looks at this host.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::net::IpAddr;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::hints::Hint;
use clearway_core::strategy::{Means, by_means};
use clearway_core::supervisor::Bound;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::{Bind, Configuration};
use clearway_kernel::listeners::is_local;
use hyper::{Method, StatusCode};

use crate::cli::{self, Commit, Order, Target};
use crate::custody::foreign;
use crate::entry::guise;
use crate::front::client::{self, Wait};
use crate::front::{api, find};
use crate::runtime;
use crate::runtime::hold;

mod check;
mod cleanup;
mod doctor;
mod drain;
mod sessions;
mod status;
mod subject;
mod trial;

/// Does what the command line says.
pub fn follow(order: Order) -> ExitCode {
    let outcome = match order {
        Order::Run(settings, arguments) => return runtime::run(settings, arguments),
        Order::Reload(target, Commit::Yes) => in_runtime(reload(target)),
        Order::Reload(target, Commit::No) => in_runtime(trial::dry_run(target)),
        Order::Status(target, depth) => in_runtime(status::status(target, depth)),
        Order::Health(target) => in_runtime(health(target)),
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
        Order::Reference => {
            crate::say!("{}", cli::reference().trim_end());
            Ok(ExitCode::Done)
        }
        Order::Events => {
            crate::say!("{}", cli::events().trim_end());
            Ok(ExitCode::Done)
        }
        Order::Manual => print_manual(),
    };
    outcome.unwrap_or_else(|failure| {
        complain(&failure);
        failure.code
    })
}

/// Says what went wrong, on standard error: HAProxy's words first, what helps last.
pub fn complain(failure: &Failure) {
    complain_of(&failure.words, &failure.message, &failure.hints);
}

/// The same of what a running Clearway has refused.
fn refused(what: &str, refused: &api::Refused) {
    complain_of(&refused.words, &format!("{what}: {}", refused.message), &refused.hints);
}

fn complain_of(words: &[String], message: &str, hints: &[String]) {
    for line in words {
        crate::complain!("{line}");
    }
    crate::complain!("clearway: {message}");
    for hint in hints {
        crate::complain!("{}", Hint(hint));
    }
}

fn in_runtime(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(ExitCode::Internal, format!("starting an event loop: {error}")))?
        .block_on(work)
}

async fn reload(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let (status, body) =
        client::request(found.stream, Method::POST, "/reload", Wait::AsLongAsItTakes).await?;
    if !matches!(status, StatusCode::OK | StatusCode::CONFLICT) {
        return Err(client::refused("/reload", status, &body));
    }
    let answer: api::Reloaded = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        match &answer {
            api::Reloaded::Serving {
                generation,
                worker,
                adopted,
                fresh,
                unclaimed,
                moved,
                carried,
                not_read,
            } => {
                let others = moved.iter().filter(|one| one.by != Means::Handoff).count();
                let others = if others > 0 { format!(", {others} moved") } else { String::new() };
                crate::say!(
                    "generation {generation} serves, worker {worker}: {} taken over{others}",
                    Count(*adopted, "socket")
                );
                let Bound { new, gone, mut twice } = Bound::of(fresh, unclaimed);
                for line in not_read {
                    crate::say!("NOT READ: {line}");
                }
                list("newly bound", &new);
                list("no longer bound", &gone);
                for (means, addresses) in by_means(moved) {
                    // Those are what was taken over.
                    if means != Means::Handoff {
                        list(&means.heading(), &addresses);
                    }
                }
                if !carried.is_nothing() {
                    crate::say!("{carried}");
                }
                let moved: HashSet<_> = moved.iter().map(|one| &one.address).collect();
                twice.retain(|one| !moved.contains(one));
                list("bound a second time (a specific IPv6 address needs `v6only` to be taken over)", &twice);
            }
            api::Reloaded::Refused(why) => refused("the reload did not take", why),
            api::Reloaded::Tried { .. } | api::Reloaded::Stopping => {
                crate::complain!("clearway: it is stopping and reloads no more");
            }
        }
    }
    Ok(code(answer.exit_code()))
}

/// Whether all is well in this container, which is all that a probe wants to know: a generation serves, or sessions finish
/// as planned after a takeover. Another container of the same name answers for itself.
async fn health(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find_any(&target).await?;
    let (is_well, says) = if found.is_here() {
        let (status, body) = client::request(found.stream, Method::GET, "/health", Wait::Briefly).await?;
        (status == StatusCode::OK, String::from_utf8_lossy(&body).trim().to_owned())
    } else {
        (false, format!("not serving here: {} belongs to another container", found.name))
    };
    if target.json {
        let answer = if says == "serving" {
            serde_json::json!({ "serving": true, "healthy": true })
        } else {
            serde_json::json!({ "serving": false, "healthy": is_well, "reason": says })
        };
        crate::say!("{answer}");
    } else {
        crate::say!("{says}");
    }
    Ok(if is_well { ExitCode::Done } else { ExitCode::NotServing })
}

fn list(what: &str, items: &[String]) {
    if !items.is_empty() {
        crate::say!("{what}: {}", items.join(", "));
    }
}

/// The exit code with this number.
fn code(number: u8) -> ExitCode {
    ExitCode::ALL.into_iter().find(|code| code.number() == number).unwrap_or(ExitCode::Internal)
}

fn print_manual() -> Result<ExitCode, Failure> {
    let page = cli::manual()
        .map_err(|error| Failure::new(ExitCode::Internal, format!("writing the manual page: {error}")))?;
    crate::say!("{}", String::from_utf8_lossy(&page).trim_end());
    Ok(ExitCode::Done)
}

/// A line for each address of a `bind` line that this host does not have: HAProxy alone would refuse it, Clearway listens
/// there for it, and a mistyped address looks like one that is still to come.
fn elsewhere(configuration: &Configuration) -> Vec<String> {
    // A range of ports has one address.
    let addresses = foreign::wanted(configuration).map(|(bind, address)| (address.ip(), bind));
    let addresses: BTreeMap<IpAddr, &Bind> = addresses.collect();
    let foreign = addresses.into_iter().filter(|(address, _)| !is_local(*address));
    foreign
        .map(|(address, bind)| {
            format!(
                "{address} ({}) is not an address of this host: no client is served there until it is",
                bind.span
            )
        })
        .collect()
}

/// HAProxy's arguments. A flag of ours among them would be a usage error of HAProxy's, whose words are of no help.
pub fn invocation(arguments: Vec<OsString>) -> Result<Invocation, Failure> {
    let of_haproxy = arguments.iter().map_while(|word| word.to_str()).take_while(|word| *word != "--");
    if let Some(flag) = of_haproxy.into_iter().find(|word| cli::is_a_flag(word)) {
        let message = format!("`{flag}` is Clearway's, and stands among the arguments of HAProxy");
        let hint = format!(
            "put it before them, as in `clearway run {flag} ... -- haproxy -f FILE`; most flags of `run` have a variable, \
             too (`clearway run --help`)"
        );
        return Err(Failure::new(ExitCode::Usage, message).hint(hint));
    }
    let mut invocation =
        Invocation::parse(arguments).map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
    invocation.program = guise::behind(invocation.program)?;
    Ok(invocation)
}
