//! `clearway check`: HAProxy checks the configuration (`haproxy -c`), Clearway says what it needs from the
//! host. Neither changes anything.

use std::ffi::OsString;
use std::process::Command;

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Failure;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::capabilities::{self, Capability};

use crate::shell::{Program, unreadable};

/// Runs `haproxy -c` with the user's arguments, then looks at the configuration itself.
pub fn check(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let invocation = super::invocation(arguments)?;
    if invocation.configuration.is_empty() {
        return Err(Failure::new(ExitCode::Usage, "no configuration is named")
            .hint("for example `clearway check haproxy -f /usr/local/etc/haproxy/haproxy.cfg`"));
    }
    for handled in &invocation.handled {
        println!("note: {handled}");
    }
    let version = Program::new(invocation.program.clone()).version()?;
    let lookup = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let configuration = Configuration::read(&invocation, &lookup).map_err(|error| unreadable(&error))?;
    let status = Command::new(&invocation.program)
        .arg("-c")
        .args(&invocation.arguments)
        .status()
        .map_err(|error| Failure::new(ExitCode::NoHaproxy, format!("running `haproxy -c`: {error}")))?;
    // 2: valid, but without a listener (knowledge F).
    if !matches!(status.code(), Some(0 | 2)) {
        return Err(Failure::new(
            ExitCode::ConfigurationRefused,
            format!("HAProxy {version} refused it ({status})"),
        ));
    }
    for fighting in &configuration.fighting {
        println!("note: {fighting}");
    }
    println!("HAProxy {version} takes it, with {} bind line(s)", configuration.binds.len());
    let Some(line) = configuration.transparent.first() else {
        println!("nothing in it is transparent: no plumbing and no NET_ADMIN is needed");
        return Ok(ExitCode::Done);
    };
    println!("transparent ({}): `{}`", line.span, line.text);
    let held =
        capabilities::effective().map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    let missing = held.missing(&[Capability::NetAdmin, Capability::NetRaw]);
    if missing.is_empty() {
        println!("NET_ADMIN and NET_RAW are there");
        return Ok(ExitCode::Done);
    }
    for capability in missing {
        println!("missing: {0}; add --cap-add={0} to `docker run`", capability.name());
    }
    Ok(ExitCode::Findings)
}
