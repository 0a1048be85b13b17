//! Several Clearways that can be seen from one place: what is named is asked, and else the one of this network
//! namespace.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, clearway_program};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{EVENTS, SOON, Stage, assert_code, complained, said};

crate::tests![
    of_one_directory_the_one_of_this_network_namespace_is_asked,
    without_a_name_none_of_another_network_namespace_is_asked,
    a_named_directory_is_asked_and_nothing_else,
    an_abstract_socket_of_a_named_directory_is_found,
    the_doctor_asks_every_clearway_of_this_network_namespace,
    one_that_cannot_say_how_it_is_drains_all_the_same,
    without_a_thread_the_status_says_what_is_known,
    an_unnamed_one_is_selected_by_its_socket_or_its_process,
];

/// Starts one on the stage, with the run directory of another.
fn start_in(stage: &Stage, directory: &str) -> Result<Balancer> {
    stage.write(&stage.plain())?;
    stage.start_with(&[], &[("CLEARWAY_RUN_DIRECTORY", directory)])
}

/// The number of the process that answered.
fn answered_by(output: &Output) -> Result<u32> {
    let text = said(output);
    let status: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{text}{}", complained(output)))?;
    status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).context("a process id")
}

fn of_one_directory_the_one_of_this_network_namespace_is_asked() -> Result<()> {
    let (one, other) = (Stage::new("sevone")?, Stage::new("sevtwo")?);
    let directory = one.run_directory();
    let mut balancers = [start_in(&one, &directory)?, start_in(&other, &directory)?];
    for (stage, balancer) in [&one, &other].into_iter().zip(&balancers) {
        let pid = answered_by(&stage.clearway(&["status", "--json", "--run-directory", &directory])?)?;
        ensure!(pid == balancer.pid(), "{pid} has answered instead of {}", balancer.pid());
        for words in [&["reload"] as &[&str], &["health"], &["status"]] {
            let words = [words, &["--run-directory", &directory]].concat();
            let output = stage.clearway(&words)?;
            assert_code(output.status, 0).with_context(|| complained(&output))?;
        }
        balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
        let doctor = said(&stage.clearway(&["doctor", "--run-directory", &directory])?);
        ensure!(doctor.contains("in another network namespace, and not asked: "), "{doctor}");
    }
    assert_code(other.clearway(&["drain", "--run-directory", &directory])?.status, 0)?;
    assert_code(balancers[1].wait_exit(SOON)?, 0)?;
    ensure!(balancers[0].is_running()?, "the wrong one has ended");
    // The other one is gone: what is in the directory that was named is meant, wherever it is.
    let pid = answered_by(&other.clearway(&["status", "--json", "--run-directory", &directory])?)?;
    ensure!(pid == balancers[0].pid(), "{pid}");
    assert_code(balancers[0].stop(Signal::TERM, SOON)?, 0)
}

