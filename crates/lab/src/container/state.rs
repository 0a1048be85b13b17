//! What an engine says of a container.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Engine;

/// `docker inspect`, as far as the tests ask.
#[derive(Debug, Clone)]
pub struct State {
    /// Whether it runs.
    pub running: bool,
    /// The process id of its first process, outside; 0 if it does not run.
    pub pid: u32,
    /// The exit code of its last run.
    pub exit_code: i64,
    /// Whether the kernel has killed a process of it for want of memory.
    pub oom_killed: bool,
    /// `starting`, `healthy`, `unhealthy`; empty without a health check.
    pub health: String,
    /// The exit codes of the last health checks, oldest first, each with the moment of its end.
    pub checks: Vec<(String, i64)>,
    /// Its address in the network `bridge`, if it has one.
    pub address: Option<IpAddr>,
}

impl State {
    /// Asks the engine now.
    pub(super) fn of(engine: &Engine, name: &str) -> Result<Self> {
        let text = engine.done(&["inspect", "--type", "container", name])?;
        let all: Value = serde_json::from_str(&text).context("reading what `docker inspect` says")?;
        Ok(Self::read(&all[0]))
    }

    fn read(container: &Value) -> Self {
        let state = &container["State"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let checks = state["Health"]["Log"].as_array().into_iter().flatten();
        Self {
            running: state["Running"].as_bool().unwrap_or(false),
            pid: state["Pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0),
            exit_code: state["ExitCode"].as_i64().unwrap_or(-1),
            oom_killed: state["OOMKilled"].as_bool().unwrap_or(false),
            health: text(&state["Health"]["Status"]),
            checks: checks
                .map(|check| (text(&check["End"]), check["ExitCode"].as_i64().unwrap_or(-1)))
                .collect(),
            address: container["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
                .as_str()
                .and_then(|address| address.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn a_state_is_read_and_what_is_missing_is_no_error() {
        let inspected = serde_json::json!({
            "State": {"Running": true, "Pid": 42, "ExitCode": 0, "OOMKilled": false,
                      "Health": {"Status": "healthy", "Log": [{"End": "now", "ExitCode": 0}]}},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        });
        let state = State::read(&inspected);
        assert!(state.running && state.pid == 42 && state.health == "healthy");
        assert_eq!(state.checks, [("now".to_owned(), 0)]);
        assert_eq!(state.address, "172.17.0.2".parse().ok());
        let none = State::read(&serde_json::json!({}));
        assert!(!none.running && none.pid == 0 && none.checks.is_empty() && none.address.is_none());
    }
}
