//! What the tests share: a stage with hosts, servers, a configuration and a balancer on it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind, clearway_program, haproxy_program};
use clearway_lab::kernel::Snapshot;
use clearway_lab::load::{Ask, Expect, LoadReport, Lost, Plan};
use clearway_lab::namespace::Namespace;
use clearway_lab::process::{about_to_die, copy_executable, deaths};
use clearway_lab::server::{Mode, Server};
use clearway_lab::topology::Topology;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// How long anything may take that should be quick.
pub const SOON: Duration = Duration::from_secs(15);

/// Where HAProxy listens, unless a test wants it elsewhere, and where the servers do.
pub const PORT: u16 = 8080;

/// A log of events, which tests look for; a test that is about the text of the log wants [`TEXT`].
pub const EVENTS: (&str, &str) = ("CLEARWAY_LOG", "json");

/// A log for people.
pub const TEXT: (&str, &str) = ("CLEARWAY_LOG", "text");

/// Why no test can run here, if so.
pub fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("they need root, for network namespaces".to_owned());
    }
    for tool in ["ip", "nft", "ss", "nsenter", "setpriv"] {
        if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|at| Path::new(at).join(tool).exists()) {
            return Some(format!("`{tool}` is not installed (`make setup` does that)"));
        }
    }
    if !Path::new(&haproxy_program()).exists() {
        return Some(format!("{} is not there (`make setup` installs it)", haproxy_program()));
    }
    clearway_program().err().map(|error| format!("{error:#}"))
}

/// The version of the HAProxy under test, major and minor.
pub fn haproxy_version() -> Result<(u32, u32)> {
    let answer = Command::new(haproxy_program()).arg("-v").output().context("asking for the version")?;
    let text = said(&answer);
    let version = || {
        let mut numbers = text.split_whitespace().nth(2)?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    version().with_context(|| format!("no version of HAProxy in {text:?}"))
}

/// What a test gives back that cannot run here: why.
#[derive(Debug)]
pub struct CannotRun(pub String);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it cannot run here: {}", self.0)
    }
}

impl std::error::Error for CannotRun {}

/// The beginning of every configuration.
const BEGIN: &str = "\
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
";

/// Hosts with servers, and a configuration that is about to run.
pub struct Stage {
    /// The hosts.
    pub hosts: Topology,
    _servers: Vec<Server>,
    port: u16,
    folder: TempDir,
    /// What the kernel of the balancer held before anything ran.
    pub before: Snapshot,
}

impl Stage {
    /// Three hosts and servers that greet with the address they see.
    pub fn new(name: &str) -> Result<Self> {
        Self::of(Topology::three_hosts(name)?)
    }

    /// The same on other hosts.
    pub fn of(hosts: Topology) -> Result<Self> {
        Self::on_port(hosts, PORT)
    }

    /// The same with another port for HAProxy.
    pub fn on_port(hosts: Topology, port: u16) -> Result<Self> {
        let servers = hosts.start_servers(PORT, Mode::Line)?;
        let folder = tempfile::Builder::new().prefix("clearway-e2e-").tempdir()?;
        let before = Snapshot::take(&hosts.balancer)?;
        Ok(Self { hosts, _servers: servers, port, folder, before })
    }

    /// A path in the folder of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration's file.
    pub fn file(&self) -> PathBuf {
        self.path("haproxy.cfg")
    }

    /// Writes the configuration.
    pub fn write(&self, text: &str) -> Result<()> {
        std::fs::write(self.file(), text).context("writing the configuration")
    }

    /// The frontends for both families, with the servers behind them: transparent.
    pub fn transparent(&self) -> String {
        self.proxies(["source 0.0.0.0 usesrc clientip", "source ipv6@ usesrc clientip"])
    }

    /// The same, with the balancer's own address towards the servers.
    pub fn plain(&self) -> String {
        self.proxies(["", ""])
    }

