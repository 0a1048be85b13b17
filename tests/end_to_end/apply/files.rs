//! Files that the configuration names: a certificate that is renewed, a map that is written anew.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::apply::{apply, plan};
use crate::parity::{ask, with_socket};
use crate::stage::{CannotRun, SOON, Stage, assert_code, complained, said};
use crate::watch::certificate;

crate::tests![
    a_renewed_certificate_is_served_and_open_sessions_stay,
    a_certificate_without_its_key_is_refused_and_the_former_goes_on,
    a_map_is_replaced_as_a_whole,
];

/// `openssl s_client` from the balancer's host, which says what certificate it has been shown.
fn client(stage: &Stage, port: u16) -> Command {
    let mut command = stage.hosts.balancer.command("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "site.example"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The certificate that is served, as PEM.
fn served(stage: &Stage, port: u16) -> Result<String> {
    let output = client(stage, port).output();
    let output = output.map_err(|error| CannotRun(format!("`openssl` asks for the certificate: {error}")))?;
    let text = said(&output);
    let from = text.find("-----BEGIN CERTIFICATE-----").with_context(|| complained(&output))?;
    let to = text.find("-----END CERTIFICATE-----").context("the end of a certificate")?;
    Ok(text[from..to].to_owned())
}

/// What is written there first.
fn written(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path)?;
    text.split("-----END CERTIFICATE-----").next().map(str::to_owned).context("a certificate")
}

fn tls(stage: &Stage, path: &Path) -> String {
    format!(
        "{}frontend tls\n    bind 127.0.0.1:9443 ssl crt {}\n    default_backend f0\n",
        stage.plain(),
        path.display()
    )
}

fn a_renewed_certificate_is_served_and_open_sessions_stay() -> Result<()> {
    let stage = Stage::new("apcert")?;
    let path = stage.path("site.pem");
    certificate(&path)?;
    stage.write(&tls(&stage, &path))?;
    let mut balancer = stage.start()?;
    ensure!(served(&stage, 9443)? == written(&path)?, "another certificate is served");
    let processes = balancer.haproxy_processes();
    let mut open = client(&stage, 9443).stdin(Stdio::piped()).spawn()?;

    certificate(&path)?;
    let told = plan(&stage, 3)?;
    ensure!(told.contains("certificate") && !told.contains("PRIVATE KEY"), "{told}");
    let told = apply(&stage)?;
    ensure!(told.starts_with("applied at run time: 1 certificate ("), "{told}");
    ensure!(served(&stage, 9443)? == written(&path)?, "the former certificate is served");
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    ensure!(open.try_wait()?.is_none(), "the session has ended");
    open.kill()?;
    open.wait()?;
    ensure!(!balancer.stderr()?.contains("PRIVATE KEY"), "the key is in the log");

    // A crash starts with it, whatever served before: files that are named are read as they are.
    let worker = balancer.haproxy_processes().last().copied().context("a worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    eventually(SOON, "the renewed certificate", || {
        (served(&stage, 9443).ok()? == written(&path).ok()?).then_some(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_certificate_without_its_key_is_refused_and_the_former_goes_on() -> Result<()> {
    let stage = Stage::new("apnokey")?;
    let path = stage.path("site.pem");
    certificate(&path)?;
    stage.write(&tls(&stage, &path))?;
    let mut balancer = stage.start()?;
    let (former, processes) = (served(&stage, 9443)?, balancer.haproxy_processes());
    certificate(&path)?;
    let renewed = fs::read_to_string(&path)?;
    fs::write(&path, renewed.split("-----BEGIN PRIVATE KEY").next().unwrap_or_default())?;
    let output = stage.clearway(&["apply"])?;
    assert_code(output.status, 65)?;
    ensure!(served(&stage, 9443)? == former, "something is served that was refused");
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    fs::write(&path, renewed)?;
    ensure!(apply(&stage)?.starts_with("applied at run time: 1 certificate ("), "it is not applied");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_map_is_replaced_as_a_whole() -> Result<()> {
    let stage = Stage::new("apmap")?;
    let map = stage.path("hosts.map");
    fs::write(&map, "10.9.9.9 f0\n10.9.9.8 f1\n")?;
    let front =
        format!("frontend m\n    bind 127.0.0.1:9001\n    use_backend %[src,map_ip({})]\n", map.display());
    let socket = with_socket(&stage, &(stage.plain() + &front))?;
    let mut balancer = stage.start()?;
    let processes = balancer.haproxy_processes();
    let all: Vec<String> = (0..2000).map(|at| format!("10.8.{}.{} f1", at / 250, at % 250)).collect();
    // Without a newline at its end, and with a comment.
    fs::write(&map, format!("# hosts\n\n{}\n10.9.9.9 f1", all.join("\n")))?;
    let told = apply(&stage)?;
    ensure!(told.starts_with("applied at run time: 1 map ("), "{told}");
    let answer = ask(&socket, &format!("show map {}", map.display()))?;
    ensure!(answer.lines().filter(|line| !line.is_empty()).count() == 2001, "{}", answer.len());
    ensure!(answer.contains("10.9.9.9 f1") && !answer.contains("10.9.9.8"), "the former map");
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
