//! When, where and with what something was measured.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::balancer::haproxy_program;

/// The first sentence of a page of results. Of the machine, the kernel and HAProxy, and of these programs with
/// their flags for the version.
pub(super) fn made_by(target: &str, programs: &[(&str, &str)]) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let haproxy = haproxy_program();
    let usual = [("uname", "-sr"), (haproxy.as_str(), "-v")];
    let all = usual.iter().chain(programs);
    let versions: Vec<String> = all.filter_map(|(program, flag)| version(program, flag)).collect();
    let date = now.split('T').next().unwrap_or_default();
    let model = model.map_or("processors of unknown make", |(_, model)| model);
    format!("Made by `make {target}` on {date}: {cores} x {model}, {}.", versions.join(", "))
}

/// The first line that a program says of its version, on whichever stream; nothing where it is missing.
pub(super) fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&said).lines().next()?.trim().to_owned();
    let line = line.strip_prefix("nginx version: ").map_or(line.clone(), str::to_owned);
    let version = line.split(" - ").next().unwrap_or_default();
    // Some say nothing but the number.
    let is_named = version.starts_with(|c: char| !c.is_ascii_digit());
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    Some(if is_named { version.to_owned() } else { format!("{name} {version}") })
}
