//! deploy/gateway with the real engine and compose: the balancer in a network of its own, which is the servers'
//! gateway.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::Snapshot;
use clearway_lab::load::{Ask, Expect, Plan, ask_once};
use clearway_lab::wait::eventually;

use super::deploy::compose;
use super::engine::image;
use super::rig::{Rig, assert_said};
use super::topologies::lab;
use crate::stage::{CannotRun, SOON, assert_no_client_lost, complained, said};

crate::tests![servers_behind_a_container_that_is_their_gateway_see_the_clients];

/// A program that can be `ip` and `sh` in any image.
const BUSYBOX: &str = "/bin/busybox";

/// The deployment, with nets of its own.
struct Gateway {
    rig: Rig,
    compose: &'static [&'static str],
    project: String,
    nets: [(String, String); 2],
    images: [String; 2],
}

impl Gateway {
    fn new() -> Result<Self> {
        let compose = compose()?;
        if !Path::new(BUSYBOX).exists() {
            return Err(CannotRun("`busybox` is not installed (`make setup` does that)".to_owned()).into());
        }
        let rig = Rig::new("gateway")?;
        let routes = rig.stage.hosts.balancer.ip(&["-4", "route"])?;
        let number = std::process::id() % 100;
        let mut free = (0..100).map(|step| (number + step) % 100);
        let mut net = || -> Result<(String, String)> {
            let is_free = |number: &u32| !routes.contains(&format!("172.31.{}.", 100 + number));
            let number = 100 + free.find(is_free).context("no net below 172.31 is free")?;
            Ok((format!("172.31.{number}"), format!("fd5e:7276:6572:{number}")))
        };
        let project = format!("cw{}gateway", std::process::id());
        let images = ["server", "route"].map(|role| format!("{project}-{role}:test"));
        let nets = [net()?, net()?];
        Ok(Self { rig, compose, project, nets, images })
    }

    /// Images for the server and for its route: what a user has, or gets from a registry.
    fn make_images(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::copy(BUSYBOX, folder.path().join("busybox"))?;
        std::fs::copy(lab()?.join("clearway-lab"), folder.path().join("clearway-lab"))?;
        let (v4, v6) = &self.nets[1];
        let beginning = format!("FROM {}\nENTRYPOINT []\nHEALTHCHECK NONE\n", image());
        let server = format!(
            "COPY clearway-lab /bin/clearway-lab\nCMD [\"/bin/clearway-lab\", \"server\", \"--name\", \"contained\", \
             \"--listen\", \"{v4}.10:80\", \"--listen\", \"[{v6}::10]:80\"]\n"
        );
        let route = "COPY busybox /bin/busybox\nRUN ln -sf /bin/busybox /usr/bin/ip\n".to_owned();
        for (name, lines) in self.images.iter().zip([server, route]) {
            std::fs::write(folder.path().join("Dockerfile"), format!("{beginning}{lines}"))?;
            self.rig.engine.done(&[
                "build",
                "--quiet",
                "--tag",
                name,
                &folder.path().display().to_string(),
            ])?;
        }
        Ok(())
    }

    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(self.compose[0]);
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/gateway");
        command.args(&self.compose[1..]).args(["--project-name", &self.project]).args(words);
        command.current_dir(folder).stdin(Stdio::null());
        let [clients, servers] = &self.nets;
        command.env("CLIENTS_NET", &clients.0).env("CLIENTS_NET6", &clients.1);
        command.env("SERVERS_NET", &servers.0).env("SERVERS_NET6", &servers.1);
        command.env("CLEARWAY_IMAGE", image()).env("PUBLISHED", format!("{}:80", self.published()));
        command.env("SERVER_IMAGE", &self.images[0]).env("ROUTE_IMAGE", &self.images[1]);
        command.output().with_context(|| format!("running compose {}", words.join(" ")))
    }

    fn done(&self, words: &[&str]) -> Result<String> {
        assert_said(&self.run(words)?, 0).with_context(|| format!("compose {}", words.join(" ")))
    }

    fn log(&self) -> String {
        self.run(&["logs"]).map(|output| said(&output) + &complained(&output)).unwrap_or_default()
    }

    /// A port of the machine, for IPv4.
    fn published(&self) -> SocketAddr {
        self.rig.stage.fronts()[0]
    }

    /// Where clients go: IPv4 to the published port, IPv6, which this engine publishes without the clients' addresses,
    /// to the balancer's own address.
    fn fronts(&self) -> Result<[SocketAddr; 2]> {
        let id = self.done(&["ps", "--quiet", "balancer"])?;
        let key = format!("{}_clients", self.project);
        let address = |field: &str| -> Result<SocketAddr> {
            let template = format!("{{{{(index .NetworkSettings.Networks \"{key}\").{field}}}}}");
            let ip: IpAddr =
                self.rig.engine.done(&["inspect", "--format", &template, id.trim()])?.trim().parse()?;
            Ok(SocketAddr::new(ip, 80))
        };
        Ok([self.published(), address("GlobalIPv6Address")?])
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let left = self.run(&["down", "--volumes", "--timeout", "5"]);
        if !left.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("left in the engine: {left:?}");
        }
        for name in &self.images {
            let _ = self.rig.engine.ask(&["image", "rm", "--force", name]);
        }
    }
}

/// Clients are elsewhere. Also after each of them was started anew.
fn servers_behind_a_container_that_is_their_gateway_see_the_clients() -> Result<()> {
    let gateway = Gateway::new()?;
    gateway.make_images()?;
    let before = Snapshot::take(&gateway.rig.stage.hosts.balancer)?;
    gateway.done(&["up", "--detach"])?;
    for again in [None, Some("server"), Some("balancer")] {
        if let Some(service) = again {
            gateway.done(&["restart", "--timeout", "5", service])?;
        }
        for (family, front) in gateway.fronts()?.into_iter().enumerate() {
            // IPv6 packets are not forwarded from the lab's cables (no link-local address), so the machine itself is
            // the client. IPv4 ones of the machine's address in the clients' net are subject to the engine's
            // MASQUERADE.
            let hosts = &gateway.rig.stage.hosts;
            let client = [&hosts.client, &hosts.balancer][family];
            let answered = eventually(SOON * 2, &format!("an answer of {front}"), || {
                client.enter(|| ask_once(front, Ask::Line, Duration::from_secs(1)).ok()).ok()?
            });
            answered.with_context(|| gateway.log())?;
            let plan = Plan::open(&[front], 100.0, Duration::from_secs(1)).expecting(Expect::OwnAddress);
            let report = clearway_lab::load::start(client, plan)?.wait()?;
            assert_no_client_lost(&report).with_context(|| format!("{again:?}: {}", gateway.log()))?;
        }
    }
    let found = eventually(SOON, "the canary to find the way", || {
        gateway.log().contains("canary: return path verified for 2 servers").then_some(())
    });
    found.with_context(|| gateway.log())?;
    let differences = before.diff(&Snapshot::take(&gateway.rig.stage.hosts.balancer)?);
    ensure!(
        differences.iter().all(|line| !line.contains("clearway_") && !line.contains("proto 179")),
        "on the host: {differences:?}"
    );
    gateway.done(&["down", "--timeout", "5"]).map(|_| ())
}
