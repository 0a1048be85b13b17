//! deploy/bridge with the real engine and compose: `ports:` on a bridge network, owned by a container of its own.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Ask, Class, Expect, Plan, RunningLoad, ask_once};
use clearway_lab::wait::eventually;
use rustix::process::{Pid, Signal};

use super::bridge::Bridge;
use super::deploy::compose;
use super::engine::image;
use super::rig::assert_said;
use crate::stage::{SOON, assert_no_client_lost, assert_only_accepted_ones_lost, complained, said};

crate::tests![
    a_new_image_and_restarts_lose_no_client,
    a_balancer_that_is_removed_or_killed_loses_what_it_had_accepted_at_most,
    a_restart_of_the_network_is_noticed_and_mended,
];

/// The deployment, on a port of the machine that nothing else has.
struct Published {
    bridge: Bridge,
    compose: &'static [&'static str],
    project: String,
    front: SocketAddr,
}

impl Published {
    fn new(name: &str) -> Result<Self> {
        let compose = compose()?;
        let bridge = Bridge::new(name)?;
        bridge.write("", "")?;
        let address = bridge.engine.bridge_address()?;
        let front = SocketAddr::new(address, TcpListener::bind((address, 0))?.local_addr()?.port());
        let published = Self { bridge, compose, project: format!("cw{}{name}", std::process::id()), front };
        published.run(&["up", "--detach"])?;
        published.wait_until_it_serves(1)?;
        Ok(published)
    }

    /// Runs compose as its users do, in the folder of the file.
    fn run(&self, words: &[&str]) -> Result<()> {
        self.run_with(image(), words)
    }

    /// The same with another image for the balancer.
    fn run_with(&self, balancer: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new(self.compose[0]);
        command.args(&self.compose[1..]).args(["--project-name", &self.project]).args(words);
        command.current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/bridge"));
        command.env("CLEARWAY_IMAGE", balancer).env("HOLDER_IMAGE", image()).env("NETWORK_IMAGE", image());
        command.env("PUBLISHED", format!("{}:80", self.front)).env("HAPROXY_CONFIG", self.bridge.path(""));
        let output = command.stdin(Stdio::null()).output().context("running compose")?;
        assert_said(&output, 0).with_context(|| format!("compose {}", words.join(" "))).map(|_| ())
    }

    /// The number of the container of a service.
    fn container(&self, service: &str) -> Result<String> {
        let labels = [("project", self.project.as_str()), ("service", service)]
            .map(|(key, value)| format!("label=com.docker.compose.{key}={value}"));
        let words = ["ps", "--all", "--quiet", "--filter", &labels[0], "--filter", &labels[1]];
        Ok(self.bridge.engine.done(&words)?.trim().to_owned())
    }

    fn log(&self, service: &str) -> Result<String> {
        Ok(complained(&self.bridge.engine.ask(&["logs", &self.container(service)?])?))
    }

    /// Waits until the container of a service has said this so many times.
    fn wait_for(&self, service: &str, text: &str, times: usize) -> Result<()> {
        let found = eventually(SOON, &format!("{service} to say `{text}` {times} times"), || {
            self.log(service).is_ok_and(|log| log.matches(text).count() >= times).then_some(())
        });
        found.with_context(|| self.log(service).unwrap_or_default())
    }

    /// Waits until the balancer's container serves, for so many times since it was made, and answers.
    fn wait_until_it_serves(&self, times: usize) -> Result<()> {
        self.wait_for("balancer", " serves, worker ", times)?;
        eventually(SOON, "an answer of the published port", || self.ask().is_ok().then_some(()))
    }

    fn ask(&self) -> Result<(), Class> {
        let ask = || ask_once(self.front, Ask::Line, Duration::from_secs(1)).map(|_| ());
        self.bridge.host.enter(ask).unwrap_or(Err(Class::Refused))
    }

    fn load(&self) -> Result<RunningLoad> {
        let plan = Plan::open(&[self.front], 100.0, Duration::from_mins(3)).expecting(Expect::Anything);
        clearway_lab::load::start(&self.bridge.host, plan.patient_for(Duration::from_mins(1)))
    }

    fn health(&self) -> Result<(bool, String)> {
        let output = self.bridge.engine.ask(&["exec", &self.container("balancer")?, "clearway", "health"])?;
        Ok((output.status.success(), said(&output)))
    }

