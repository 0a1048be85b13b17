//! The image itself: what it says about itself, whether it is healthy, and what is not in it.

use anyhow::{Context, Result, ensure};
use clearway_lab::container::Container;
use clearway_lab::wait::eventually_because;

use super::bridge::Bridge;
use super::engine::{engine, image};
use super::rig::assert_said;
use crate::stage::{SOON, said};

crate::tests![it_is_healthy_and_stays_so_through_reloads, its_labels_say_what_it_is, nothing_else_is_in_it];

/// Waits until so many health checks have ended, the last of them well.
fn wait_for_checks(container: &Container, count: usize, seen: &mut Vec<(String, i64)>) -> Result<()> {
    let mut state = container.state()?;
    eventually_because(SOON, "the image to be healthy", || {
        state = container.state()?;
        seen.extend(state.checks.iter().filter(|check| !seen.contains(check)).cloned().collect::<Vec<_>>());
        ensure!(seen.len() >= count && state.health == "healthy", "it is {} after {seen:?}", state.health);
        Ok(())
    })
    .with_context(|| container.log_for_people())
}

fn it_is_healthy_and_stays_so_through_reloads() -> Result<()> {
    let bridge = Bridge::new("health")?;
    bridge.write("", "")?;
    let container = bridge.start(&["--health-interval=1s"])?;
    let mut seen = Vec::new();
    wait_for_checks(&container, 1, &mut seen)?;
    for _ in 0..10 {
        assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    }
    let enough = seen.len() + 2;
    wait_for_checks(&container, enough, &mut seen)?;
    ensure!(seen.iter().all(|(_, code)| *code == 0), "a check failed: {seen:?}");
    Ok(())
}

fn its_labels_say_what_it_is() -> Result<()> {
    let engine = engine()?;
    let inspected = engine.done(&["image", "inspect", image()])?;
    let all: serde_json::Value = serde_json::from_str(&inspected)?;
    let config = &all[0]["Config"];
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str();
    let version = Container::run_to_end(&engine, "version", &["--network=none"], image(), &["--version"])?;
    // `clearway 0.1.0`, of a release with `(COMMIT DATE)`.
    let version = said(&version);
    ensure!(label("version") == version.split_whitespace().nth(1), "{version}: {config}");
    let commit = version.split_whitespace().nth(2).map(|word| word.trim_start_matches('('));
    let is_its = |commit: &str| label("revision").is_some_and(|revision| revision.starts_with(commit));
    ensure!(commit.is_none_or(is_its), "{version}: {config}");
    ensure!(label("licenses") == Some("MIT OR Apache-2.0"), "{config}");
    ensure!(config["StopSignal"] == "SIGTERM", "{config}");
    ensure!(config["Entrypoint"] == serde_json::json!(["/usr/local/bin/clearway"]), "{config}");
    Ok(())
}

/// Prints programs that are not needed at run time, and files of size that are of no package.
const LOOK: &str = "\
for name in cc gcc c++ ld as make cargo rustc git curl wget nft iptables ip sysctl modprobe; do
  command -v $name
done
cat /var/lib/dpkg/info/*.list | sort -u >/tmp/packaged
find /usr /opt /srv /home /root -xdev -type f -size +100k | sort | comm -23 - /tmp/packaged
true";

fn nothing_else_is_in_it() -> Result<()> {
    let engine = engine()?;
    let options = ["--network=none", "--entrypoint=/bin/sh"];
    let output = Container::run_to_end(&engine, "look", &options, image(), &["-c", LOOK])?;
    let found = assert_said(&output, 0)?;
    ensure!(found == "/usr/local/bin/clearway\n", "beside Debian's files:\n{found}");
    Ok(())
}