    fn proxies(&self, source: [&str; 2]) -> String {
        let mut text = BEGIN.to_owned();
        for (index, front) in self.fronts().into_iter().enumerate() {
            let server = SocketAddr::new(self.servers(front)[0], PORT);
            // `v6only`: a specific IPv6 address is never handed over without (docs/facts A.6).
            let v6only = if front.is_ipv6() { " v6only" } else { "" };
            let _ = write!(
                text,
                "listen f{index}\n    bind {front}{v6only}\n    {}\n    server s {server}\n",
                source[index]
            );
        }
        text
    }

    fn servers(&self, front: SocketAddr) -> Vec<IpAddr> {
        use clearway_lab::topology::Family;
        self.hosts.servers(if front.is_ipv4() { Family::V4 } else { Family::V6 })
    }

    /// The balancer's addresses for clients, IPv4 and IPv6.
    pub fn fronts(&self) -> [SocketAddr; 2] {
        self.hosts.front().map(|address| SocketAddr::new(address, self.port))
    }

    /// The directory for the admin socket: of this test alone.
    pub fn run_directory(&self) -> String {
        self.path("run").display().to_string()
    }

    /// Starts Clearway on the configuration and waits until both fronts answer.
    pub fn start(&self) -> Result<Balancer> {
        self.start_with(&[], &[])
    }

    /// The same with more arguments for HAProxy and more variables.
    pub fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Balancer> {
        let mut balancer = self.launch(arguments, environment)?;
        self.wait_ready(&mut balancer)?;
        // HAProxy answers clients a moment before it has answered Clearway.
        if environment.iter().any(|(name, _)| *name == EVENTS.0) {
            balancer.wait_for_log(0, " serves, worker ", SOON)?;
        } else {
            balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
        }
        Ok(balancer)
    }

