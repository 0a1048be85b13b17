//! The files in deploy/, each with the real engine and compose: the roll-outs that docs/how-to describes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::RunningLoad;
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;

use super::engine::image;
use super::rig::{ANOTHER_USER, Rig, assert_said};
use crate::stage::{CannotRun, SOON, assert_no_client_lost, complained};

crate::tests![
    beside_each_other_a_roll_out_loses_no_client_and_a_bad_one_changes_nothing,
    with_a_holder_a_recreated_balancer_refuses_no_client,
    blue_and_green_take_over_and_back,
];

/// The words that begin a command of compose; without one there is nothing to test.
pub fn compose() -> Result<&'static [&'static str]> {
    static FOUND: OnceLock<Option<&'static [&'static str]>> = OnceLock::new();
    let known: [&'static [&'static str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let answers = |words: &&'static [&'static str]| {
        let output = Command::new(words[0]).args(&words[1..]).arg("version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = FOUND.get_or_init(|| known.into_iter().find(answers));
    found.ok_or_else(|| CannotRun("neither `docker compose` nor `docker-compose` is here".to_owned()).into())
}

/// One of the ways in deploy/, with the variables that its users set.
struct Deployment {
    rig: Rig,
    way: &'static str,
    compose: &'static [&'static str],
    instance: String,
}

impl Deployment {
    fn new(name: &'static str, way: &'static str) -> Result<Self> {
        let compose = compose()?;
        let rig = Rig::new(name)?;
        rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
        let instance = format!("{name}-{}", std::process::id());
        Ok(Self { rig, way, compose, instance })
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(self.way)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).stdin(Stdio::null());
        for variable in ["CLEARWAY_IMAGE", "HOLDER_IMAGE", "BLUE_IMAGE", "GREEN_IMAGE"] {
            command.env(variable, image());
        }
        command.env("CLEARWAY_INSTANCE", &self.instance).env("COMPOSE", self.compose.join(" "));
        command.env("HAPROXY_CONFIG", self.rig.stage.path("")).env("TRIES", "30");
        command
    }

    /// Runs compose as its users do, in the folder of the file.
    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = self.command(self.compose[0]);
        command.args(&self.compose[1..]).args(["--project-name", &self.instance]).args(words);
        let output = command.output().with_context(|| format!("running compose {}", words.join(" ")))?;
        assert_said(&output, 0).with_context(|| format!("compose {}", words.join(" "))).map(|_| ())
    }

    /// As its users do, without saying which compose there is.
    fn roll_out(&self, image: &str) -> Result<Output> {
        self.command("./roll-out").env_remove("COMPOSE").arg(image).output().context("running roll-out")
    }

    /// The number of the container that has the name of the instance, which must be the one that serves.
    fn that_serves(&self) -> Result<String> {
        assert_said(&self.rig.engine.ask(&["exec", &self.instance, "clearway", "health"])?, 0)?;
        let id = self.rig.engine.done(&["inspect", "--format", "{{.Id}}", &self.instance])?;
        Ok(id.trim().to_owned())
    }

    /// All that belongs to this deployment, whatever the project: their numbers.
    fn containers(&self) -> Result<Vec<String>> {
        let filter = "{{.ID}} {{.Label \"com.docker.compose.project\"}}";
        let lines = self.rig.engine.done(&["ps", "--all", "--format", filter])?;
        let ours = lines.lines().filter_map(|line| line.split_once(' '));
        Ok(ours
            .filter(|(_, project)| project.starts_with(&self.instance))
            .map(|(id, _)| id.to_owned())
            .collect())
    }

    /// The number of the container of a service.
    fn container(&self, service: &str) -> Result<String> {
        let labels = [("project", self.instance.as_str()), ("service", service)]
            .map(|(key, value)| format!("label=com.docker.compose.{key}={value}"));
        let words = ["ps", "--all", "--quiet", "--filter", &labels[0], "--filter", &labels[1]];
        Ok(self.rig.engine.done(&words)?.trim().to_owned())
    }

    /// Waits until a service has said this.
    fn wait_for_log(&self, service: &str, text: &str) -> Result<()> {
        let id = self.container(service)?;
        let log = || Ok::<_, anyhow::Error>(complained(&self.rig.engine.ask(&["logs", &id])?));
        let found = eventually(SOON, &format!("{service} to say `{text}`"), || {
            log().is_ok_and(|log| log.contains(text)).then_some(())
        });
        found.with_context(|| log().unwrap_or_default())
    }

    /// Stops what still runs, and asserts that nothing is left.
    fn end(self) -> Result<()> {
        let containers = self.containers()?;
        let words = ["stop", "--time=30"].into_iter().chain(containers.iter().map(String::as_str));
        self.rig.engine.done(&words.collect::<Vec<_>>())?;
        self.rig.stage.assert_kernel_clean()
    }

    fn load(&self) -> Result<RunningLoad> {
        let plan = self.rig.stage.load(100.0, Duration::from_mins(2));
        clearway_lab::load::start(self.rig.client(), plan.patient_for(Duration::from_secs(30)))
    }

    fn session(&self) -> Result<Session> {
        Session::open(self.rig.client(), self.rig.stage.fronts()[0], None)
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let left = self.containers().unwrap_or_default();
        for id in left {
            if let Err(error) = self.rig.engine.done(&["rm", "--force", "--volumes", &id]) {
                eprintln!("a container of compose stays: {error:#}");
            }
        }
    }
}

