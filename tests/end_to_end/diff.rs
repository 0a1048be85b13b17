//! `clearway diff`, and what generations were started from: the files on disk beside those that run.

use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{SOON, Stage, assert_code, complained, said};
use crate::transaction::other;

crate::tests![
    what_is_different_is_shown_as_lines_that_patch_takes,
    files_that_come_and_go_are_shown,
    files_that_are_named_are_said_to_be_different,
    what_a_generation_was_started_from_is_told,
    files_that_cannot_be_read_are_an_error,
    a_large_file_is_said_to_be_different,
    requests_that_make_no_sense_are_refused,
];

/// What it prints where something is different.
fn different(stage: &Stage, words: &[&str]) -> Result<String> {
    let output = stage.clearway(&[&["diff"], words].concat())?;
    assert_code(output.status, 1).with_context(|| complained(&output))?;
    Ok(said(&output))
}

fn assert_same(stage: &Stage, words: &[&str]) -> Result<()> {
    let output = stage.clearway(&[&["diff"], words].concat())?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(output.stdout.is_empty(), "{}", said(&output));
    Ok(())
}

/// An answer of the admin socket: its first line, and its body.
fn ask(stage: &Stage, request: &str) -> Result<(String, String)> {
    let sockets = std::fs::read_dir(stage.run_directory())?.filter_map(Result::ok);
    let mut sockets = sockets.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    let mut stream = UnixStream::connect(sockets.next().context("an admin socket")?.path())?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "{request} HTTP/1.1\r\nHost: clearway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (header, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    Ok((header.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

fn what_is_different_is_shown_as_lines_that_patch_takes() -> Result<()> {
    let stage = Stage::new("diff")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    assert_same(&stage, &[])?;
    stage.write(&(other(&stage) + "# the end"))?;
    let lines = different(&stage, &[])?;
    let file = stage.file().display().to_string();
    let head = format!("--- {file}\tgeneration 1\n+++ {file}\ton disk\n@@ ");
    ensure!(lines.starts_with(&head), "{lines}");
    let servers =
        |sign: char| lines.lines().filter(|line| line.starts_with(&format!("{sign}    server s "))).count();
    ensure!((servers('-'), servers('+')) == (2, 2) && lines.contains("+# the end\n"), "{lines}");
    // The way back, by a tool that everybody has.
    let mut patch = Command::new("patch");
    patch.args(["--reverse", &file]).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Ok(mut patch) = patch.spawn() {
        patch.stdin.take().context("its input")?.write_all(lines.as_bytes())?;
        let output = patch.wait_with_output()?;
        ensure!(output.status.success(), "patch: {}", said(&output));
        ensure!(std::fs::read_to_string(stage.file())? == stage.plain(), "patched to something else");
        assert_same(&stage, &[])?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(stage.clearway(&["diff"])?.status, 68)?;
    stage.assert_clean()
}

fn files_that_come_and_go_are_shown() -> Result<()> {
    let stage = Stage::new("diffdir")?;
    stage.write(&stage.plain())?;
    let directory = stage.path("conf.d");
    std::fs::create_dir(&directory)?;
    let text = |port: u16| format!("listen l{port}\n    bind 127.0.0.1:{port}\n    server s 127.0.0.1:1\n");
    std::fs::write(directory.join("a.cfg"), text(9001))?;
    let mut balancer = stage.start_with(&["-f", &directory.display().to_string()], &[])?;
    std::fs::rename(directory.join("a.cfg"), directory.join("b.cfg"))?;
    let json: Value = serde_json::from_str(&different(&stage, &["--json"])?)?;
    let told: Vec<_> = json["files"].as_array().context("files")?.iter().map(|one| &one["change"]).collect();
    ensure!(told == ["removed", "added"] && json["same"] == false, "{json}");
    let lines = different(&stage, &[])?;
    ensure!(lines.contains("+++ /dev/null\n") && lines.contains("--- /dev/null\n"), "{lines}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn files_that_are_named_are_said_to_be_different() -> Result<()> {
    let stage = Stage::new("diffmap")?;
    let map = stage.path("hosts.map");
    std::fs::write(&map, "10.9.9.9 f0\n")?;
    let front =
        format!("frontend m\n    bind 127.0.0.1:9001\n    use_backend %[src,map_ip({})]\n", map.display());
    stage.write(&(stage.plain() + &front))?;
    let mut balancer = stage.start()?;
    assert_same(&stage, &[])?;
    std::fs::write(&map, "10.9.9.9 f1\n")?;
    let told = different(&stage, &[])?;
    ensure!(told == format!("# {} has changed (what it was is not kept)\n", map.display()), "{told}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_a_generation_was_started_from_is_told() -> Result<()> {
    let stage = Stage::new("diffgen")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&other(&stage))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_same(&stage, &[])?;
    assert_same(&stage, &["--generation", "2"])?;
    ensure!(different(&stage, &["--generation", "1"])?.contains("\tgeneration 1\n"));
    for (query, wanted) in
        [("", other(&stage)), ("?generation=2", other(&stage)), ("?generation=1", stage.plain())]
    {
        let (status, body) = ask(&stage, &format!("GET /v1/config{query}"))?;
        ensure!(status.contains(" 200 "), "{status}: {body}");
        let told: Value = serde_json::from_str(&body)?;
        let file = &told["files"][0];
        ensure!(file["content"] == wanted && file["bytes"] == wanted.len(), "{query}: {told}");
        ensure!(file["path"] == stage.file().display().to_string(), "{told}");
    }
    // What is two reloads ago is forgotten, as a rollback can not bring it back any more.
    stage.write(&(other(&stage) + "# third\n"))?;
    assert_code(stage.clearway(&["rollback"])?.status, 0)?;
    for (query, code) in [("?generation=2", "404"), ("?generation=9", "404")] {
        for path in ["/v1/config", "/v1/config/diff"] {
            let (status, body) = ask(&stage, &format!("GET {path}{query}"))?;
            ensure!(
                status.contains(code) && body.contains("it is not known what generation"),
                "{status}: {body}"
            );
        }
    }
    let refused = stage.clearway(&["diff", "--generation", "2"])?;
    assert_code(refused.status, 64)?;
    ensure!(complained(&refused).contains("that is of generation 1, 3"), "{}", complained(&refused));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn files_that_cannot_be_read_are_an_error() -> Result<()> {
    let stage = Stage::new("diffbad")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let refused = |says: &str| -> Result<()> {
        let output = stage.clearway(&["diff"])?;
        assert_code(output.status, 66)?;
        ensure!(complained(&output).contains(says), "{}", complained(&output));
        Ok(())
    };
    std::fs::remove_file(stage.file())?;
    refused("No such file")?;
    // Nothing waits for a writer.
    ensure!(Command::new("mkfifo").arg(stage.file()).status()?.success(), "no pipe");
    refused("it is a pipe")?;
    std::fs::remove_file(stage.file())?;
    stage.write(&stage.plain())?;
    assert_same(&stage, &[])?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_large_file_is_said_to_be_different() -> Result<()> {
    let stage = Stage::new("diffbig")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    // Larger than what is shown, and then larger than what is compared line by line.
    stage.write(&(stage.plain() + &"# a comment of no importance\n".repeat(40_000)))?;
    let shown = different(&stage, &[])?;
    ensure!(
        shown.len() < 600 << 10 && shown.contains("lines more, which are not shown"),
        "{} bytes",
        shown.len()
    );
    stage.write(&(stage.plain() + &"# a comment of no importance\n".repeat(200_000)))?;
    let told = different(&stage, &[])?;
    ensure!(told.contains("too large to be shown") && told.lines().count() == 1, "{} bytes", told.len());
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn requests_that_make_no_sense_are_refused() -> Result<()> {
    let stage = Stage::new("diffask")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    for (request, code) in [
        ("GET /v1/config?generation=one", "400"),
        ("GET /v1/config?generation=-1", "400"),
        ("GET /v1/config/diff?generation=99999999999999999999", "400"),
        ("GET /v1/config/diff?other=1", "400"),
        ("GET /v1/config/diff?%ff", "400"),
        ("POST /v1/config", "405"),
        ("GET /v1/rollback", "405"),
        ("DELETE /v1/config/diff", "405"),
        ("POST /v1/rollback", "409"),
    ] {
        let (status, body) = ask(&stage, request)?;
        ensure!(status.contains(&format!(" {code} ")), "{request}: {status} {body}");
    }
    assert_code(stage.clearway(&["diff", "--generation", "x"])?.status, 64)?;
    assert_code(stage.clearway(&["rollback", "now"])?.status, 64)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