/// `/run/clearway` is one directory for all network namespaces. Here it is one that only this test sees.
fn without_a_name_none_of_another_network_namespace_is_asked() -> Result<()> {
    let (one, other) = (Stage::new("sevhere")?, Stage::new("sevthere")?);
    one.write(&one.plain())?;
    let private = "mount -t tmpfs none /run && unset CLEARWAY_RUN_DIRECTORY && exec \"$@\"";
    let mut balancer = one.launch_under(&["unshare", "-m", "sh", "-c", private, "sh"], &[])?;
    one.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    let program = clearway_program()?.display().to_string();
    let ask = |stage: &Stage, word: &str| {
        let mount = format!("--mount=/proc/{}/ns/mnt", balancer.pid());
        let mut command = stage.hosts.balancer.command("nsenter");
        command.args([&mount, "--", &program, word]).output().context("running nsenter")
    };
    let here = ask(&one, "status")?;
    assert_code(here.status, 0).with_context(|| complained(&here))?;
    for word in ["status", "health", "reload", "drain"] {
        let there = ask(&other, word)?;
        assert_code(there.status, 68).with_context(|| format!("{word}: {}", said(&there)))?;
        let complaint = complained(&there);
        ensure!(complaint.contains("in another network namespace: /run/clearway/_"), "{complaint}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let second = balancer.events("generation.started", &[("generation", &2)])?;
    ensure!(second.is_empty(), "it was asked from another network namespace: {second:?}");
    Ok(())
}

/// A has an abstract name only, which all in the network namespace see; B is named.
fn a_named_directory_is_asked_and_nothing_else() -> Result<()> {
    let stage = Stage::new("sevabs")?;
    stage.write(&stage.plain())?;
    let mut abstract_one = stage.start_with(&[], &[("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere")])?;
    for word in ["status", "health", "reload", "drain"] {
        let output = stage.clearway(&[word])?;
        assert_code(output.status, 68).with_context(|| format!("{word}: {}", said(&output)))?;
    }
    let named = stage.path("second.cfg");
    let elsewhere = stage
        .plain()
        .replace(":8080 v6only", ":8081 v6only")
        .replace("bind 10.1.0.1:8080", "bind 10.1.0.1:8081");
    std::fs::write(&named, elsewhere)?;
    // In a mount namespace of its own, as a container is.
    let (program, file) = (clearway_program()?.display().to_string(), named.display().to_string());
    let mut command = stage.hosts.balancer.command("unshare");
    command
        .args(["-m", &program, "haproxy", "-f", &file])
        .env("CLEARWAY_RUN_DIRECTORY", stage.run_directory())
        .env(EVENTS.0, EVENTS.1);
    let mut named = Balancer::start_command(clearway_lab::balancer::Kind::Clearway, command)?;
    named.wait_for_event(0, "generation.serving", &[], SOON)?;
    let pid = answered_by(&stage.clearway(&["status", "--json"])?)?;
    ensure!(pid == named.pid(), "{pid} has answered instead of {}", named.pid());
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    named.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_code(stage.clearway(&["drain"])?.status, 0)?;
    assert_code(named.wait_exit(SOON)?, 0)?;
    let second = abstract_one.events("generation.started", &[("generation", &2)])?;
    ensure!(second.is_empty(), "{second:?}");
    assert_code(abstract_one.stop(Signal::TERM, SOON)?, 0)
}

/// Where nothing can be written, the abstract one of this very directory is meant, among several.
fn an_abstract_socket_of_a_named_directory_is_found() -> Result<()> {
    let stage = Stage::new("sevdir")?;
    stage.write(&stage.plain())?;
    let mut one = stage.start_with(&[], &[("CLEARWAY_RUN_DIRECTORY", "/proc/one")])?;
    let mut two = stage.start_with(&[], &[("CLEARWAY_RUN_DIRECTORY", "/proc/two")])?;
    for (directory, balancer) in [("/proc/one", &one), ("/proc/two", &two)] {
        let pid = answered_by(&stage.clearway(&["status", "--json", "--run-directory", directory])?)?;
        ensure!(pid == balancer.pid(), "{directory}: {pid} has answered");
    }
    assert_code(stage.clearway(&["status", "--run-directory", "/proc/three"])?.status, 68)?;
    assert_code(two.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(one.stop(Signal::TERM, SOON)?, 0)
}

fn the_doctor_asks_every_clearway_of_this_network_namespace() -> Result<()> {
    let stage = Stage::new("sevdoc")?;
    for (family, gateway) in [("-4", "10.2.0.254"), ("-6", "fd02::fe")] {
        stage.hosts.server.ip(&[family, "route", "replace", "default", "via", gateway])?;
    }
    stage.write(&stage.transparent())?;
    let mut one = stage.launch(&[], &[])?;
    one.wait_for_event(0, "generation.serving", &[], SOON)?;
    let doctor = || Ok::<_, anyhow::Error>(said(&stage.clearway(&["doctor"])?));
    // No server has answered yet, and none will for five seconds.
    let (status, report) = (said(&stage.clearway(&["status"])?), doctor()?);
    ensure!(status.contains("canary: still asking, for "), "{status}");
    ensure!(report.contains("note  the canary is still asking, for "), "{report}");
    let json: serde_json::Value = serde_json::from_slice(&stage.clearway(&["status", "--json"])?.stdout)?;
    ensure!(json["canary_asks"]["seconds"].is_u64(), "{json}");
    one.wait_for_event(0, "canary.server", &[("server", &"10.2.0.2:8080"), ("verdict", &"broken")], SOON)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(!status.contains("still asking"), "{status}");
    let mut two = stage.launch(&[], &[])?;
    two.wait_for_event(0, "canary.server", &[("server", &"10.2.0.2:8080"), ("verdict", &"broken")], SOON)?;
    let report = eventually(SOON, "both to be named", || {
        doctor().ok().filter(|report| report.matches("BAD   /").count() == 4)
    })?;
    let words = "the server 10.2.0.2:8080: no return path";
    ensure!(report.matches(words).count() == 2, "{report}");
    // One that is asked and does not answer is no healthy one.
    two.signal(Signal::STOP)?;
    let report = doctor()?;
    ensure!(report.contains("did not answer `/status`") && report.contains(words), "{report}");
    two.signal(Signal::CONT)?;
    assert_code(two.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(one.stop(Signal::TERM, SOON)?, 0)
}

/// Answers 503 to everything but what it is told to do, and ends a moment later: its socket goes, as at its end.
fn one_that_cannot_say_how_it_is_drains_all_the_same() -> Result<()> {
    // It tells its end, or is one of before, which does not: then it is not known how it has ended.
    drain_a_mute_one("200 OK", r#"{"code":0}"#, 1, 0)?;
    drain_a_mute_one("202 Accepted", "", 2, 68)
}

/// Drains one that answers nothing but the drain, and is gone when it has answered as often as this from then on.
fn drain_a_mute_one(accepts: &'static str, body: &'static str, answers: usize, code: i32) -> Result<()> {
    let stage = Stage::new("sevmute")?;
    let socket = stage.path("run/_0badcafe.sock");
    std::fs::create_dir_all(stage.run_directory())?;
    let listener = std::os::unix::net::UnixListener::bind(&socket)?;
    let answering = std::thread::spawn(move || -> Result<Vec<String>> {
        let (mut heard, mut after) = (Vec::new(), 0);
        while after < answers {
            let (mut stream, _) = listener.accept()?;
            let mut text = [0; 1024];
            let length = std::io::Read::read(&mut stream, &mut text)?;
            // Asked for by name and looked at only: nothing was sent.
            let request =
                String::from_utf8_lossy(&text[..length]).lines().next().unwrap_or_default().to_owned();
            if request.is_empty() {
                continue;
            }
            let is_post = request.starts_with("POST");
            after += usize::from(is_post || after > 0);
            let (answer, body) = if is_post { (accepts, body) } else { ("503 Service Unavailable", "") };
            let length = body.len();
            std::io::Write::write_all(
                &mut stream,
                format!("HTTP/1.1 {answer}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
            )?;
            heard.push(request);
        }
        std::fs::remove_file(&socket)?;
        Ok(heard)
    });
    let reload = stage.clearway(&["status"])?;
    assert_code(reload.status, 68)?;
    ensure!(complained(&reload).contains("refused to answer `/status` (503"), "{}", complained(&reload));
    let drain = stage.clearway(&["drain"])?;
    assert_code(drain.status, code).with_context(|| complained(&drain))?;
    ensure!(said(&drain).contains("drained: ") == (code == 0), "{}", said(&drain));
    ensure!(complained(&drain).contains("did not say how") == (code != 0), "{}", complained(&drain));
    let heard = answering.join().map_err(|_| anyhow::anyhow!("the test's own server has ended"))??;
    ensure!(heard.iter().any(|request| request.starts_with("POST /drain")), "{heard:?}");
    Ok(())
}

/// As a user of its own, with a limit of processes that is used up.
fn without_a_thread_the_status_says_what_is_known() -> Result<()> {
    let stage = Stage::new("sevpids")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    std::fs::create_dir_all(stage.run_directory())?;
    let uid = "54327";
    std::os::unix::fs::chown(stage.run_directory(), Some(54_327), Some(54_327))?;
    let user = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"];
    let mut balancer = stage.launch_under(&user, &[])?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    let pid = balancer.pid().to_string();
    // By the same user: it is another's process for root, too, where that has no SYS_RESOURCE.
    let limit = [&user[1..], &["prlimit", "--pid", &pid, "--nproc=1"]].concat();
    stage.hosts.balancer.output("setpriv", &limit)?;
    let ask = |words: &[&str]| {
        let mut command = stage.hosts.balancer.command("setpriv");
        command.args(&user[1..]).arg(stage.path("clearway")).args(words);
        command.env("CLEARWAY_RUN_DIRECTORY", stage.run_directory()).output().context("running setpriv")
    };
    let status = ask(&["status"])?;
    assert_code(status.status, 0).with_context(|| complained(&status))?;
    let text = said(&status);
    ensure!(text.contains("generation 1 serving") && text.contains("INCOMPLETE: no thread can be"), "{text}");
    let drain = ask(&["drain"])?;
    assert_code(drain.status, 0).with_context(|| complained(&drain))?;
    assert_code(balancer.wait_exit(SOON)?, 0)
}

/// What the refusal lists can be given to every subcommand.
fn an_unnamed_one_is_selected_by_its_socket_or_its_process() -> Result<()> {
    let stage = Stage::new("sevpick")?;
    stage.write(&stage.plain())?;
    let mut one = stage.start()?;
    let mut two = stage.launch(&[], &[])?;
    two.wait_for_event(0, "generation.serving", &[], SOON)?;
    let (first_pid, second_pid) = (one.pid().to_string(), two.pid().to_string());
    for word in ["status", "reload", "health", "drain", "check"] {
        let output = stage.clearway(&[word])?;
        assert_code(output.status, 68).with_context(|| format!("{word}: {}", said(&output)))?;
        let complaint = complained(&output);
        for words in [
            "several Clearways are running here",
            &format!("(pid {first_pid})"),
            &format!("(pid {second_pid})"),
        ] {
            ensure!(complaint.contains(words), "{word}: {complaint}");
        }
        ensure!(complaint.contains("`--socket /") && complaint.contains("or `--pid "), "{word}: {complaint}");
    }
    let complaint = complained(&stage.clearway(&["status"])?);
    let socket_of = |pid: &str| {
        let before = complaint.split(&format!(" (pid {pid})")).next().context("its name")?;
        before.split_whitespace().last().map(str::to_owned).context("its name")
    };
    for pid in [&first_pid, &second_pid] {
        let socket = socket_of(pid)?;
        for which in [["--pid", pid], ["--socket", &socket]] {
            let answered =
                answered_by(&stage.clearway(&[&["status", "--json"] as &[&str], &which].concat())?)?;
            ensure!(answered.to_string() == **pid, "{which:?}: {answered}");
            for word in ["health", "check"] {
                let output = stage.clearway(&[&[word] as &[&str], &which].concat())?;
                assert_code(output.status, 0)
                    .with_context(|| format!("{word} {which:?}: {}", complained(&output)))?;
            }
            let doctor = said(&stage.clearway(&[&["doctor"] as &[&str], &which].concat())?);
            ensure!(doctor.contains(&format!("running: {socket}\n")), "{which:?}: {doctor}");
        }
    }
    assert_code(stage.clearway(&["reload", "--pid", &second_pid])?.status, 0)?;
    two.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let second = one.events("generation.started", &[("generation", &2)])?;
    ensure!(second.is_empty(), "the wrong one has reloaded");
    for (words, code) in [
        (&["status", "--pid", "1"] as &[&str], 68),
        (&["status", "--socket", "/no/such.sock"], 68),
        (&["status", "--socket", "@clearway/t-unknown"], 68),
        (&["status", "--pid", "nonsense"], 64),
        (&["status", "--pid", "2", "--socket", "/x.sock"], 64),
        (&["doctor", "-f", "x.cfg", "--pid", "2"], 64),
    ] {
        let output = stage.clearway(words)?;
        assert_code(output.status, code).with_context(|| format!("{words:?}: {}", complained(&output)))?;
    }
    assert_code(stage.clearway(&["drain", "--socket", &socket_of(&first_pid)?])?.status, 0)?;
    assert_code(one.wait_exit(SOON)?, 0)?;
    ensure!(two.is_running()?, "the wrong one has ended");
    assert_code(two.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
