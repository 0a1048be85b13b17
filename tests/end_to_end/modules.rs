//! Kernel modules: Clearway needs no right to load them, and says which is missing where they cannot be loaded.
//!
//! These tests unload modules, or forbid loading any until the next boot: they are for the virtual machines of
//! `make test-kernels`. [`ALLOWED`] says what may be done to the kernel of this boot; everywhere else they are
//! ignored, by name.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::load::{Ask, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::Session;
use rustix::process::Signal;

use crate::bad_input::start_without;
use crate::isolation::set;
use crate::stage::{CannotRun, EVENTS, PORT, SOON, Stage, assert_code};

crate::tests![
    without_sys_module_the_kernel_loads_what_is_needed,
    where_modules_are_locked_the_missing_expression_is_named,
    where_modules_are_locked_a_plain_configuration_works,
    where_modules_are_locked_without_nftables_that_is_named,
    without_ipv6_in_the_kernel_ipv4_is_transparent,
    without_ipv6_in_the_kernel_an_ipv6_configuration_is_explained,
];

/// The environment variable that says what the tests may do to this kernel: `unload` modules; `lock` modules with
/// nftables loaded and its `socket` expression not; `lock-all`, with neither; nothing, as it was booted with
/// `ipv6.disable=1` (`no-ipv6`).
const ALLOWED: &str = "CLEARWAY_TEST_MODULES";

/// What the kernel loads by itself when Clearway asks for its table.
const NEEDED: [&str; 4] = ["nf_tables", "nft_socket", "nf_socket_ipv4", "nf_socket_ipv6"];

const LOCK: &str = "/proc/sys/kernel/modules_disabled";
const SYS_MODULE: u64 = 1 << 16;

/// Ignores the test unless this boot is for it.
fn only_where(what: &str) -> Result<()> {
    let why_not = if std::env::var(ALLOWED).is_ok_and(|allowed| allowed == what) {
        (!Path::new("/proc/modules").exists() || !Path::new(LOCK).exists())
            .then(|| "this kernel has no loadable modules".to_owned())
    } else {
        Some(format!("needs a kernel of its own, as in `make test-kernels` ({ALLOWED}={what})"))
    };
    why_not.map_or(Ok(()), |reason| Err(CannotRun(reason).into()))
}

