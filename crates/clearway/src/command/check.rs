//! `clearway check`: HAProxy checks the configuration (`haproxy -W -c`), Clearway says what it needs from the
//! host. Neither changes anything.

use std::ffi::OsString;
use std::process::{Command, ExitStatus, Stdio};

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::hints::Hint;
use clearway_core::intercept::Interception;
use clearway_haproxy::command_line::Handled;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::version::{UserWithTransparency, Version};
use clearway_kernel::capabilities::{self, Capability};

use crate::command::subject::{Setup, elsewhere};
use crate::cutover::strategies;
use crate::fleet::executable::Executable;
use crate::front::find::Target;
use crate::front::{client, find};
use crate::ground::places;
use crate::path::intercept;

/// What `haproxy -c` ends with where the files are valid, but no line of them listens (measured with 2.6.12 and 3.4.7).
const NO_LISTENER: i32 = 2;

/// Runs `haproxy -W -c` with the user's arguments, or with those of the Clearway that runs here, then looks at the
/// configuration itself.
pub async fn check(target: &Target, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let subject = subject(target, arguments).await?;
    let invocation = &subject.invocation;
    for stray in &subject.strays {
        crate::say!("note: {stray}");
    }
    for handled in &invocation.handled {
        crate::say!("note: {handled}");
    }
    let version = Executable::new(invocation.program.clone()).version()?;
    let configuration = subject.read()?;
    let quiet = configuration.global.quiet.is_some() || invocation.handled.contains(&Handled::Quiet);
    let ask = |words: &[&str]| {
        let mut command = subject.command();
        // `-V` wins over `-q` and `quiet`, which would hide why HAProxy refuses it.
        command.args(words).args(quiet.then_some("-V")).args(&invocation.arguments);
        command
    };
    let failed = |error: std::io::Error| {
        Failure::new(ExitCode::NoHaproxy, format!("running `haproxy -W -c`: {error}"))
    };
    // As it is started: without `-W` a `program` section is refused.
    let status = ask(&["-W", "-c"]).status().map_err(failed)?;
    if !matches!(status.code(), Some(0 | NO_LISTENER)) {
        return Err(Failure::new(
            ExitCode::ConfigurationRefused,
            format!("HAProxy {version} refused it ({status})"),
        ));
    }
    for fighting in &configuration.fighting {
        crate::say!("note: {fighting}");
    }
    for line in elsewhere(&configuration) {
        crate::say!("note: {line}");
    }
    if listens_nowhere(status, &configuration, ask(&["-c"])).map_err(failed)? {
        crate::say!(
            "HAProxy {version} takes it, but nothing in it listens: by itself HAProxy would not start; under Clearway \
             it starts and serves nothing until a reload brings a `bind` line"
        );
    } else {
        crate::say!("HAProxy {version} takes it, with {}", Count(configuration.binds.len(), "bind line"));
    }
    let mut missing = places::missing(&configuration);
    missing.extend(subject.lacking());
    let places = say_missing(&missing);
    let found = transparency(&configuration, &subject.settings.interception, version);
    let found = if places == ExitCode::Done { found } else { places };
    let strategy = subject.settings.strategy;
    let refused = strategies::check(strategy)
        .map_err(Failure::from)
        .and_then(|()| strategies::check_files(strategy, &configuration));
    let Err(failure) = refused else { return Ok(found) };
    crate::say!("problem: {}", failure.message);
    for hint in &failure.hints {
        crate::say!("{}", Hint(hint));
    }
    Ok(ExitCode::Findings)
}

