//! HAProxy is killed before each command of an apply: the new file serves, whatever is on disk by then, and no new client is refused.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::Expect;
use rustix::process::Signal;

use crate::apply::grown;
use crate::stage::{SOON, Stage, assert_code, assert_only_accepted_ones_lost, said};
use crate::steps::Steps;
use crate::transaction::wait_for_server;

crate::tests![
    haproxy_dies_before_each_command,
    haproxy_dies_while_it_is_planned,
    clearway_dies_before_each_command,
];

/// Before each command for a server that is new, and before the look afterwards.
const COMMANDS: [&str; 3] = ["applies add", "applies set", "applies checks"];

/// Applies what is on disk, and does this when Clearway stands at the step where it was told to.
fn apply_to_the_end(stage: &Stage, steps: &Steps, meanwhile: impl FnOnce() -> Result<()>) -> Result<Output> {
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| stage.clearway(&["apply"]));
        steps.wait()?;
        meanwhile()?;
        apply.join().map_err(|_| anyhow::anyhow!("it panicked"))?
    })
}

fn kill_the_worker(balancer: &mut Balancer) -> Result<()> {
    let worker = balancer.haproxy_processes().last().copied().context("a worker")?;
    balancer.kill_descendant(worker)
}

fn haproxy_dies_before_each_command() -> Result<()> {
    let stage = Stage::new("apkill")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    let plan = stage.load(100.0, Duration::from_mins(5)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(15)))?;
    for command in COMMANDS {
        stage.write(&grown(&stage))?;
        steps.stop_at(command);
        let output = apply_to_the_end(&stage, &steps, || {
            kill_the_worker(&mut balancer)?;
            steps.go_on();
            Ok(())
        });
        let output = output.with_context(|| format!("before `{command}`"))?;
        let told = said(&output);
        ensure!(
            told.starts_with("not applied at run time, so it was a reload: it broke off"),
            "before `{command}`: {told}"
        );
        assert_code(output.status, 0).with_context(|| format!("before `{command}`"))?;
        wait_for_server(&stage, &mut balancer, "s2")?;
        stage.write(&stage.plain())?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    assert_only_accepted_ones_lost(&load.finish()?, u64::try_from(COMMANDS.len())?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Nothing was changed yet: what served is started again, and what was asked for is a reload after that.
fn haproxy_dies_while_it_is_planned() -> Result<()> {
    let stage = Stage::new("apkillplan")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    stage.write(&grown(&stage))?;
    steps.stop_at("takes Planned");
    let output = apply_to_the_end(&stage, &steps, || {
        kill_the_worker(&mut balancer)?;
        steps.go_on();
        Ok(())
    })?;
    assert_code(output.status, 0)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn clearway_dies_before_each_command() -> Result<()> {
    let stage = Stage::new("apdie")?;
    for command in COMMANDS {
        stage.write(&stage.plain())?;
        let (steps, mut balancer) = Steps::start(&stage, &[])?;
        stage.write(&grown(&stage))?;
        steps.stop_at(command);
        let output = apply_to_the_end(&stage, &steps, || {
            balancer.signal(Signal::KILL)?;
            balancer.wait_exit(SOON).map(drop)
        });
        let output = output.with_context(|| format!("before `{command}`"))?;
        assert_code(output.status, 68).with_context(|| format!("before `{command}`"))?;
        drop(steps);
        // What starts next reads the files, and nothing of the former HAProxy is left.
        let mut next = stage.start()?;
        wait_for_server(&stage, &mut next, "s2")?;
        assert_code(next.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}
