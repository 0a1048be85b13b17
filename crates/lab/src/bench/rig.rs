//! What the rows stand on: a lab with servers, and a configuration that says which version of it is served.

mod configuration;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

pub(super) use configuration::Transparency;
use configuration::configuration;

use crate::balancer::{Balancer, Kind, clearway_program};
use crate::load::{Ask, ask_once};
use crate::server::{Mode, Server};
use crate::topology::{FRONT, Shape, Topology};
use crate::wait::eventually_because;

/// Long enough for a slow machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the machine gets to come to rest between two reloads.
const REST: Duration = Duration::from_millis(200);

/// Where a balancer says which version of the configuration it has.
const VERSION: SocketAddr = SocketAddr::new(FRONT[0], 81);

/// What a Clearway needs that another one shall take over from.
pub(super) const NAMED: (&str, &str) = ("CLEARWAY_INSTANCE", "bench");

/// A lab with servers and a configuration.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) lab: Topology,
    /// The Clearway that is started, and asked.
    clearway: PathBuf,
    _servers: Vec<Server>,
    folder: TempDir,
    /// What stands behind the usual configuration.
    more: String,
    /// Where the two frontends listen.
    port: u16,
    /// What the service speaks, and its servers.
    speech: Mode,
    version: u32,
    transparency: Transparency,
}

impl Rig {
    /// Raises it, with a configuration that is not transparent, for the Clearway under test. The service speaks TCP.
    pub(super) fn raise() -> Result<Self> {
        Self::raise_speaking(Mode::Line)
    }

    /// The same with a service that speaks as these servers do.
    pub(super) fn raise_speaking(speech: Mode) -> Result<Self> {
        let lab = Topology::shaped("bench", Shape { clients: 8, ..Shape::default() })?;
        let servers = lab.start_servers(80, speech)?;
        let folder = tempfile::tempdir()?;
        let (more, transparency, clearway) = (String::new(), Transparency::Off, clearway_program()?);
        Ok(Self {
            lab,
            clearway,
            _servers: servers,
            folder,
            more,
            port: 80,
            speech,
            version: 0,
            transparency,
        })
    }

    /// From the next start on, this is the Clearway that is started, and asked.
    pub(super) fn run(&mut self, clearway: &Path) {
        clearway.clone_into(&mut self.clearway);
    }

    /// The Clearway that is started, and asked.
    pub(super) fn clearway(&self) -> &Path {
        &self.clearway
    }

    /// From the next version on, these lines stand behind the usual configuration.
    pub(super) fn add(&mut self, more: String) {
        self.more = more;
    }

    /// The same beside those that stand there, once.
    pub(super) fn add_more(&mut self, more: &str) {
        if !self.more.contains(more) {
            self.more.push_str(more);
        }
    }

    /// From the next version on, HAProxy leaves the port of the [service](Rig::service) to another program.
    pub(super) fn leave_the_service(&mut self) {
        self.port = 8080;
    }

    /// Where files for the configuration may be.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The service on both families.
    pub(super) fn service() -> [SocketAddr; 2] {
        FRONT.map(|address| SocketAddr::new(address, 80))
    }

    /// Where the configuration is.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    /// Where a Clearway keeps its admin socket.
    pub(super) fn run_directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Writes the next version of the configuration.
    pub(super) fn write_next(&mut self, transparency: Transparency) -> Result<()> {
        self.version += 1;
        self.transparency = transparency;
        let config = configuration(self.speech, transparency, self.port, self.version) + &self.more;
        fs::write(self.config(), config).context("writing the configuration of the benchmark")
    }

    /// Starts a balancer on a new version of the configuration and waits until it serves.
    pub(super) fn start(&mut self, kind: Kind, transparency: Transparency) -> Result<Balancer> {
        self.start_with(kind, transparency, &[])
    }

    /// The same with variables.
    pub(super) fn start_with(
        &mut self,
        kind: Kind,
        transparency: Transparency,
        variables: &[(&str, &str)],
    ) -> Result<Balancer> {
        self.write_next(transparency)?;
        let mut balancer = self.launch(kind, variables)?;
        self.wait_for_version(&mut balancer)?;
        Ok(balancer)
    }

    fn launch(&self, kind: Kind, variables: &[(&str, &str)]) -> Result<Balancer> {
        match kind {
            Kind::Clearway => self.launch_clearway(&[], variables),
            Kind::PlainMasterWorker => {
                Balancer::start(&self.lab.balancer, kind, &self.config(), &[], variables)
            }
        }
    }

