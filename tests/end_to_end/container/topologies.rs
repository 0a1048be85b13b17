//! Transparent connections to containers of a real engine, and from a container into its own network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::container::{Container, Engine};
use clearway_lab::kernel::Snapshot;
use clearway_lab::load::{Ask, Expect, Plan, ask_once};
use clearway_lab::wait::eventually;

use super::bridge::Bridge;
use super::engine::image;
use super::rig::{Rig, assert_said};
use crate::stage::{SOON, assert_no_client_lost};

crate::tests![servers_in_containers_on_a_bridge_of_this_host, servers_that_share_the_network_of_the_balancer,];

const PORT: u16 = 8080;

/// Where the lab's own program is, for a container to run.
pub fn lab() -> Result<PathBuf> {
    let running = std::env::current_exe().context("asking for our own path")?;
    let mut folders = running.ancestors().skip(1);
    let found = folders.find_map(|folder| folder.join("clearway-lab").is_file().then(|| folder.to_owned()));
    found.context("no `clearway-lab` beside the tests")
}

/// A server in a container.
fn serve(engine: &Engine, options: &[&str], listen: &str) -> Result<Container> {
    let volume = format!("--volume={}:/lab:ro", lab()?.display());
    let options =
        [&[volume.as_str(), "--entrypoint=/lab/clearway-lab", "--no-healthcheck"], options].concat();
    let words = ["server", "--listen", listen, "--name", "contained"];
    Container::run(engine, "server", &options, image(), &words)
}

fn write(rig: &Rig, server: SocketAddr) -> Result<()> {
    let front = rig.stage.fronts()[0];
    rig.stage.write(&format!(
        "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
         listen f\n    bind {front}\n    source 0.0.0.0 usesrc clientip\n    server s {server}\n"
    ))
}

fn assert_transparent(rig: &Rig) -> Result<()> {
    let front = rig.stage.fronts()[0];
    eventually(SOON, "a first answer", || {
        rig.client().enter(|| ask_once(front, Ask::Line, Duration::from_secs(1)).ok()).ok()?
    })?;
    let sources = rig.stage.hosts.clients(clearway_lab::topology::Family::V4);
    let plan =
        Plan::open(&[front], 200.0, Duration::from_secs(1)).from(sources).expecting(Expect::OwnAddress);
    assert_no_client_lost(&clearway_lab::load::start(rig.client(), plan)?.wait()?)
}

/// A network of the engine, removed when it is dropped.
struct Network(Engine, String);

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.0.done(&["network", "rm", &self.1]) {
            eprintln!("left in the engine: {error:#}");
        }
    }
}

/// Without any setting: the engine's bridges are the containers' gateways, also one that comes later.
fn servers_in_containers_on_a_bridge_of_this_host() -> Result<()> {
    let rig = Rig::new("tbridge")?;
    let first = serve(&rig.engine, &[], "0.0.0.0:8080")?;
    let address = first.state()?.address.context("the server has no address")?;
    write(&rig, SocketAddr::new(address, PORT))?;
    let mut balancer = rig.run_without(&[])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    assert_transparent(&rig)?;
    let network = Network(rig.engine.clone(), format!("cw{}-tbridge", std::process::id()));
    rig.engine.done(&["network", "create", &network.1])?;
    let second = serve(&rig.engine, &[&format!("--network={}", network.1)], "0.0.0.0:8080")?;
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = rig.engine.done(&["inspect", "--format", template, second.name()])?;
    write(&rig, SocketAddr::new(address.trim().parse()?, PORT))?;
    assert_said(&balancer.exec(&["clearway", "reload"])?, 0)?;
    assert_transparent(&rig)?;
    let code = balancer.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", balancer.log_for_people());
    drop((first, second));
    drop(network);
    // The engine's bridge is without a link again a moment after its last container has gone.
    let mut last = Ok(());
    let clean = eventually(SOON, "the kernel to be as before", || {
        last = rig.stage.assert_kernel_clean();
        last.is_ok().then_some(())
    });
    clean.and(last)
}

/// `--network=container:balancer`, as `network_mode: "service:balancer"` of compose: nothing is on the host at all.
fn servers_that_share_the_network_of_the_balancer() -> Result<()> {
    let bridge = Bridge::new("tshare")?;
    bridge.write_to("", "source 0.0.0.0 usesrc clientip", &format!("127.0.0.1:{PORT}"))?;
    let mut balancer = bridge.run(&["--cap-add=NET_ADMIN"])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    let before = Snapshot::take(&bridge.host)?;
    let network = format!("--network=container:{}", balancer.name());
    let _server = serve(&bridge.engine, &[&network], "127.0.0.1:8080")?;
    Bridge::assert_serving(&mut balancer)?;
    let front = Bridge::front(&balancer)?;
    let plan = Plan::open(&[front], 200.0, Duration::from_secs(1)).expecting(Expect::OwnAddress);
    assert_no_client_lost(&clearway_lab::load::start(&bridge.host, plan)?.wait()?)?;
    let differences = before.diff(&Snapshot::take(&bridge.host)?);
    ensure!(differences.iter().all(|line| !line.contains("clearway")), "{differences:?}");
    ensure!(balancer.events("found.no-way-back", &[])?.is_empty(), "{}", balancer.log_for_people());
    ensure!(balancer.stop(300)? == 0, "{}", balancer.log_for_people());
    Ok(())
}
