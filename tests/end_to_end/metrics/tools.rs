//! What Prometheus' own programs say of the metrics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use clearway_lab::namespace::Namespace;
use rustix::process::Signal;

use super::text;
use crate::stage::{CannotRun, SOON, Stage, assert_code, complained, said};

crate::tests![promtool_has_nothing_to_say_about_the_metrics];

/// Runs `promtool` of Debian's `prometheus` with this as its input.
pub fn promtool(words: &[&str], input: &str) -> Result<Output> {
    let mut command = Command::new("promtool");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        return Err(CannotRun("`promtool` is not installed (`make setup` does that)".to_owned()).into());
    };
    promtool.stdin.take().context("its input")?.write_all(input.as_bytes())?;
    promtool.wait_with_output().context("waiting for promtool")
}

/// Asserts that it accepts the metrics, and has no advice about their names.
pub fn assert_well_formed(text: &str) -> Result<()> {
    let output = promtool(&["check", "metrics"], text)?;
    let words = said(&output) + &complained(&output);
    ensure!(output.status.success() && words.trim().is_empty(), "promtool: {words}");
    Ok(())
}

/// What a web server of a host answers, without the header.
pub fn get(host: &Namespace, from: SocketAddr, path: &str) -> Result<String> {
    let answer = host.enter(|| -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&from, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {from}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })??;
    let (header, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer}"))?;
    if header.to_lowercase().contains("transfer-encoding: chunked") {
        whole(body)
    } else {
        Ok(body.to_owned())
    }
}

/// The chunks of a body, put together.
fn whole(mut chunks: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n").context("the length of a chunk")?;
        let length = usize::from_str_radix(length.trim(), 16)?;
        if length == 0 {
            return Ok(body);
        }
        body += rest.get(..length).context("a chunk")?;
        chunks = rest.get(length + 2..).context("the end of a chunk")?;
    }
}

fn promtool_has_nothing_to_say_about_the_metrics() -> Result<()> {
    // It finds what is wrong at all.
    let wrong = promtool(&["check", "metrics"], "# TYPE clearway_reloads counter\nclearway_reloads 1\n")?;
    ensure!(!wrong.status.success(), "promtool accepts a counter without `_total`");
    let stage = Stage::new("metricstool")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_well_formed(&text(&stage, &[])?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
