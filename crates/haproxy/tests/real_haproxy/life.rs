//! Start, overlay, questions, drain, and failure.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clearway_haproxy::complaint::ComplaintCause;
use clearway_haproxy::configuration::{Configuration, Guard, Holds, SourceFile};
use clearway_haproxy::runtime::{Channel, CliCommand, CliResponse, RuntimeError};
use clearway_haproxy::sockpair;
use clearway_haproxy::version::UserWithTransparency;
use libtest_mimic::Failed;
use rustix::process::Signal;

use crate::binary::Binary;
use crate::process::{LIMIT, Start};
use crate::{Verdict, check, listen, listeners};

/// A configuration that serves on an address that is not known.
fn quiet(global: &str) -> String {
    let port = listeners(1).ok().and_then(|l| l.first()?.local_addr().ok());
    format!("global\n{global}{}", listen(&[port.map_or_else(String::new, |address| address.to_string())]))
}

pub(crate) fn version_is_read(binary: &Binary) -> Result<Verdict, Failed> {
    check(binary.version.supported(), binary.version.to_string())?;
    let running = Start { text: &quiet(""), ..Start::default() }.run(binary)?;
    check(running.info()?.version == Some(binary.version), "`show info` tells another version")?;
    Ok(Verdict::Passed)
}

pub(crate) fn overlay_causes_no_warning(binary: &Binary) -> Result<Verdict, Failed> {
    // From 3.4 on, root without both of these is warned about.
    let root = rustix::process::geteuid().is_root();
    let explicit = if root { " uid 0\n chroot /\n" } else { "" };
    for default_path in ["", " default-path current\n", " default-path origin /\n"] {
        let text = quiet(&format!("{default_path} zero-warning\n stats maxconn 20\n{explicit}"));
        let mut running = Start { text: &text, flags: &["-dW"], ..Start::default() }.run(binary)?;
        running.info()?;
        let words = running.words()?;
        let bad = words.lines.iter().any(|line| !line.starts_with("[NOTICE]"));
        check(!bad, format!("{words:?}"))?;
    }
    Ok(Verdict::Passed)
}

pub(crate) fn answers_over_both_channels(binary: &Binary) -> Result<Verdict, Failed> {
    let running = Start { text: &quiet(""), ..Start::default() }.run(binary)?;
    let info = running.info()?;
    check(!info.stopping && info.current_connections == 0, format!("{info:?}"))?;
    let ask = |command: &CliCommand| -> Result<CliResponse, Failed> {
        Ok(command.ask(&sockpair::dial(&running.master)?, Channel::Master, LIMIT)?)
    };
    let processes = ask(&CliCommand::show_proc())?.processes()?;
    check(processes.workers().eq([info.pid]), format!("{processes:?}"))?;
    check(processes.all.first().is_some_and(|master| master.pid == running.pid()), format!("{processes:?}"))?;
    let over = ask(&CliCommand::show_info().at_worker(info.pid))?.info()?;
    check(over.pid == info.pid && over.get("Nbthread") == info.get("Nbthread"), format!("{over:?}"))?;
    let none = ask(&CliCommand::show_info().at_worker(4_000_000))?.info();
    check(matches!(none, Err(RuntimeError::Refused { .. })), format!("{none:?}"))?;
    let connection = sockpair::dial(&running.stats)?;
    let nonsense = CliCommand::new("frobnicate")?.ask(&connection, Channel::Worker, LIMIT)?;
    check(nonsense.done().is_err(), nonsense.text)?;
    let connection = sockpair::dial(&running.stats)?;
    CliCommand::new("set maxconn global 100")?.ask(&connection, Channel::Worker, LIMIT)?.done()?;
    Ok(Verdict::Passed)
}

pub(crate) fn a_draining_worker_answers_over_the_master(binary: &Binary) -> Result<Verdict, Failed> {
    let made = listeners(1)?;
    let address = made[0].local_addr()?;
    drop(made);
    let text = format!(
        "defaults\n mode http\n timeout client 30s\n timeout http-request 30s\n timeout server 5s\n timeout connect \
         5s\nlisten web\n bind {address}\n server none 127.0.0.1:1\n"
    );
    let mut running = Start { text: &text, ..Start::default() }.run(binary)?;
    let worker = running.info()?.pid;
    // Before 3.1 the master, which now executes itself once more, would lose the signal.
    CliCommand::show_proc().ask(&sockpair::dial(&running.master)?, Channel::Master, LIMIT)?.processes()?;
    let mut session = TcpStream::connect(address)?;
    std::io::Write::write_all(&mut session, b"GET / HT")?;
    until("the session counts", || Ok(running.info()?.current_connections == 1))?;
    running.signal(Signal::USR1)?;
    let command = CliCommand::show_info().at_worker(worker);
    until("it says that it is stopping", || {
        let connection = sockpair::dial(&running.master)?;
        Ok(command.ask(&connection, Channel::Master, LIMIT)?.info()?.stopping)
    })?;
    let refused = CliCommand::show_info().ask(
        &sockpair::dial(&running.stats)?,
        Channel::Worker,
        Duration::from_millis(100),
    );
    check(refused.is_err(), "the stats socket of a draining worker answers: docs/facts H2 is out of date")?;
    drop(session);
    let code = running.ended()?;
    check(code == Some(0), format!("{code:?}"))?;
    Ok(Verdict::Passed)
}