    /// The first process of a service, outside.
    fn pid(&self, service: &str) -> Result<Pid> {
        let template = ["inspect", "--format", "{{.State.Pid}}", &self.container(service)?];
        let pid = self.bridge.engine.done(&template)?.trim().parse()?;
        Pid::from_raw(pid).context("the container does not run")
    }

    /// As the kernel does where memory runs out: the engine starts the container again.
    fn kill_the_first_process(&self, service: &str) -> Result<()> {
        rustix::process::kill_process(self.pid(service)?, Signal::KILL).context("killing the first process")
    }

    /// The sockets that the first process of a service has open.
    fn sockets(&self, service: &str) -> Result<HashSet<PathBuf>> {
        let folder = format!("/proc/{}/fd", self.pid(service)?.as_raw_pid());
        let links =
            std::fs::read_dir(folder)?.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Ok(links.filter(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:")).collect())
    }

    /// Waits until the holder has a socket of the balancer.
    fn wait_until_it_is_held(&self) -> Result<()> {
        eventually(SOON, "the holder to hold", || {
            let (held, served) = (self.sockets("holder").ok()?, self.sockets("balancer").ok()?);
            (!held.is_disjoint(&served)).then_some(())
        })
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down", "--volumes", "--timeout", "5"]) {
            eprintln!("a container of compose stays: {error:#}");
        }
    }
}

/// Waits until connections that begin from here on have been answered, and the holder is ready for the next blow.
fn answered(published: &Published, load: &RunningLoad) -> Result<()> {
    published.wait_until_it_is_held()?;
    let done = load.progress().0;
    eventually(SOON, "more connections", || (load.progress().0 > done + 30).then_some(()))
}

fn a_new_image_and_restarts_lose_no_client() -> Result<()> {
    let published = Published::new("brplan")?;
    let engine = published.bridge.engine.clone();
    let load = published.load()?;
    answered(&published, &load)?;
    // Another name of the same image is what a new image looks like to compose.
    let other = format!("{}:test", published.project);
    engine.done(&["tag", image(), &other])?;
    let former = published.container("balancer")?;
    let changed = published.run_with(&other, &["up", "--detach", "balancer"]);
    engine.done(&["rmi", &other])?;
    changed?;
    ensure!(published.container("balancer")? != former, "compose has not replaced the balancer");
    published.wait_for("balancer", "1 of 1 socket taken over", 1)?;
    answered(&published, &load)?;
    published.run(&["restart", "balancer"])?;
    published.wait_for("balancer", "1 of 1 socket taken over", 2)?;
    answered(&published, &load)?;
    // The holder's successor holds as well.
    published.run(&["restart", "holder"])?;
    answered(&published, &load)?;
    published.run(&["restart", "balancer"])?;
    published.wait_for("balancer", "1 of 1 socket taken over", 3)?;
    answered(&published, &load)?;
    let report = load.finish_after(100)?;
    println!("new image, restart, restart of the holder: {}", report.total);
    assert_no_client_lost(&report)
}

fn a_balancer_that_is_removed_or_killed_loses_what_it_had_accepted_at_most() -> Result<()> {
    let published = Published::new("brkill")?;
    let load = published.load()?;
    answered(&published, &load)?;
    published.bridge.engine.done(&["rm", "--force", &published.container("balancer")?])?;
    published.run(&["up", "--detach", "balancer"])?;
    published.wait_for("balancer", "1 of 1 socket taken over", 1)?;
    answered(&published, &load)?;
    published.kill_the_first_process("balancer")?;
    published.wait_for("balancer", "1 of 1 socket taken over", 2)?;
    answered(&published, &load)?;
    let report = load.finish_after(100)?;
    println!("rm -f, kill -9: {}", report.total);
    assert_only_accepted_ones_lost(&report, 2)
}

fn a_restart_of_the_network_is_noticed_and_mended() -> Result<()> {
    let published = Published::new("brgone")?;
    ensure!(published.health()? == (true, "serving\n".to_owned()), "{:?}", published.health()?);
    published.run(&["restart", "network"])?;
    let (healthy, said) = published.health()?;
    ensure!(!healthy && said.contains("the network is gone"), "{said}");
    ensure!(published.ask().is_err(), "the balancer has not lost its network");
    published.run(&["restart", "holder", "balancer"])?;
    published.wait_until_it_serves(2)?;
    ensure!(published.health()?.0, "{:?}", published.health()?);
    // The container of `network` was restarted and not changed: what is there is all right, says compose.
    published.run(&["up", "--detach"])?;
    ensure!(published.ask().is_ok() && published.health()?.0, "{:?}", published.health()?);
    Ok(())
}
