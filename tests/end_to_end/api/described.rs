//! The API does what its description says: schemathesis (of `PyPI`) makes requests of it, and looks at the answers.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::http::At;
use super::{LOOPBACK, PORT, wait_for};
use crate::stage::{CannotRun, SOON, Stage, assert_code, complained, said};

crate::tests![it_answers_as_its_description_says];

/// Where it is installed: as SCHEMATHESIS says, or in a virtual environment in `target`.
fn schemathesis() -> Result<PathBuf> {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/schemathesis/bin/schemathesis");
    let program = std::env::var_os("SCHEMATHESIS").map_or_else(|| installed.into(), PathBuf::from);
    if program.exists() {
        return Ok(program);
    }
    let how = "python3 -m venv target/schemathesis && target/schemathesis/bin/pip install schemathesis";
    Err(CannotRun(format!("there is no schemathesis at {}: `{how}`", program.display())).into())
}

fn it_answers_as_its_description_says() -> Result<()> {
    let program = schemathesis()?;
    let stage = Stage::new("apidesc")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[LOOPBACK])?;
    wait_for(&At::loopback(&stage, PORT))?;
    let url = format!("http://127.0.0.1:{PORT}");
    let mut command = stage.hosts.balancer.command(program);
    command.args(["run", &format!("{url}/openapi.json"), "--url", &url, "--max-examples", "10"]);
    // That would be the end.
    command.args(["--exclude-path", "/v1/drain"]);
    // Its answer has no end.
    command.args(["--exclude-path", "/v1/events"]).current_dir(stage.path("."));
    let output = command.output().context("running schemathesis")?;
    ensure!(output.status.success(), "{}{}", said(&output), complained(&output));
    ensure!(said(&output).contains("No issues found"), "{}", said(&output));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
