//! The entry point's contract: supervise, answer, or execute in place.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained, said};

crate::tests![
    arguments_that_only_ask_are_executed_in_place,
    anything_else_is_executed_in_place,
    clearways_own_words_answer_for_themselves,
    run_takes_flags,
    an_argument_that_begins_with_a_dash_is_haproxys,
    check_and_doctor_look_and_change_nothing,
    check_takes_what_the_master_worker_mode_takes,
];

fn arguments_that_only_ask_are_executed_in_place() -> Result<()> {
    let stage = Stage::new("ask")?;
    stage.write(&stage.transparent())?;
    let file = stage.file().display().to_string();
    for words in [&["haproxy", "-v"] as &[&str], &["-v"], &["-vv"]] {
        let output = stage.clearway(words)?;
        assert_code(output.status, 0)?;
        ensure!(said(&output).starts_with("HAProxy version "), "{words:?}: {}", said(&output));
    }
    assert_code(stage.clearway(&["haproxy", "-c", "-f", &file])?.status, 0)?;
    assert_code(stage.clearway(&["-cc", "version_atleast(99.0)"])?.status, 1)?;
    stage.write("nonsense\n")?;
    assert_code(stage.clearway(&["-c", "-f", &file])?.status, 1)?;
    stage.assert_clean()
}

fn anything_else_is_executed_in_place() -> Result<()> {
    let stage = Stage::new("exec")?;
    let output = stage.clearway(&["sh", "-c", "echo $PPID $$ hello; exit 7"])?;
    assert_code(output.status, 7)?;
    ensure!(said(&output).ends_with("hello\n"), "{}", said(&output));
    let missing = stage.clearway(&["no-such-program"])?;
    assert_code(missing.status, 127)?;
    ensure!(complained(&missing).contains("`no-such-program`"), "{}", complained(&missing));
    assert_code(stage.clearway(&["/etc/passwd"])?.status, 126)
}

fn clearways_own_words_answer_for_themselves() -> Result<()> {
    let stage = Stage::new("own")?;
    ensure!(said(&stage.clearway(&["--version"])?).starts_with("clearway "), "--version");
    let help = said(&stage.clearway(&["--help"])?);
    for word in ["run", "reload", "status", "drain", "cleanup", "check", "doctor"] {
        ensure!(help.contains(word), "`{word}` is not in --help: {help}");
    }
    assert_code(stage.clearway(&["run", "--no-such-flag"])?.status, 64)?;
    assert_code(stage.clearway(&[])?.status, 64)?;
    assert_code(stage.clearway(&["reload"])?.status, 68)
}

fn run_takes_flags() -> Result<()> {
    let stage = Stage::new("flags")?;
    stage.write(&stage.plain())?;
    let program = clearway_lab::balancer::clearway_program()?.display().to_string();
    let (file, directory) = (stage.file().display().to_string(), stage.run_directory());
    let words = [
        &program,
        "run",
        "--run-directory",
        &directory,
        "--instance",
        "e2e-flags",
        "--drain-timeout",
        "3s",
        "--",
        "haproxy",
        "-f",
        &file,
    ];
    let mut balancer = clearway_lab::balancer::Balancer::start_words(
        &stage.hosts.balancer,
        clearway_lab::balancer::Kind::Clearway,
        &words.map(str::to_owned),
        &[],
    )?;
    stage.wait_ready(&mut balancer)?;
    ensure!(said(&stage.clearway(&["status"])?).contains("instance e2e-flags"), "the flag counts");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn an_argument_that_begins_with_a_dash_is_haproxys() -> Result<()> {
    let stage = Stage::new("dash")?;
    stage.write(&stage.plain())?;
    let program = clearway_lab::balancer::clearway_program()?.display().to_string();
    let (file, directory) = (stage.file().display().to_string(), stage.run_directory());
    let mut balancer = clearway_lab::balancer::Balancer::start_words(
        &stage.hosts.balancer,
        clearway_lab::balancer::Kind::Clearway,
        &[program, "-f".to_owned(), file],
        &[("CLEARWAY_RUN_DIRECTORY", &directory)],
    )?;
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn check_and_doctor_look_and_change_nothing() -> Result<()> {
    let stage = Stage::new("look")?;
    stage.write(&stage.transparent())?;
    let file = stage.file().display().to_string();
    let check = stage.clearway(&["check", "haproxy", "-f", &file])?;
    assert_code(check.status, 0)?;
    ensure!(
        said(&check).contains("transparent (") && said(&check).contains("NET_ADMIN and NET_RAW are there"),
        "{}",
        said(&check)
    );
    let doctor = stage.clearway(&["doctor", "--json", "--", "haproxy", "-f", &file])?;
    assert_code(doctor.status, 0)?;
    let findings: serde_json::Value = serde_json::from_slice(&doctor.stdout)?;
    ensure!(findings["findings"].as_array().is_some_and(|all| all.len() > 8), "{findings}");
    let late = stage.clearway(&["doctor", "-f", &file, "--json"])?;
    assert_code(late.status, 64)?;
    ensure!(complained(&late).contains("`--json` is Clearway's"), "{}", complained(&late));
    // Without the capabilities of transparency only a file that wants that is in trouble.
    let powerless = || -> Result<std::process::Output> {
        let mut doctor = stage.hosts.balancer.command("setpriv");
        doctor.args(["--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw"]);
        doctor
            .arg(clearway_lab::balancer::clearway_program()?)
            .args(["doctor", "--", "haproxy", "-f", &file]);
        Ok(doctor.output()?)
    };
    let bad = powerless()?;
    assert_code(bad.status, 2)?;
    ensure!(said(&bad).contains("BAD   capability NET_ADMIN is missing"), "{}", said(&bad));
    stage.write(&stage.plain())?;
    let noted = powerless()?;
    assert_code(noted.status, 0).with_context(|| said(&noted))?;
    ensure!(said(&noted).contains("note  capability NET_RAW is missing"), "{}", said(&noted));
    stage.write("nonsense\n")?;
    let refused = stage.clearway(&["check", "--", "haproxy", "-f", &file])?;
    assert_code(refused.status, 65)?;
    stage.assert_clean()
}

/// HAProxy refuses a `program` without `-W`, which Clearway always gives.
fn check_takes_what_the_master_worker_mode_takes() -> Result<()> {
    crate::programs::are_known()?;
    let stage = Stage::new("program")?;
    let program = "program companion\n    command /bin/sleep 1000\n";
    stage.write(&format!("{}{program}", stage.plain()))?;
    let file = stage.file().display().to_string();
    let check = stage.clearway(&["check", "-f", &file])?;
    let words = format!("{}{}", said(&check), complained(&check));
    assert_code(check.status, 0).with_context(|| words.clone())?;
    ensure!(words.contains("takes it, with 2 bind lines"), "{words}");
    stage.write(&format!("{}{program}    nonsense\n", stage.plain()))?;
    let check = stage.clearway(&["check", "-f", &file])?;
    assert_code(check.status, 65)?;
    ensure!(complained(&check).contains("nonsense"), "{}", complained(&check));
    stage.assert_clean()
}