/// What is named, else what the Clearway that runs here was started with.
async fn subject(target: &Target, arguments: Vec<OsString>) -> Result<Setup, Failure> {
    let named = Setup::named(arguments, &target.settings)?;
    if !named.invocation.configuration.is_empty() {
        return Ok(named);
    }
    let unnamed = |why: &str| {
        Failure::new(ExitCode::Usage, format!("no configuration is named, and {why}"))
            .hint("for example `clearway check haproxy -f /usr/local/etc/haproxy/haproxy.cfg`")
    };
    if !named.invocation.arguments.is_empty() {
        return Err(unnamed("HAProxy's arguments have no `-f`"));
    }
    let found = match find::find(target).await {
        Ok(found) => found,
        // A plain mistake, if none was named and none is there.
        Err(failure) if find::seen(target).await.meant.is_empty() && target.named.is_none() => {
            return Err(unnamed(&failure.message));
        }
        Err(failure) => return Err(failure),
    };
    let (name, pid) = (found.name.clone(), found.pid.filter(|_| found.may_have_our_files()));
    let (status, _) = client::status(found.stream).await?;
    let theirs = pid.zip(status.started);
    let subject = theirs.and_then(|(pid, started)| Setup::of_running(&started, pid, &target.settings));
    let subject = subject
        .filter(|one| !one.invocation.configuration.is_empty())
        .ok_or_else(|| unnamed(&format!("what {name} was started with cannot be looked at from here")))?;
    crate::say!(
        "checked, since no file is named: `haproxy {}`, as {name} was started",
        subject.invocation.arguments.join(" ".as_ref()).display()
    );
    Ok(subject)
}

/// What the places lack where HAProxy makes sockets and files, or sends its log.
fn say_missing(missing: &[places::Missing]) -> ExitCode {
    for one in missing {
        let mark = if one.stops { "problem" } else { "note" };
        crate::say!("{mark}: {}: {}", one.saw, one.matters);
        crate::say!("{}", Hint(&one.remedy));
    }
    if missing.iter().any(|one| one.stops) { ExitCode::Findings } else { ExitCode::Done }
}

/// Whether nothing listens. Up to 3.0 HAProxy does not say so with `-W`: the sockets between master and worker count as
/// well (measured with 2.6.12; 3.2 leaves the master-worker mode for a check). Then it is asked without.
fn listens_nowhere(
    status: ExitStatus,
    configuration: &Configuration,
    mut ask: Command,
) -> std::io::Result<bool> {
    if status.code() == Some(NO_LISTENER) || !configuration.binds.is_empty() {
        return Ok(status.code() == Some(NO_LISTENER));
    }
    let status = ask.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(status.code() == Some(NO_LISTENER))
}

/// What the transparent lines need, and whether it is there.
fn transparency(configuration: &Configuration, interception: &Interception, version: Version) -> ExitCode {
    if !configuration.is_transparent() && interception.is_empty() {
        crate::say!("nothing in it is transparent: no plumbing, and no NET_ADMIN for it, is needed");
        return ExitCode::Done;
    }
    if !interception.is_empty() {
        crate::say!("{}", intercept::described(interception));
    }
    for sysctl in intercept::not_forwarded(interception) {
        crate::say!("note: {sysctl} is 0: what is not intercepted is not forwarded either");
    }
    for line in &configuration.transparent {
        let conditions: Vec<String> = line.guards.iter().map(ToString::to_string).collect();
        let under =
            if conditions.is_empty() { String::new() } else { format!(", if {}", conditions.join(" and ")) };
        crate::say!("transparent ({}): `{}`{under}", line.span, line.text);
    }
    let mut findings: Vec<String> = intercept::untaken(configuration, interception)
        .iter()
        .map(|rule| format!("{rule}; add {}", rule.remedy()))
        .collect();
    if intercept::loses_all(interception) {
        findings.push(intercept::COOKIES.join("; "));
    }
    match capabilities::effective() {
        Ok(held) => findings.extend(held.missing(&[Capability::NetAdmin, Capability::NetRaw]).iter().map(
            |capability| format!("{0} is missing; add --cap-add={0} to `docker run`", capability.name()),
        )),
        Err(error) => findings.push(error.to_string()),
    }
    let refuses = version.user_with_transparency() == UserWithTransparency::Refused;
    if refuses && configuration.is_transparent() && configuration.global.changes_user() {
        findings.push(format!(
            "HAProxy {version} will not start: up to 2.9 it cannot change its `user` and use clients' addresses at \
             once; leave `user` out, or use HAProxy 3.0 or later"
        ));
    }
    if findings.is_empty() {
        crate::say!("NET_ADMIN and NET_RAW are there");
        return ExitCode::Done;
    }
    for finding in findings {
        crate::say!("problem: {finding}");
    }
    ExitCode::Findings
}
