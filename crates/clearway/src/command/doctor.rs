//! `clearway doctor`: what this host, this kernel and these capabilities allow. Changes nothing.
//!
//! Each finding says what was seen, why it matters, and what mends it. The exit code is 2 if something is
//! found that would keep the configuration from working: the one that is named, else that of the Clearway that runs here;
//! else any.

use std::ffi::OsString;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::intercept::Interception;
use clearway_core::strategy::Strategy;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::FileMount;
use clearway_kernel::capabilities::{self, Capability};
use clearway_kernel::plumbing;
use clearway_kernel::transparency::{self, Family};

use crate::command::subject::{Setup, elsewhere};
use crate::cutover::strategies;
use crate::fleet::executable::Executable;
use crate::front::find::Target;
use crate::ground::places;
use crate::path::obstacles::{self, Bits, ObstacleSeverity};

mod finding;
mod intercepted;
mod master_cli;
mod rights;
mod running;
mod transparent;

use finding::{Finding, FindingKind};
use rights::Needs;
use running::Running;

/// Looks at everything and prints what it found.
pub async fn doctor(target: &Target, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    // A usage error is told before any Clearway is asked.
    let named = Setup::named(arguments, &target.settings)?;
    let running = Running::ask(target).await;
    let is_named = !named.invocation.arguments.is_empty();
    let theirs = if is_named { None } else { running.subject(&target.settings) };
    let is_theirs = theirs.is_some();
    let subject = theirs.unwrap_or(named);
    let read = (is_named || is_theirs).then(|| subject.read());
    let (settings, interception) = (&subject.settings, &subject.settings.interception);
    let mut findings = vec![haproxy(&subject)];
    if is_theirs {
        let saw = format!(
            "looked at, since no file is named: `haproxy {}`, as the Clearway that runs here",
            subject.invocation.arguments.join(" ".as_ref()).display()
        );
        findings.push(Finding::good(FindingKind::LookedAt, saw));
    }
    let strays = subject.strays.iter();
    findings.extend(strays.map(|stray| Finding::note(FindingKind::UnknownSetting, stray.to_string())));
    findings.extend(subject.lacking().map(Finding::from));
    let needs = Needs::of(read.as_ref(), interception);
    findings.extend(rights::found(&needs));
    let sockets = Family::ALL.into_iter().map(transparent_sockets);
    findings.extend(sockets.map(|finding| needs.judge(Capability::NetRaw, finding)));
    findings.push(kernel());
    let (wanted, used) = (settings.strategy, running.strategy());
    findings.extend(Strategy::ALL.map(|one| strategy(one, wanted, used)));
    findings.push(left_behind());
    let bits = transparent::bits(settings, running.plumbing());
    findings.extend(running.findings());
    findings.extend(intercepted::host(interception));
    match read {
        None => findings.extend(obstacles::find(&[], bits).into_iter().map(Finding::from)),
        Some(Ok(read)) => {
            findings.extend(
                strategies::check_files(wanted, &read)
                    .err()
                    .map(|failure| cannot_be(FindingKind::Strategy, failure, NO_START, "; or ")),
            );
            findings.extend(configuration(&read, interception, bits));
        }
        Some(Err(failure)) => {
            findings.push(cannot_be(FindingKind::Configuration, failure, "HAProxy would not start", "; "));
        }
    }
    if target.json {
        crate::say!("{}", serde_json::json!({ "findings": findings }));
    } else {
        findings.iter().for_each(Finding::print);
    }
    let problem = findings.iter().any(|finding| finding.severity == ObstacleSeverity::Problem);
    Ok(if problem { ExitCode::Findings } else { ExitCode::Done })
}

fn cannot_be(kind: FindingKind, failure: Failure, matters: &str, between: &str) -> Finding {
    Finding::problem(kind, failure.message, matters, failure.hints.join(between))
}

fn haproxy(subject: &Setup) -> Finding {
    match Executable::new(subject.invocation.program.clone()).version() {
        Ok(version) => Finding::good(FindingKind::Haproxy, format!("HAProxy {version}")),
        Err(failure) => cannot_be(FindingKind::Haproxy, failure, "there is nothing to supervise", "; "),
    }
}

fn transparent_sockets(family: Family) -> Finding {
    let finding = match transparency::can_be_transparent(family) {
        Ok(()) => Finding::good(FindingKind::TransparentSockets, format!("transparent sockets, {family}")),
        Err(error) => Finding::problem(
            FindingKind::TransparentSockets,
            error.to_string(),
            "`usesrc` makes HAProxy open such sockets for every connection",
            "--cap-add=NET_RAW with `docker run`",
        ),
    };
    finding.about(family.to_string())
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 12) {
        let saw = format!("Linux {release}: the nftables table goes with its process, also after SIGKILL");
        Finding::good(FindingKind::Kernel, saw)
    } else {
        let saw = format!(
            "Linux {release} has no owner tables (5.12 and later have): after SIGKILL the table stays until the \
             next start or `clearway cleanup`"
        );
        Finding::note(FindingKind::Kernel, saw)
    }
}