/// The names of the modules that are loaded.
fn loaded() -> Result<Vec<String>> {
    let modules = std::fs::read_to_string("/proc/modules").context("reading /proc/modules")?;
    Ok(modules.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Asserts which of these modules are loaded.
fn assert_loaded(names: &[&str], wanted: bool) -> Result<()> {
    let loaded = loaded()?;
    let wrong: Vec<_> = names.iter().filter(|name| loaded.iter().any(|one| one == *name) != wanted).collect();
    ensure!(wrong.is_empty(), "loaded should be {wanted} for {wrong:?}: {loaded:?}");
    Ok(())
}

/// Unloads modules with what is needed only by them.
fn unload(names: &[&str]) -> Result<()> {
    let output = Command::new("modprobe").arg("-r").args(names).output().context("running modprobe")?;
    ensure!(output.status.success(), "modprobe -r: {}", String::from_utf8_lossy(&output.stderr));
    assert_loaded(names, false)
}

/// Forbids loading modules until the next boot; a second time that is refused, and done already.
fn lock() -> Result<()> {
    let _ = std::fs::write(LOCK, "1");
    let locked = std::fs::read_to_string(LOCK).with_context(|| format!("reading {LOCK}"))?;
    ensure!(locked.trim() == "1", "{LOCK} is {locked}");
    Ok(())
}

fn without_sys_module_the_kernel_loads_what_is_needed() -> Result<()> {
    only_where("unload")?;
    let stage = Stage::new("load")?;
    stage.write(&stage.transparent())?;
    unload(&["nft_socket", "nf_socket_ipv4", "nf_socket_ipv6", "nf_tables"])?;
    let mut balancer = start_without(&stage, "-sys_module")?;
    stage.wait_ready(&mut balancer)?;
    for name in ["CapEff", "CapPrm", "CapInh", "CapBnd"] {
        ensure!(set(balancer.pid(), name)? & SYS_MODULE == 0, "Clearway has SYS_MODULE in {name}");
    }
    assert_loaded(&NEEDED, true)?;
    for front in stage.fronts() {
        let session = Session::open(&stage.hosts.client, front, None)?;
        ensure!(session.peer_seen() == session.local_address()?.ip().to_string(), "the client is hidden");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A stage where nftables is loaded, its `socket` expression is not, and cannot be any more.
fn locked_stage(name: &str) -> Result<Stage> {
    only_where("lock")?;
    // The stage's own look at the kernel loads nftables.
    let stage = Stage::new(name)?;
    lock()?;
    assert_loaded(&["nf_tables"], true)?;
    assert_loaded(&["nft_socket"], false)?;
    Ok(stage)
}

fn where_modules_are_locked_the_missing_expression_is_named() -> Result<()> {
    let stage = locked_stage("locked")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.launch(&[], &[])?;
    assert_code(balancer.wait_exit(SOON)?, 71)?;
    assert_explained(&balancer, &["nft_socket", "kernel.modules_disabled", "/etc/modules-load.d"])?;
    // `doctor` and `check` see it beforehand? They change nothing, so they cannot: only a start tells.
    stage.assert_clean()
}

fn where_modules_are_locked_a_plain_configuration_works() -> Result<()> {
    let stage = locked_stage("lockpl")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    // A reload that would need the module does not take, and the former generation is still serving.
    stage.write(&stage.transparent())?;
    assert_code(stage.clearway(&["reload"])?.status, 71)?;
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn where_modules_are_locked_without_nftables_that_is_named() -> Result<()> {
    only_where("lock-all")?;
    let host = Namespace::create("nonft")?;
    lock()?;
    assert_loaded(&["nf_tables"], false)?;
    let folder = tempfile::tempdir()?;
    let mut balancer = start_alone(&host, folder.path(), "source 0.0.0.0 usesrc clientip")?;
    assert_code(balancer.wait_exit(SOON)?, 71)?;
    assert_explained(&balancer, &["nf_tables", "kernel.modules_disabled", "/etc/modules-load.d"])?;
    let mut balancer = start_alone(&host, folder.path(), "")?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &1)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// One error, with its reason and what helps.
fn assert_explained(balancer: &Balancer, texts: &[&str]) -> Result<()> {
    let log = balancer.stderr()?;
    for text in texts.iter().chain(&["hint: "]) {
        ensure!(log.contains(text), "`{text}` is missing in:\n{log}");
    }
    Ok(())
}

/// Clearway in a single host, without the stage's network: IPv4 on every address, one server.
fn start_alone(host: &Namespace, folder: &Path, source: &str) -> Result<Balancer> {
    let file = folder.join("haproxy.cfg");
    let text = format!(
        "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
         listen web\n    bind :{PORT}\n    {source}\n    server s 10.2.0.2:{PORT}\n"
    );
    std::fs::write(&file, text).context("writing the configuration")?;
    let directory = folder.display().to_string();
    Balancer::start(host, Kind::Clearway, &file, &[], &[("CLEARWAY_RUN_DIRECTORY", &directory), EVENTS])
}

/// A cable between the balancer and another host, with their addresses.
fn link(balancer: &Namespace, host: &Namespace, name: &str, net: u8) -> Result<()> {
    balancer.ip(&["link", "add", name, "type", "veth", "peer", "name", "lan", "netns", host.name()])?;
    for (end, device, number) in [(balancer, name, 1), (host, "lan", 2)] {
        end.ip(&["address", "add", &format!("10.{net}.0.{number}/24"), "dev", device])?;
        end.ip(&["link", "set", device, "up"])?;
    }
    host.ip(&["route", "add", "default", "via", &format!("10.{net}.0.1")]).map(|_| ())
}

fn without_ipv6_in_the_kernel_ipv4_is_transparent() -> Result<()> {
    only_where("no-ipv6")?;
    ensure!(!Path::new("/proc/net/if_inet6").exists(), "this kernel has IPv6");
    let balancer_host = Namespace::create("no6-lb")?;
    let (client, server) = (Namespace::create("no6-client")?, Namespace::create("no6-server")?);
    link(&balancer_host, &client, "clients", 1)?;
    link(&balancer_host, &server, "servers", 2)?;
    let _server = Server::start(&server, "s1", &[([10, 2, 0, 2], PORT).into()], Mode::Line)?;
    let folder = tempfile::tempdir()?;
    let mut balancer = start_alone(&balancer_host, folder.path(), "source 0.0.0.0 usesrc clientip")?;
    let front = ([10, 1, 0, 1], PORT).into();
    balancer.wait_ready(&client, front, Ask::Line, SOON)?;
    let answer = client.enter(|| ask_once(front, Ask::Line, SOON))?;
    ensure!(answer.as_ref().is_ok_and(|answer| answer.starts_with("10.1.0.2 ")), "{answer:?}");
    ensure!(balancer.stderr()?.contains("IPv6"), "that IPv6 is missing is not said");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let left = balancer_host.ip(&["rule"])? + &balancer_host.output("nft", &["list", "ruleset"])?;
    ensure!(!left.contains("90") && !left.contains("clearway"), "left: {left}");
    Ok(())
}

fn without_ipv6_in_the_kernel_an_ipv6_configuration_is_explained() -> Result<()> {
    only_where("no-ipv6")?;
    let host = Namespace::create("no6")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("haproxy.cfg");
    let text = "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
                listen web\n    bind :::8080 v6only\n    source ipv6@ usesrc clientip\n    server s [fd02::2]:8080\n";
    std::fs::write(&file, text).context("writing the configuration")?;
    let directory = folder.path().display().to_string();
    let variables = [("CLEARWAY_RUN_DIRECTORY", directory.as_str()), EVENTS];
    let mut balancer = Balancer::start(&host, Kind::Clearway, &file, &[], &variables)?;
    let status = balancer.wait_exit(SOON)?;
    ensure!(!status.success(), "it ended with {status}");
    assert_explained(&balancer, &["IPv6"])
}
