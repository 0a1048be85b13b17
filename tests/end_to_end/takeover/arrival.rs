//! A newcomer and the name: it gets the one or the other in the end, whatever comes between.

use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use super::NAMED;
use crate::stage::{SOON, Stage, assert_code};
use crate::steps::Steps;

crate::tests![
    one_that_dies_after_it_was_waited_for_leaves_its_name,
    a_door_that_could_not_be_opened_is_opened_later,
    one_that_is_busy_is_waited_for_until_its_reload_is_over,
    one_that_can_start_no_thread_leaves_with_a_reason,
];

fn one_that_dies_after_it_was_waited_for_leaves_its_name() -> Result<()> {
    let stage = Stage::new("tkwait")?;
    stage.write(&stage.plain())?;
    let (steps, mut first) = Steps::start(&stage, &[NAMED])?;
    steps.stop_at("hears SuccessorAsked");
    let mut second = stage.launch(&[], &[NAMED])?;
    steps.wait()?;
    // It is busy for longer than a name may be taken without a listener at its door.
    std::thread::sleep(Duration::from_secs(8));
    ensure!(second.is_running()?, "it has not waited: {}", second.stderr()?);
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    drop(steps);
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    stage.wait_ready(&mut second)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A reload may take longer than HAProxy has to prove itself: that is a part of it.
fn one_that_is_busy_is_waited_for_until_its_reload_is_over() -> Result<()> {
    let stage = Stage::new("tkbusy")?;
    stage.write(&stage.plain())?;
    let (steps, mut first) = Steps::start(&stage, &[NAMED])?;
    steps.stop_at("hears SuccessorAsked");
    let limit = ("CLEARWAY_READY_TIMEOUT", "5s");
    let mut second = stage.launch(&[], &[NAMED, limit])?;
    steps.wait()?;
    std::thread::sleep(Duration::from_secs(8));
    ensure!(second.is_running()?, "it has not waited: {}", second.stderr()?);
    drop(steps);
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_door_that_could_not_be_opened_is_opened_later() -> Result<()> {
    let stage = Stage::new("tkdoor")?;
    stage.write(&stage.plain())?;
    let directory = stage.path("shared");
    let shared = directory.display().to_string();
    let variables = [NAMED, ("CLEARWAY_TAKEOVER_DIRECTORY", shared.as_str())];
    let mut first = stage.start_with(&[], &variables)?;
    first.wait_for_event(0, "instance.not-open", &[], SOON)?;
    // The volume is there now.
    std::fs::create_dir(&directory)?;
    let opened = || directory.join("web.takeover").exists().then_some(());
    eventually(SOON, "the door to be opened", opened)?;
    first.wait_for_event(0, "instance.open", &[], SOON)?;
    let mut second = stage.launch(&[], &variables)?;
    second.wait_for_event(0, "takeover.begun", &[], SOON)?;
    assert_code(first.wait_exit(SOON)?, 0)?;
    let said = first.stderr()?;
    let times = said.lines().filter(|line| line.contains("no other Clearway can take over")).count();
    ensure!(times == 1, "said {times} times: {said}");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// What is asked beside the loop must not be asked by threads that panic where there can be none.
fn one_that_can_start_no_thread_leaves_with_a_reason() -> Result<()> {
    let stage = Stage::new("tkpids")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    std::fs::create_dir_all(stage.run_directory())?;
    std::os::unix::fs::chown(stage.run_directory(), Some(54_328), Some(54_328))?;
    let user = ["setpriv", "--reuid", "54328", "--regid", "54328", "--clear-groups"];
    let mut first = stage.launch_under(&user, &[NAMED])?;
    stage.wait_ready(&mut first)?;
    first.wait_for_event(0, "generation.serving", &[], SOON)?;
    let limited = [&user[..], &["prlimit", "--nproc=1"]].concat();
    let mut second = stage.launch_under(&limited, &[NAMED])?;
    assert_code(second.wait_exit(SOON)?, 70)?;
    let said = second.stderr()?;
    ensure!(said.contains("no thread can be started") && said.contains("--pids-limit"), "{said}");
    ensure!(!said.contains("panicked"), "{said}");
    stage.wait_ready(&mut first)?;
    // No process has the name: it looks for a holder, and cannot start anything either.
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    let mut alone = stage.launch_under(&limited, &[NAMED])?;
    assert_code(alone.wait_exit(SOON)?, 70)?;
    let said = alone.stderr()?;
    ensure!(said.contains("asking the holder: no thread can be started"), "{said}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}
