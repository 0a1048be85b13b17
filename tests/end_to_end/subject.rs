//! What `check` and `doctor` look at: what is named, else what the running Clearway was started with; and they ask only for
//! what that needs. Variables that look like settings and are none are told.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind, clearway_program};
use rustix::process::Signal;

use crate::stage::{EVENTS, SOON, Stage, assert_code, complained, said};

crate::tests![
    the_doctor_asks_for_the_rights_that_the_files_need,
    the_doctor_takes_the_files_of_the_one_that_runs,
    check_takes_the_files_of_the_one_that_runs,
    without_files_and_without_a_clearway_check_says_how_it_is_used,
    a_mistyped_variable_is_told,
];

/// Root with no capability but these.
fn with_only(stage: &Stage, capabilities: &str, words: &[&str]) -> Result<Output> {
    let set = format!("-all,{capabilities}");
    let mut command = stage.hosts.balancer.command("setpriv");
    command.args([&format!("--bounding-set={set}"), "--inh-caps=-all"]);
    command.arg(clearway_program()?).args(words).env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
    command.output().context("running setpriv")
}

/// As in `deploy/gateway`: all capabilities dropped but what transparency needs, and a file without `user` and `chroot`.
fn the_doctor_asks_for_the_rights_that_the_files_need() -> Result<()> {
    let stage = Stage::new("subright")?;
    let file = stage.file().display().to_string();
    let doctor = || with_only(&stage, "+net_admin,+net_raw,+net_bind_service", &["doctor", "-f", &file]);
    stage.write(&stage.transparent())?;
    let output = doctor()?;
    assert_code(output.status, 0).with_context(|| said(&output))?;
    for name in ["SETUID", "SETGID", "KILL", "SYS_CHROOT"] {
        let words = format!("note  capability {name} is missing");
        ensure!(said(&output).contains(&words), "{name}: {}", said(&output));
    }
    for (line, needed) in [
        ("user nobody", &["SETUID", "SETGID", "KILL"] as &[&str]),
        ("group nogroup", &["SETGID"]),
        ("chroot /var/empty", &["SYS_CHROOT"]),
    ] {
        stage.write(&format!("global\n    {line}\n{}", stage.transparent()))?;
        let output = doctor()?;
        assert_code(output.status, 2).with_context(|| said(&output))?;
        ensure!(
            said(&output).matches("BAD   capability").count() == needed.len(),
            "{line}: {}",
            said(&output)
        );
        for name in needed {
            let words = format!("BAD   capability {name} is missing");
            ensure!(said(&output).contains(&words), "{line}: {}", said(&output));
        }
    }
    let low = stage.plain().replace(":8080 v6only", ":80 v6only");
    stage.write(&low)?;
    let output = with_only(&stage, "+net_raw", &["doctor", "-f", &file])?;
    ensure!(said(&output).contains("BAD   capability NET_BIND_SERVICE is missing"), "{}", said(&output));
    // No file: anything may be needed.
    let output = with_only(&stage, "+net_raw", &["doctor"])?;
    ensure!(said(&output).contains("BAD   capability SETUID is missing"), "{}", said(&output));
    stage.assert_clean()
}

/// Started where its file is, with a variable that the file uses, and a flag.
fn start_elsewhere(stage: &Stage) -> Result<Balancer> {
    let address = stage.fronts()[0].to_string();
    stage.write(&stage.plain().replace(&format!("bind {address}"), "bind \"$FRONT_ADDRESS\""))?;
    let program = clearway_program()?.display().to_string();
    let folder = stage.path("").display().to_string();
    let script = "cd \"$0\" && exec \"$@\"";
    let words = [
        "sh",
        "-c",
        script,
        &folder,
        &program,
        "run",
        "--strategy",
        "reuseport",
        "--",
        "haproxy",
        "-f",
        "haproxy.cfg",
    ];
    let mut balancer = Balancer::start_words(
        &stage.hosts.balancer,
        Kind::Clearway,
        &words.map(str::to_owned),
        &[("CLEARWAY_RUN_DIRECTORY", &stage.run_directory()), ("FRONT_ADDRESS", &address), EVENTS],
    )?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    Ok(balancer)
}