pub(crate) fn a_bad_file_ends_the_connection_at_once(binary: &Binary) -> Result<Verdict, Failed> {
    let start = Instant::now();
    let text = format!("{} frobnicate on\n", quiet(""));
    let mut running = Start { text: &text, ..Start::default() }.run(binary)?;
    let mut connection = match sockpair::dial(&running.stats) {
        Ok(connection) => connection,
        Err(sockpair::SockpairError::Ended) => return Ok(Verdict::Passed),
        Err(error) => return Err(error.into()),
    };
    connection.set_read_timeout(Some(LIMIT))?;
    check(matches!(connection.read(&mut [0]), Ok(0)), "no end")?;
    check(running.ended()? == Some(1), "another exit code")?;
    check(start.elapsed() < LIMIT / 2, "too slow")?;
    let words = running.words()?;
    let place = "/proc/self/fd/6:10".to_owned();
    let want = ComplaintCause::UnknownKeyword { keyword: "frobnicate".to_owned(), place };
    check(words.causes.first() == Some(&want), format!("{words:?}"))?;
    Ok(Verdict::Passed)
}

pub(crate) fn fighting_flags_and_keywords_are_harmless(binary: &Binary) -> Result<Verdict, Failed> {
    // 3.5 refuses `master-worker`, which is for HAProxy to say.
    for keyword in [" daemon\n", " master-worker\n"] {
        let text = quiet(keyword);
        let flags =
            ["-D", "-W", "-Ws", "-db", "-p", "/nonexistent/pid", "-S", "/nonexistent/m", "-sf", "999999"];
        let running = Start { text: &text, flags: &flags, ..Start::default() }.run(binary)?;
        let info = running.info()?;
        let processes = CliCommand::show_proc()
            .ask(&sockpair::dial(&running.master)?, Channel::Master, LIMIT)?
            .processes()?;
        check(processes.workers().eq([info.pid]), format!("{keyword}{processes:?}"))?;
    }
    Ok(Verdict::Passed)
}

pub(crate) fn user_and_transparency_keep_exactly_the_rights(binary: &Binary) -> Result<Verdict, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Verdict::Ignored("needs root"));
    }
    let text = quiet(" uid 65534\n").replace(" server none", " source 0.0.0.0 usesrc clientip\n server none");
    let mut running = Start { text: &text, ..Start::default() }.run(binary)?;
    match binary.version.user_with_transparency() {
        UserWithTransparency::Refused => {
            check(running.ended()? == Some(1), "it started")?;
            let words = running.words()?;
            check(words.causes == [ComplaintCause::UserWithRights], format!("{words:?}"))?;
        }
        UserWithTransparency::NeedsSetcap => {
            let status = std::fs::read_to_string(format!("/proc/{}/status", running.info()?.pid))?;
            check(status.contains("CapEff:\t0000000000002000"), status.clone())?;
            check(status.contains("Uid:\t65534\t65534"), status)?;
        }
    }
    Ok(Verdict::Passed)
}

/// What stands inside `.if` reaches `haproxy -cc` as it was meant.
pub(crate) fn conditions_can_be_asked(binary: &Binary) -> Result<Verdict, Failed> {
    let text = r#"listen a
.if streq("a b",'a b')
 bind :1
.endif
.if version_atleast(2.4)
 bind :2
.else
 bind :3
.endif
.if streq(a\ b,"a b") && feature(NOPE)
 bind :4
.endif
"#;
    let source = SourceFile { name: "a".into(), path: "a".into(), bytes: text.into() };
    let found = Configuration::scan(vec![source], &|_| None);
    let holds = |guard: &Guard| -> Result<bool, Failed> {
        let status = binary.process().arg("-cc").arg(guard.argument()).output()?.status;
        check(matches!(status.code(), Some(0 | 1)), format!("{guard}: {status}"))?;
        Ok(status.success() == (guard.holds == Holds::True))
    };
    let mut counted = Vec::new();
    for bind in &found.binds {
        let mut counts = true;
        for guard in bind.guards.iter() {
            counts &= holds(guard)?;
        }
        counted.push(counts);
    }
    check(counted == [true, true, false, false], format!("{counted:?}"))?;
    Ok(Verdict::Passed)
}

fn until(what: &str, mut condition: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let start = Instant::now();
    while !condition()? {
        check(start.elapsed() < LIMIT, format!("waited in vain until {what}"))?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