/// Why a strategy that cannot be had matters.
const NO_START: &str = "Clearway does not start with a strategy that it cannot have";

/// Bad only where it is the one that is asked for.
fn strategy(strategy: Strategy, wanted: Strategy, used: Option<Strategy>) -> Finding {
    let name = match used {
        Some(used) if used == strategy => "strategy (in use)",
        None if wanted == strategy => "strategy (asked for)",
        _ => "strategy",
    };
    let nothing = strategy == Strategy::Auto && !capabilities::has(Capability::NetAdmin);
    let finding = match strategies::check(strategy) {
        Ok(()) => {
            let without = if nothing { "; nothing, without NET_ADMIN" } else { "" };
            let saw = format!("{name} `{strategy}`: {}{without}", strategies::summary(strategy));
            Finding::good(FindingKind::Strategy, saw)
        }
        Err(unavailable) => {
            let saw = format!("{name} `{strategy}` is not available: {}", unavailable.why);
            Finding {
                severity: if strategy == wanted { ObstacleSeverity::Problem } else { ObstacleSeverity::Note },
                matters: (strategy == wanted).then(|| NO_START.to_owned()),
                remedy: Some(unavailable.hints.join("; or ")),
                ..Finding::good(FindingKind::Strategy, saw)
            }
        }
    };
    finding.about(strategy.to_string())
}

fn left_behind() -> Finding {
    let kind = FindingKind::Residue;
    match plumbing::residue() {
        Ok(found) if found.is_empty() => Finding::good(kind, "nothing of Clearway is in the kernel"),
        Ok(found) if plumbing::any_process_lives().unwrap_or(false) => {
            Finding::good(kind, format!("in the kernel, of a running Clearway: {}", found.join("; ")))
        }
        Ok(found) if plumbing::closed().is_ok_and(|closed| !closed.is_empty()) => Finding::problem(
            kind,
            format!("left in the kernel by a dead Clearway, and closed: {}", found.join("; ")),
            "connections that it had intercepted are rejected (`CLEARWAY_INTERCEPT_FAIL=closed`)",
            "start Clearway again, or open with `clearway cleanup`",
        ),
        Ok(found) => Finding {
            remedy: Some("`clearway cleanup`, or the next start of any Clearway here".to_owned()),
            ..Finding::note(
                kind,
                format!("left in the kernel by a dead Clearway, without effect: {}", found.join("; ")),
            )
        },
        Err(error) => Finding::note(kind, format!("what is in the kernel could not be read: {error}")),
    }
}

fn configuration(configuration: &Configuration, interception: &Interception, bits: Bits) -> Vec<Finding> {
    let fighting = configuration.fighting.iter().map(ToString::to_string);
    let fighting = fighting.map(|saw| Finding::note(FindingKind::SettingsFight, saw));
    let elsewhere = elsewhere(configuration).into_iter();
    let elsewhere = elsewhere.map(|saw| Finding::note(FindingKind::ForeignAddress, saw));
    let notes = fighting.chain(elsewhere);
    let transparent = configuration.transparent.iter().map(|line| {
        let saw = format!("transparent, {}: `{}`", line.span, line.text);
        Finding::good(FindingKind::TransparentLine, saw).about(line.span.to_string())
    });
    let mounts = FileMount::of(configuration.files.iter().map(|file| &*file.path));
    let mounts = mounts.iter().map(|mount| {
        let saw = if mount.deleted { mount.replaced() } else { mount.note() };
        Finding::note(FindingKind::Mount, saw).about(mount.point.display().to_string())
    });
    let mut findings: Vec<Finding> = notes.chain(transparent).chain(mounts).collect();
    findings.extend(places::missing(configuration).into_iter().map(Finding::from));
    findings.extend(intercepted::listeners(configuration, interception));
    findings.extend(obstacles::mismatches(configuration).into_iter().map(Finding::from));
    if configuration.is_transparent() {
        let servers = obstacles::in_the_files(configuration);
        findings.extend(obstacles::find(&servers, bits).into_iter().map(Finding::from));
        findings.extend(transparent::names(configuration));
        findings.extend(transparent::sysctls(&servers));
        findings.extend(transparent::clients_that_cannot(configuration, &servers));
    }
    findings
}
