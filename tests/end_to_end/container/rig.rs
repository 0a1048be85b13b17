//! What the tests of containers in the machine's network share.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::RwLockWriteGuard;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::container::{Container, Engine};
use clearway_lab::kernel::Snapshot;
use clearway_lab::load::{Ask, RunningLoad, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::topology::Topology;
use clearway_lab::wait::eventually_because;

use super::engine::{alone, clean_up, engine, image};
use crate::stage::{CannotRun, SOON, Stage, complained, said};

/// The rights of the documented command line, all that any configuration needs.
pub const RIGHTS: [&str; 7] =
    ["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE", "SETUID", "SETGID", "KILL", "SYS_CHROOT"];

/// What gives most of them a use.
pub const ANOTHER_USER: &str = "global\n    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n";

/// A stage with the machine itself as the balancer, for as long as no other test uses its network.
pub struct Rig {
    pub stage: Stage,
    pub engine: Engine,
    name: String,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl Rig {
    /// With a port for HAProxy that needs no right.
    pub fn new(name: &str) -> Result<Self> {
        Self::on_port(name, || TcpListener::bind("[::]:0")?.local_addr().map(|address| address.port()))
    }

    /// With a port below 1024.
    pub fn on_low_port(name: &str) -> Result<Self> {
        Self::on_port(name, || {
            let free = |port: &u16| TcpListener::bind(("::", *port)).is_ok();
            (80..1024).find(free).ok_or_else(|| std::io::Error::other("no port below 1024 is free"))
        })
    }

    fn on_port(name: &str, port: impl FnOnce() -> std::io::Result<u16>) -> Result<Self> {
        let engine = engine()?;
        let no_ipv6 = std::fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6");
        if no_ipv6.map_or(true, |value| value.trim() != "0") {
            return Err(CannotRun("the machine has no IPv6".to_owned()).into());
        }
        let turn = alone();
        clean_up(&engine)?;
        let port = port().context("choosing a port")?;
        let hosts = Topology::wired_to_host(name).context("wiring hosts to the machine (does it filter?)")?;
        let stage = Stage::on_port(hosts, port)?;
        std::fs::set_permissions(stage.path(""), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { stage, engine, name: name.to_owned(), _turn: turn })
    }

    /// Where the client is.
    pub fn client(&self) -> &Namespace {
        &self.stage.hosts.client
    }

    /// The documented command line without some of its rights.
    pub fn run_without(&self, missing: &[&str]) -> Result<Container> {
        self.run(&[], missing)
    }

    /// The documented command line with more options, and without some of its rights.
    pub fn run(&self, more: &[&str], missing: &[&str]) -> Result<Container> {
        let mut line = documented(missing);
        line.push(volume(&self.stage.path("")));
        let line: Vec<&str> = line.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Container::run(&self.engine, &self.name, &line, image(), &[])
    }

    /// `--env` for an instance name that no other test has: containers share the machine's abstract sockets.
    pub fn name_of_instance(&self) -> String {
        format!("--env=CLEARWAY_INSTANCE={}-{}", self.name, std::process::id())
    }

    /// The documented command line with that name and more options.
    pub fn run_named(&self, more: &[&str]) -> Result<Container> {
        self.run(&[&[self.name_of_instance().as_str()], more].concat(), &[])
    }

    /// The documented command line, until it serves.
    pub fn start(&self) -> Result<Container> {
        let mut container = self.run_without(&[])?;
        self.wait_until_serving(&mut container)?;
        Ok(container)
    }

    /// Any command line, until it serves.
    pub fn start_line(&self, options: &[&str], words: &[&str]) -> Result<Container> {
        let mut container = Container::run(&self.engine, &self.name, options, image(), words)?;
        self.wait_until_serving(&mut container)?;
        Ok(container)
    }

    /// Waits until Clearway says so and both fronts answer.
    pub fn wait_until_serving(&self, container: &mut Container) -> Result<()> {
        container.wait_for_event(0, "generation.serving", &[], SOON)?;
        self.assert_serving(container)
    }

    /// Waits until both fronts answer; ends early when the container does.
    pub fn assert_serving(&self, container: &mut Container) -> Result<()> {
        for front in self.stage.fronts() {
            let answered = self.client().enter(|| {
                eventually_because(SOON, &format!("an answer of {front}"), || {
                    if container.has_ended() {
                        return Ok(false);
                    }
                    match ask_once(front, Ask::Line, Duration::from_secs(1)) {
                        Ok(_) => Ok(true),
                        Err(class) => bail!("the connection ended with {class:?}"),
                    }
                })
            })?;
            let answered = answered.with_context(|| container.log_for_people())?;
            ensure!(answered, "the container ended: {}", container.log_for_people());
        }
        Ok(())
    }

    /// Open-loop connections to both fronts that must be answered with the client's own address, until they are
    /// told to finish.
    pub fn load(&self) -> Result<RunningLoad> {
        clearway_lab::load::start(self.client(), self.stage.load(300.0, Duration::from_mins(1)))
    }

    /// Stops it as the README says, and asserts that it has ended as asked and left nothing.
    pub fn stop_and_assert_clean(&self, container: &mut Container) -> Result<()> {
        let code = container.stop(300)?;
        ensure!(code == 0, "exit code {code} after a stop: {}", container.log_for_people());
        self.stage.assert_kernel_clean().with_context(|| container.log_for_people())
    }

    /// Waits for an end by itself with this code; every text must be in what it said, and nothing may be left.
    pub fn assert_refused(&self, mut container: Container, code: i64, texts: &[&str]) -> Result<()> {
        assert_ended(&mut container, code, texts)?;
        self.stage.assert_kernel_clean()
    }

    /// The same for a missing right: a hint must name its flag.
    pub fn assert_refused_for_want_of(&self, mut container: Container, flag: &str) -> Result<()> {
        assert_ended(&mut container, 77, &[])?;
        let mut failed = container.events("clearway.failed", &[("exit_code", &77)])?;
        failed.extend(container.events("generation.failed", &[("exit_code", &77)])?);
        let helps = failed.iter().any(|event| event["hints"].to_string().contains(flag));
        ensure!(helps, "no hint names `{flag}`: {}", container.log_for_people());
        self.stage.assert_kernel_clean()
    }

    /// The packet filter of others: nftables without Clearway's tables, and what `iptables` makes of it.
    pub fn rules_of_others(&self) -> Result<String> {
        let host = &self.stage.hosts.balancer;
        let snapshot = Snapshot::take(host)?;
        let mut rules = without_ours(snapshot.output("nft list ruleset"));
        for program in ["iptables-save", "ip6tables-save"] {
            if ["/usr/sbin", "/sbin"].iter().any(|at| Path::new(at).join(program).exists()) {
                let lines = host.output(program, &[])?;
                // Comments have the time in them, policies their counters.
                let kept = lines.lines().filter(|line| !line.starts_with('#'));
                rules.extend(kept.map(|line| line.split(" [").next().unwrap_or_default().to_owned()));
            }
        }
        Ok(rules.join("\n"))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A test that fails removes its container without asking Clearway.
        if let Err(error) = clean_up(&self.engine) {
            eprintln!("left in the machine's kernel: {error:#}");
        }
    }
}

/// The lines of a ruleset outside of Clearway's tables.
fn without_ours(ruleset: &str) -> Vec<String> {
    let mut ours = false;
    let mut kept = Vec::new();
    for line in ruleset.lines() {
        ours |= line.starts_with("table inet clearway_");
        if !ours {
            kept.push(line.to_owned());
        }
        ours &= line != "}";
    }
    kept
}

/// The documented options without some of the rights, and without the volume.
pub fn documented(missing: &[&str]) -> Vec<String> {
    let fixed = [
        "--network=host",
        "--read-only",
        "--tmpfs=/run/haproxy",
        "--security-opt",
        "no-new-privileges",
        "--cap-drop=ALL",
    ];
    let rights = RIGHTS.iter().filter(|right| !missing.contains(right));
    fixed
        .iter()
        .map(|word| (*word).to_owned())
        .chain(rights.map(|right| format!("--cap-add={right}")))
        .collect()
}

/// `--volume` for a directory with a configuration.
pub fn volume(directory: &Path) -> String {
    format!("--volume={}:/usr/local/etc/haproxy:ro", directory.display())
}

/// Waits for an end by itself with this code; every text must be in what it said.
pub fn assert_ended(container: &mut Container, code: i64, texts: &[&str]) -> Result<()> {
    let ended = container.wait_exit(SOON)?;
    let log = container.stderr()?;
    ensure!(ended == code, "exit code {ended} instead of {code}:\n{log}");
    for text in texts {
        ensure!(log.contains(text), "`{text}` is missing in:\n{log}");
    }
    Ok(())
}

/// Asserts the exit code of `docker exec`, and gives all that was said.
pub fn assert_said(output: &Output, code: i32) -> Result<String> {
    let words = said(output) + &complained(output);
    ensure!(output.status.code() == Some(code), "{} instead of exit code {code}: {words}", output.status);
    Ok(words)
}