    /// Starts a Clearway, with words before HAProxy's, on the version that was written last. It may not serve, nor live.
    pub(super) fn launch_clearway(&self, words: &[&str], variables: &[(&str, &str)]) -> Result<Balancer> {
        let [program, config, directory] = [self.clearway.clone(), self.config(), self.run_directory()]
            .map(|path| path.display().to_string());
        let words = [&[program.as_str()], words, &["haproxy", "-f", &config]].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let variables = [variables, &[("CLEARWAY_RUN_DIRECTORY", &directory)]].concat();
        Balancer::start_words(&self.lab.balancer, Kind::Clearway, &words, &variables)
    }

    /// Waits until the version that was written last answers.
    pub(super) fn wait_for_version(&self, balancer: &mut Balancer) -> Result<()> {
        let wanted = self.version();
        balancer
            .wait_for_answer(&self.lab.client, VERSION, Ask::Http, |answer| answer == wanted, DEADLINE)
            .map(|_| ())
    }

    /// The same of a balancer that is no child of this process.
    pub(super) fn wait_for_version_of_any(&self) -> Result<()> {
        self.wait_for_the_version(&self.version())
    }

    /// Waits until this version answers.
    pub(super) fn wait_for_the_version(&self, wanted: &str) -> Result<()> {
        self.lab.client.enter(|| {
            eventually_because(DEADLINE, &format!("{wanted} to answer"), || {
                let answer = ask_once(VERSION, Ask::Http, Duration::from_secs(1));
                ensure!(answer.as_deref() == Ok(wanted), "there was {answer:?}");
                Ok(())
            })
        })?
    }

    /// What a subcommand of Clearway prints; or what it complains of, if it fails.
    pub(super) fn ask_clearway(&self, words: &[&str]) -> Result<Result<String, String>> {
        let mut command = self.lab.balancer.command(&self.clearway);
        command.args(words).env("CLEARWAY_RUN_DIRECTORY", self.run_directory());
        let output = command.output().with_context(|| format!("running `clearway {}`", words.join(" ")))?;
        let [said, complained] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(if output.status.success() {
            Ok(said)
        } else {
            Err(format!("{}: {said}{complained}", output.status))
        })
    }

    /// What the version that was written last answers.
    pub(super) fn version(&self) -> String {
        format!("v{}", self.version)
    }

    /// Writes the next version and reloads. Gives the moment of the signal.
    pub(super) fn begin_reload(&mut self, balancer: &mut Balancer) -> Result<Instant> {
        self.write_next(self.transparency)?;
        balancer.settle()?;
        let begun = Instant::now();
        balancer.reload()?;
        Ok(begun)
    }

    /// Writes the next version and starts another Clearway on it, which takes over. Gives the moment of its start.
    pub(super) fn begin_takeover(&mut self, variables: &[(&str, &str)]) -> Result<(Instant, Balancer)> {
        self.write_next(self.transparency)?;
        let begun = Instant::now();
        Ok((begun, self.launch(Kind::Clearway, variables)?))
    }

    /// Waits until one that was taken over from has ended, in good order.
    pub(super) fn assert_relieved(mut former: Balancer) -> Result<()> {
        let status = former.wait_exit(DEADLINE)?;
        ensure!(status.success(), "one that was taken over from ended with {status}: {}", former.stderr()?);
        Ok(())
    }

    /// Writes the next version, reloads and waits for its first answer. Gives the time from the signal until then.
    pub(super) fn reload(&mut self, balancer: &mut Balancer) -> Result<Duration> {
        let begun = self.begin_reload(balancer)?;
        self.wait_for_version(balancer)?;
        Ok(begun.elapsed())
    }

    /// Waits until neither side is busy with the reload before, nor with the end of the former generation.
    pub(super) fn rest(balancer: &Balancer) -> Result<()> {
        balancer.wait_for_rest(DEADLINE)?;
        sleep(REST);
        Ok(())
    }

    /// Ends a balancer: a drain, which has nothing to wait for, and where it does wait, a second SIGTERM, which
    /// means "at once". How a stop goes is for the end-to-end tests to judge, not for a timing.
    pub(super) fn stop(mut balancer: Balancer) -> Result<()> {
        balancer.settle()?;
        balancer.signal(Signal::TERM)?;
        if balancer.wait_exit(Duration::from_secs(1)).is_err() {
            // It may have ended at this moment; whether it has, the next line says.
            let _ = balancer.signal(Signal::TERM);
        }
        balancer.wait_exit(DEADLINE).map(|_| ())
    }
}
