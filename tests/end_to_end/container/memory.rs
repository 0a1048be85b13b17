//! A memory limit that has room for one generation and not for two: the reload fails, and nothing else.

use anyhow::{Result, ensure};
use clearway_lab::session::{Session, State};

use super::bridge::Bridge;
use super::engine::engine;
use super::rig::assert_said;
use crate::stage::{CannotRun, SOON};

crate::tests![a_reload_beyond_the_memory_limit_costs_the_new_generation_only];

/// Servers enough for a worker of some 48 MiB, taken at once: a limit of 64 MiB has room for one and not for two.
/// The one that serves is by far the largest process when the memory runs out.
const MANY_SERVERS: &str = "backend many\n    server-template s 9000 127.0.0.1:1\n";

const LIMIT: [&str; 2] = ["--memory=64m", "--memory-swap=64m"];

fn a_reload_beyond_the_memory_limit_costs_the_new_generation_only() -> Result<()> {
    if engine()?.info("{{.MemoryLimit}}")? != "true" {
        return Err(CannotRun("the engine cannot limit memory".to_owned()).into());
    }
    let bridge = Bridge::new("memory")?;
    bridge.write(MANY_SERVERS, "")?;
    let mut container = bridge.start(&LIMIT)?;
    let mut session = Session::open(&bridge.host, Bridge::front(&container)?, None)?;
    for generation in 2..5 {
        let position = container.log_position()?;
        container.signal("HUP")?;
        let failure = format!("generation {generation} came to nothing");
        let line = container.wait_for_log(position, &failure, SOON)?;
        ensure!(
            line.contains("run out of memory")
                && line.contains("of the limit of 64 MiB")
                && line.contains("1 serves on"),
            "{line}"
        );
        container.wait_for_log(position, "hint: raise the memory limit (`--memory`", SOON)?;
        let state = session.beat();
        ensure!(state == State::Alive, "the session: {state:?}; {}", container.log_for_people());
    }
    ensure!(container.state()?.running, "the container has ended: {}", container.log_for_people());
    let status = assert_said(&container.exec(&["clearway", "status"])?, 0)?;
    ensure!(status.contains("generation 1 serving"), "{status}");
    Bridge::assert_serving(&mut container)?;
    bridge.write("", "")?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    ensure!(session.close() == State::Closed, "the session was not closed properly");
    ensure!(container.stop(300)? == 0, "{}", container.log_for_people());
    Ok(())
}
