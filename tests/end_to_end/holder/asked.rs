//! What a holder says of itself, and what a balancer says of it.

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind, clearway_program};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use super::{end, holder, wait_until_it_holds};
use crate::sessions::json;
use crate::stage::{EVENTS, SOON, Stage, assert_code, complained, said};
use crate::takeover::NAMED;

crate::tests![
    it_says_how_it_is,
    a_balancer_that_fails_to_start_is_called_so,
    it_is_stopped_if_it_is_meant,
    in_a_container_of_its_own_it_is_stopped_like_any_other,
    from_another_container_it_is_asked_by_its_name,
];

/// The flags that name the instance.
const WEB: [&str; 2] = ["--instance", "web"];

fn start(stage: &Stage) -> Result<Balancer> {
    holder(stage, &[("CLEARWAY_RUN_DIRECTORY", &stage.run_directory())])
}

/// What `status --check` of the instance says, in one line, and its exit code.
fn check(stage: &Stage, code: i32, says: &str) -> Result<()> {
    let output = stage.clearway(&[&["status", "--check"], &WEB[..]].concat())?;
    assert_code(output.status, code).with_context(|| said(&output))?;
    let said = said(&output);
    ensure!(said.starts_with(says) && said.lines().count() == 1, "{said}");
    Ok(())
}

fn it_says_how_it_is() -> Result<()> {
    let stage = Stage::new("hdsays")?;
    stage.write(&stage.plain())?;
    let mut one = start(&stage)?;
    let status = said(&stage.clearway(&[&["status"], &WEB[..]].concat())?);
    ensure!(status.starts_with("holding (clearway ") && status.contains("nothing is held"), "{status}");
    check(&stage, 3, "holding: no balancer has come yet")?;
    let health = stage.clearway(&[&["health"], &WEB[..]].concat())?;
    assert_code(health.status, 0)?;
    ensure!(said(&health).contains("holding the listening sockets"), "{}", said(&health));
    let reload = stage.clearway(&[&["reload"], &WEB[..]].concat())?;
    assert_code(reload.status, 68)?;
    ensure!(complained(&reload).contains("is a holder, which has no HAProxy"), "{}", complained(&reload));

    let mut balancer = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&one, 0)?;
    // Without a name as well: the balancer is meant.
    for words in [&[] as &[&str], &WEB] {
        let status = json(&stage, &[&["status"], words].concat())?;
        ensure!(status["pid"] == balancer.pid() && status["holder"] == true, "{status}");
    }
    one.signal(Signal::KILL)?;
    one.wait_exit(SOON)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("holder: none"), "{status}");

    let one = start(&stage)?;
    wait_until_it_holds(&one, 0)?;
    balancer.signal(Signal::KILL)?;
    balancer.wait_exit(SOON)?;
    one.wait_for_event(0, "hold.lost", &[], SOON)?;
    let status = json(&stage, &[&["status"], &WEB[..]].concat())?;
    ensure!(status["pid"] == one.pid() && status["balancer_serves"] == false, "{status}");
    ensure!(status["sockets"].as_array().map(Vec::len) == Some(2), "{status}");
    ensure!(status["seconds_left"].as_u64() > Some(100), "{status}");
    check(&stage, 3, "holding: NO BALANCER serves")?;
    // A holder is well as long as it answers.
    assert_code(stage.clearway(&[&["health"], &WEB[..]].concat())?.status, 0)?;
    end(one)?;
    stage.assert_clean()
}

fn a_balancer_that_fails_to_start_is_called_so() -> Result<()> {
    let stage = Stage::new("hdfails")?;
    stage.write(&stage.plain())?;
    let one = start(&stage)?;
    let mut balancer = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&one, 0)?;
    balancer.signal(Signal::KILL)?;
    balancer.wait_exit(SOON)?;
    one.wait_for_event(0, "hold.lost", &[], SOON)?;
    stage.write("listen nonsense\n    bind nowhere at all\n")?;
    let from = one.log_position()?;
    for failed in 1..4 {
        let mut broken = stage.launch(&[], &[NAMED])?;
        assert_code(broken.wait_exit(SOON)?, 65)?;
        eventually(SOON, "the holder to count it", || {
            let status = json(&stage, &[&["status"], &WEB[..]].concat()).ok()?;
            (status["failed_starts"] == failed).then_some(())
        })?;
    }
    let failed = one.wait_for_event(from, "hold.start-failed", &[("times", &1)], SOON)?;
    ensure!(failed["sockets"] == 2, "{failed}");
    ensure!(one.events("hold.serving", &[])?.len() == 1, "none of them has served: {}", one.stderr()?);
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[NAMED])?;
    one.wait_for_event(from, "hold.serving", &[("sockets", &2)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    end(one)?;
    stage.assert_clean()
}

fn it_is_stopped_if_it_is_meant() -> Result<()> {
    let stage = Stage::new("hdmeant")?;
    stage.write(&stage.plain())?;
    let mut one = start(&stage)?;
    // A script that stops a balancer, which is gone already, must not let go of its sockets.
    let stop = stage.clearway(&[&["stop"], &WEB[..]].concat())?;
    assert_code(stop.status, 68)?;
    let pid = one.pid().to_string();
    ensure!(complained(&stop).contains(&format!("`--pid {pid}`")), "{}", complained(&stop));
    one.signal(Signal::HUP)?;
    one.wait_for_event(0, "hold.nothing-to-reload", &[("signal", &"SIGHUP")], SOON)?;
    let stop = stage.clearway(&["stop", "--pid", &pid])?;
    assert_code(stop.status, 0)?;
    ensure!(said(&stop).contains("has ended"), "{}", said(&stop));
    assert_code(one.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

fn in_a_container_of_its_own_it_is_stopped_like_any_other() -> Result<()> {
    let stage = Stage::new("hdfirst")?;
    let program = clearway_program()?.display().to_string();
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", &program, "hold"];
    let directory = stage.run_directory();
    let variables = [NAMED, EVENTS, ("CLEARWAY_RUN_DIRECTORY", &*directory)];
    let mut one =
        Balancer::start_words(&stage.hosts.balancer, Kind::Clearway, &words.map(str::to_owned), &variables)?;
    one.wait_for_event(0, "hold.begun", &[("instance", &"web")], SOON)?;
    let inside = clearway_lab::process::children(one.pid());
    let target = inside.first().map(u32::to_string).unwrap_or_default();
    let mut command = stage.hosts.balancer.command("nsenter");
    command.args(["-t", &target, "-p", "-m", &program, "stop"]).envs(variables);
    let output = command.output()?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).contains("has ended"), "{}", said(&output));
    assert_code(one.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

/// It shares the network, and so the abstract name, but not the processes.
fn from_another_container_it_is_asked_by_its_name() -> Result<()> {
    let stage = Stage::new("hdother")?;
    let nowhere = ("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere");
    let one = holder(&stage, &[nowhere])?;
    one.wait_for_event(0, "hold.begun", &[("instance", &"web")], SOON)?;
    let program = clearway_program()?.display().to_string();
    let ask = |words: &[&str]| {
        let mut command = stage.hosts.balancer.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", &program]).args(words);
        command.envs([NAMED, nowhere]).output()
    };
    let check = ask(&["status", "--check"])?;
    assert_code(check.status, 3).with_context(|| complained(&check))?;
    ensure!(said(&check).starts_with("holding: "), "{}", said(&check));
    // It is no balancer, and not stopped from there.
    assert_code(ask(&["reload"])?.status, 68)?;
    assert_code(ask(&["stop"])?.status, 68)?;
    end(one)?;
    stage.assert_clean()
}