fn the_doctor_takes_the_files_of_the_one_that_runs() -> Result<()> {
    let stage = Stage::new("subdoc")?;
    let mut balancer = start_elsewhere(&stage)?;
    // Nothing is transparent: no right of transparency is missed.
    let output = with_only(&stage, "+net_bind_service,+sys_ptrace", &["doctor"])?;
    assert_code(output.status, 0).with_context(|| said(&output))?;
    let text = said(&output);
    for words in [
        "looked at, since no file is named: `haproxy -f haproxy.cfg`",
        "note  capability NET_ADMIN is missing",
        "strategy (in use) `reuseport`",
    ] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    // What is on disk now is looked at: it would need the right.
    stage.write(&stage.transparent())?;
    let output = with_only(&stage, "+net_bind_service,+sys_ptrace", &["doctor"])?;
    assert_code(output.status, 2)?;
    ensure!(said(&output).contains("BAD   capability NET_ADMIN is missing"), "{}", said(&output));
    // What is named wins.
    let other = stage.path("other.cfg");
    std::fs::write(&other, stage.plain())?;
    let words = ["doctor", "-f", &*other.display().to_string()];
    let output = with_only(&stage, "+net_bind_service,+sys_ptrace", &words)?;
    assert_code(output.status, 0).with_context(|| said(&output))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn check_takes_the_files_of_the_one_that_runs() -> Result<()> {
    let stage = Stage::new("subcheck")?;
    let mut balancer = start_elsewhere(&stage)?;
    let output = stage.clearway(&["check"])?;
    assert_code(output.status, 0).with_context(|| format!("{}{}", said(&output), complained(&output)))?;
    ensure!(said(&output).contains("as ") && said(&output).contains("was started"), "{}", said(&output));
    ensure!(said(&output).contains("takes it, with 2 bind lines"), "{}", said(&output));
    // Its own flag is checked with.
    let output = stage.clearway(&["check", "--pid", &balancer.pid().to_string()])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    std::fs::write(stage.file(), "nonsense\n")?;
    let output = stage.clearway(&["check"])?;
    assert_code(output.status, 65)?;
    ensure!(complained(&output).contains("nonsense"), "{}", complained(&output));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn without_files_and_without_a_clearway_check_says_how_it_is_used() -> Result<()> {
    let stage = Stage::new("subnone")?;
    let output = stage.clearway(&["check"])?;
    assert_code(output.status, 64)?;
    ensure!(complained(&output).contains("no configuration is named"), "{}", complained(&output));
    let output = stage.clearway(&["check", "haproxy"])?;
    assert_code(output.status, 64)
}

fn a_mistyped_variable_is_told() -> Result<()> {
    let stage = Stage::new("subtypo")?;
    stage.write(&stage.plain())?;
    let typo = "`CLEARWAY_DRAINTIMEOUT` is no setting of Clearway, and has no effect: did you mean `CLEARWAY_DRAIN_TIMEOUT`?";
    // As Kubernetes sets it for a Service called `clearway`.
    let environment = [
        ("CLEARWAY_DRAINTIMEOUT", "8s"),
        ("CLEARWAY_SERVICE_HOST", "10.0.0.1"),
        ("CLEARWAY_PORT", "tcp://10.0.0.1:80"),
        ("CLEARWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    let mut balancer = stage.start_with(&[], &environment)?;
    let log = balancer.stderr()?;
    ensure!(log.contains(typo), "{log}");
    ensure!(log.matches("is no setting of Clearway").count() == 1, "{log}");
    // Of the one that runs, as no file is named.
    for word in ["check", "doctor"] {
        let output = stage.clearway(&[word])?;
        ensure!(said(&output).contains(typo), "{word}: {}", said(&output));
        ensure!(said(&output).matches("is no setting of Clearway").count() == 1, "{}", said(&output));
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