    /// Starts Clearway and waits for nothing.
    pub fn launch(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Balancer> {
        let directory = self.run_directory();
        let mut variables = vec![("CLEARWAY_RUN_DIRECTORY", directory.as_str()), EVENTS];
        variables.extend(environment);
        Balancer::start(&self.hosts.balancer, Kind::Clearway, &self.file(), arguments, &variables)
    }

    /// Lets other users into the folder of this test, and puts a program there that they may execute: the
    /// tree itself may lie where only root can go.
    pub fn open_to_strangers(&self) -> Result<PathBuf> {
        std::fs::set_permissions(self.folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let copy = self.path("clearway");
        copy_executable(Path::new(&clearway_program()?), &copy)?;
        Ok(copy)
    }

    /// Starts Clearway by way of another program, such as `setpriv` or a shell that executes `"$@"`.
    pub fn launch_under(&self, wrapper: &[&str], environment: &[(&str, &str)]) -> Result<Balancer> {
        let copy = self.path("clearway");
        let program = if copy.exists() { copy } else { clearway_program()? }.display().to_string();
        let file = self.file().display().to_string();
        let words = wrapper.iter().copied().chain([program.as_str(), "haproxy", "-f", &file]);
        let words: Vec<String> = words.map(str::to_owned).collect();
        let directory = self.run_directory();
        let mut variables = vec![("CLEARWAY_RUN_DIRECTORY", directory.as_str()), EVENTS];
        variables.extend(environment);
        Balancer::start_words(&self.hosts.balancer, Kind::Clearway, &words, &variables)
    }

    /// Waits until both fronts answer.
    pub fn wait_ready(&self, balancer: &mut Balancer) -> Result<()> {
        for front in self.fronts() {
            balancer.wait_ready(&self.hosts.client, front, Ask::Line, SOON)?;
        }
        Ok(())
    }

    /// Runs Clearway's command line in the balancer's host to its end.
    pub fn clearway(&self, words: &[&str]) -> Result<Output> {
        self.command(&self.hosts.balancer, words)
    }

    /// The same in any host.
    pub fn command(&self, host: &Namespace, words: &[&str]) -> Result<Output> {
        let mut command = host.command(clearway_program()?);
        command.args(words).env("CLEARWAY_RUN_DIRECTORY", self.run_directory());
        command.output().with_context(|| format!("running clearway {}", words.join(" ")))
    }

    /// Open-loop connections to both fronts from every client address, over IPv4 and IPv6. They wait for ten seconds: a
    /// machine that is busy with something else is slow, and loses no client.
    pub fn load(&self, rate: f64, duration: Duration) -> Plan {
        Plan::open(&self.fronts(), rate, duration)
            .from(self.hosts.client_addresses())
            .expecting(Expect::OwnAddress)
            .patient_for(Duration::from_secs(10))
    }

    /// Asserts that the kernel holds what it held before anything ran.
    pub fn assert_kernel_clean(&self) -> Result<()> {
        let differences = self.before.diff(&Snapshot::take(&self.hosts.balancer)?);
        ensure!(differences.is_empty(), "something was left in the kernel:\n{}", differences.join("\n"));
        Ok(())
    }

    /// Asserts that the kernel holds what it held before anything ran, and that no process is left.
    pub fn assert_clean(&self) -> Result<()> {
        self.assert_kernel_clean()?;
        let processes =
            clearway_lab::wait::eventually(Duration::from_secs(3), "no process to be left", || {
                clearway_lab::kernel::processes_in(&self.hosts.balancer).ok().filter(Vec::is_empty)
            });
        processes
            .map(|_| ())
            .with_context(|| format!("left: {:?}", clearway_lab::kernel::processes_in(&self.hosts.balancer)))
    }
}

/// Asserts that every connection was answered, rightly, and that there were any.
pub fn assert_no_client_lost(report: &LoadReport) -> Result<()> {
    ensure!(report.total.failed() == 0, "lost: {}; the first: {:?}", report.total, report.failures.first());
    ensure!(report.total.ok > 0, "no client has tried");
    Ok(())
}

/// No new connection may be refused or time out; what a killed process had accepted is lost, and only that.
pub fn assert_only_accepted_ones_lost(report: &LoadReport, kills: u64) -> Result<()> {
    let total = &report.total;
    ensure!(
        total.refused == 0 && total.timeout == 0,
        "new clients were lost: {total}; {:?}",
        report.failures.first()
    );
    ensure!(total.ok > 0, "no client was answered: {total}");
    assert_lost_at_deaths(report, kills, |_| true)
}

/// What was lost was under way when a process died that this test had killed: how many these are depends on how busy
/// the machine is. What came later nothing had accepted that died. Where others do the killing (an engine, the kernel,
/// Clearway), its moment is not known, and the number has to do.
pub fn assert_lost_at_deaths(report: &LoadReport, kills: u64, judged: impl Fn(&Lost) -> bool) -> Result<()> {
    let deaths = deaths();
    let judged = || report.lost.iter().filter(|lost| judged(lost));
    if u64::try_from(deaths.len())? < kills {
        let lost = judged().count();
        ensure!(
            u64::try_from(lost)? <= kills * 20,
            "more was lost than could have been accepted: {}",
            report.total
        );
        return Ok(());
    }
    let unexplained = judged().find(|lost| !deaths.iter().any(|death| death.meets(lost.begun, lost.ended)));
    ensure!(unexplained.is_none(), "lost although nothing died meanwhile: {unexplained:?}; {}", report.total);
    Ok(())
}

/// Asserts an exit code.
pub fn assert_code(status: ExitStatus, code: i32) -> Result<()> {
    ensure!(status.code() == Some(code), "ended with {status}, expected exit code {code}");
    Ok(())
}

/// Sends a signal to a process of this test that is not our child.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    if signal == Signal::KILL {
        about_to_die(pid);
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id")?;
    rustix::process::kill_process(pid, signal).context("sending a signal")
}

/// Standard output as text.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