/// Waits until connections that begin from here on have been answered.
fn answered(load: &RunningLoad) -> Result<()> {
    let done = load.progress().0;
    eventually(SOON, "more connections", || (load.progress().0 > done + 30).then_some(()))
}

fn beside_each_other_a_roll_out_loses_no_client_and_a_bad_one_changes_nothing() -> Result<()> {
    let deployment = Deployment::new("dpbeside", "beside")?;
    let script = std::fs::metadata(deployment.folder().join("roll-out"))?;
    ensure!(script.permissions().mode() & 0o111 != 0, "roll-out is not executable");
    assert_said(&deployment.roll_out(image())?, 0)?;
    let first = deployment.that_serves()?;
    let load = deployment.load()?;
    let mut session = deployment.session()?;
    let words = assert_said(&deployment.roll_out(image())?, 0)?;
    let second = deployment.that_serves()?;
    ensure!(second != first, "the name of the instance is still that of the first container");
    ensure!(words.contains(&format!("{} serves", image())), "{words}");
    ensure!(session.beat() == State::Alive, "the session of the old container was lost");
    ensure!(session.close() == State::Closed, "the session of the old container was not closed properly");
    // The configuration of the next one is broken: it does not start.
    let good = std::fs::read_to_string(deployment.rig.stage.file())?;
    deployment.rig.stage.write(&(good + "    no-such-keyword at all\n"))?;
    let words = assert_said(&deployment.roll_out(image())?, 1)?;
    ensure!(words.contains("what served before is still serving"), "{words}");
    ensure!(words.contains("no-such-keyword"), "HAProxy's own words are missing: {words}");
    ensure!(deployment.that_serves()? == second, "the name is no longer that of the container that serves");
    answered(&load)?;
    let report = load.finish_after(100)?;
    println!("beside each other: {}", report.total);
    assert_no_client_lost(&report)?;
    deployment.end()
}

fn with_a_holder_a_recreated_balancer_refuses_no_client() -> Result<()> {
    let deployment = Deployment::new("dpholder", "holder")?;
    deployment.run(&["up", "--detach"])?;
    deployment.wait_for_log("balancer", " serves, worker ")?;
    let load = deployment.load()?;
    answered(&load)?;
    // What compose does when the image of the service is another one.
    deployment.run(&["up", "--detach", "--force-recreate", "--no-deps", "balancer"])?;
    deployment.wait_for_log("balancer", "2 of 2 sockets taken over")?;
    answered(&load)?;
    let report = load.finish_after(60)?;
    println!("with a holder: {}", report.total);
    assert_no_client_lost(&report)?;
    deployment.end()
}

fn blue_and_green_take_over_and_back() -> Result<()> {
    let deployment = Deployment::new("dpcolour", "blue-green")?;
    let up = ["up", "--detach", "--force-recreate", "--no-deps"];
    deployment.run(&[&up[..], &["blue"]].concat())?;
    deployment.wait_for_log("blue", " serves, worker ")?;
    let load = deployment.load()?;
    let mut session = deployment.session()?;
    deployment.run(&[&up[..], &["green"]].concat())?;
    deployment.wait_for_log("green", " serves, worker ")?;
    deployment.wait_for_log("blue", "the other Clearway does well")?;
    ensure!(session.beat() == State::Alive, "the session of blue was lost");
    ensure!(session.close() == State::Closed, "the session of blue was not closed properly");
    let code = deployment.rig.engine.done(&["wait", &deployment.container("blue")?])?;
    ensure!(code.trim() == "0", "blue has ended with {code}");
    // Roll back: a new container of blue's image.
    deployment.run(&[&up[..], &["blue"]].concat())?;
    deployment.wait_for_log("blue", " serves, worker ")?;
    let report = load.finish_after(100)?;
    println!("blue, green, blue: {}", report.total);
    assert_no_client_lost(&report)?;
    deployment.end()
}
