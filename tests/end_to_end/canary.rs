//! The canary: whether the return path works is in the log and in the status, and decides whether Clearway is
//! ready if that was asked for. HAProxy's own health checks are green all the time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Expect, Plan};
use clearway_lab::session::Session;
use clearway_lab::topology::BACK;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, said};

crate::tests![
    what_works_is_said_once_and_shown,
    a_server_without_a_way_back_is_named_and_decides_if_asked_to,
    a_plain_configuration_is_ready_while_old_sessions_need_the_plumbing,
    a_server_that_is_down_is_no_matter_of_the_way,
    no_server_is_asked_if_it_is_off_or_nothing_is_transparent,
    families_that_do_not_match_are_named_with_their_lines,
    the_doctor_says_what_the_canary_found_and_what_hides_clients,
    an_engines_masquerade_of_the_clients_network_is_named,
    of_five_thousand_servers_all_are_asked_and_a_few_named,
];

/// It looks again after 5 s, 10 s and so on.
pub const PATIENT: Duration = Duration::from_secs(40);

fn what_works_is_said_once_and_shown() -> Result<()> {
    let stage = Stage::new("cyes")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("canary: return path verified for 2 servers"), "{status}");
    let json = said(&stage.clearway(&["status", "--json"])?);
    ensure!(json.contains("\"verdict\":\"works\"") && json.contains("\"outcome\":\"way_back\""), "{json}");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let log = balancer.stderr()?;
    ensure!(log.matches("canary: ").count() == 1, "nothing has changed:\n{log}");
    stage.assert_clean()
}

/// Gives the servers another gateway, by family.
pub fn gateway(stage: &Stage, gateways: [&str; 2]) -> Result<()> {
    for (family, gateway) in ["-4", "-6"].into_iter().zip(gateways) {
        stage.hosts.server.ip(&[family, "route", "replace", "default", "via", gateway])?;
    }
    Ok(())
}

fn a_server_without_a_way_back_is_named_and_decides_if_asked_to() -> Result<()> {
    let stage = Stage::new("cno")?;
    gateway(&stage, ["10.2.0.254", "fd02::fe"])?;
    stage.write(&stage.transparent().replace(":8080\nlisten", ":8080 check\nlisten"))?;
    let mut balancer = stage.launch(&[], &[("CLEARWAY_CANARY", "ready")])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    assert_code(stage.clearway(&["health"])?.status, 3).context("before the canary has answered")?;
    balancer.wait_for_event(
        0,
        "canary.server",
        &[("server", &"10.2.0.2:8080"), ("verdict", &"broken")],
        PATIENT,
    )?;
    balancer.wait_for_event(
        0,
        "canary.server",
        &[("server", &"[fd02::2]:8080"), ("verdict", &"broken")],
        PATIENT,
    )?;
    balancer.wait_for_log(
        0,
        "hint: the server's answers to clients must come back through this host",
        SOON,
    )?;
    assert_code(stage.clearway(&["health"])?.status, 3)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("canary: the server 10.2.0.2:8080: no return path"), "{status}");
    let ours = BACK.map(|address| address.to_string());
    gateway(&stage, [&ours[0], &ours[1]])?;
    balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], PATIENT)?;
    assert_code(stage.clearway(&["health"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// What the canary said of servers that are not asked transparently any more is out of date.
fn a_plain_configuration_is_ready_while_old_sessions_need_the_plumbing() -> Result<()> {
    let stage = Stage::new("cplain")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_CANARY", "ready")])?;
    balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    gateway(&stage, ["10.2.0.254", "fd02::fe"])?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(
        0,
        "canary.server",
        &[("server", &"10.2.0.2:8080"), ("verdict", &"broken")],
        PATIENT,
    )?;
    assert_code(stage.clearway(&["health"])?.status, 3)?;
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("plumbing: ") && !status.contains("canary: "), "{status}");
    assert_code(stage.clearway(&["health"])?.status, 0)?;
    let ours = BACK.map(|address| address.to_string());
    gateway(&stage, [&ours[0], &ours[1]])?;
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_server_that_is_down_is_no_matter_of_the_way() -> Result<()> {
    let stage = Stage::new("cdown")?;
    stage.write(&stage.transparent().replace("server s 10.2.0.2:8080", "server s 10.2.0.2:8081"))?;
    let mut balancer = stage.launch(&[], &[("CLEARWAY_CANARY", "ready")])?;
    balancer.wait_for_event(
        0,
        "canary.server",
        &[("server", &"10.2.0.2:8081"), ("verdict", &"down")],
        SOON,
    )?;
    // A reset has come to a foreign address: that is the way back.
    eventually(SOON, "it to be ready", || stage.clearway(&["health"]).ok()?.status.success().then_some(()))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn no_server_is_asked_if_it_is_off_or_nothing_is_transparent() -> Result<()> {
    let stage = Stage::new("coff")?;
    stage.hosts.server.nft(
        "table inet watch { counter canary { }
           chain in { type filter hook input priority 0; ip saddr 198.18.179.1 counter name canary; }
         }",
    )?;
    for (text, mode) in [(stage.transparent(), "off"), (stage.plain(), "on"), (stage.transparent(), "on")] {
        stage.write(&text)?;
        let mut balancer = stage.start_with(&[], &[("CLEARWAY_CANARY", mode)])?;
        let asks = mode == "on" && text.contains("usesrc");
        if asks {
            balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
        }
        let counter = stage.hosts.server.output("nft", &["list", "counter", "inet", "watch", "canary"])?;
        ensure!(counter.contains("packets 0 ") != asks, "{mode}: {counter}");
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}

fn families_that_do_not_match_are_named_with_their_lines() -> Result<()> {
    let stage = Stage::new("cfam")?;
    let text = stage
        .transparent()
        .replace("bind 10.1.0.1:8080\n", "bind 10.1.0.1:8080\n    bind fd01::1:8081 v6only\n");
    stage.write(&text)?;
    let mut balancer = stage.start()?;
    let found = balancer.wait_for_event(0, "found.families-differ", &[], SOON)?;
    ensure!(found["detail"].to_string().contains("haproxy.cfg:8)"), "{found}");
    let file = stage.file().display().to_string();
    let doctor = stage.clearway(&["doctor", "-f", &file])?;
    ensure!(said(&doctor).contains("IPv6 clients ("), "{}", said(&doctor));
    assert_code(doctor.status, 2)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_doctor_says_what_the_canary_found_and_what_hides_clients() -> Result<()> {
    let stage = Stage::new("cdoc")?;
    stage.write(&stage.transparent())?;
    let file = stage.file().display().to_string();
    let doctor = || -> Result<(String, Option<i32>)> {
        let output = stage.clearway(&["doctor", "-f", &file])?;
        Ok((said(&output), output.status.code()))
    };
    // A rule that names the addresses it is for is worth a note: whether they are clients is not known.
    let nat = |rule: &str| {
        let chain = "type nat hook postrouting priority srcnat";
        stage.hosts.balancer.nft(&format!("table ip others\ndelete table ip others\ntable ip others {{ chain post {{ {chain}; {rule}; }}; }}"))
    };
    nat("ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade")?;
    let mut balancer = stage.start()?;
    balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
    let (text, code) = doctor()?;
    ensure!(code == Some(0), "{text}");
    for words in [
        "ok    the server 10.2.0.2:8080: the return path works",
        "`acl own src 127.0.0.0/8 ::1 10.2.0.2 fd02::2`",
    ] {
        ensure!(text.contains(words), "`{words}` is missing in:\n{text}");
    }
    let words = "note  MASQUERADE of 172.17.0.0/16 towards every interface but `docker0` (table ip others, chain post), where \
                 the server 10.2.0.2:8080 is (`s`, ";
    ensure!(text.contains(words), "{text}");
    // By another interface than that of the server it does not leave, and other conditions are left alone.
    for rule in ["ip saddr 172.17.0.0/16 oifname != \"servers\" masquerade", "meta mark 0x4000 masquerade"] {
        nat(rule)?;
        let (text, _) = doctor()?;
        ensure!(!text.contains("MASQUERADE"), "{rule}: {text}");
    }
    nat("oifname \"servers\" masquerade")?;
    let (text, code) = doctor()?;
    let words = "BAD   MASQUERADE towards `servers` (table ip others, chain post), where the server 10.2.0.2:8080 is (`s`, ";
    ensure!(code == Some(2) && text.contains(words), "{text}");
    nat("oifname \"clients\" counter masquerade")?;
    let (text, code) = doctor()?;
    ensure!(code == Some(0) && text.contains("note  MASQUERADE towards `clients`"), "{text}");
    gateway(&stage, ["10.2.0.254", "fd02::fe"])?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(
        0,
        "canary.server",
        &[("server", &"10.2.0.2:8080"), ("verdict", &"broken")],
        PATIENT,
    )?;
    let (text, code) = doctor()?;
    ensure!(code == Some(2), "{text}");
    for words in ["BAD   the server 10.2.0.2:8080: no return path", "make it the server's default gateway"] {
        ensure!(text.contains(words), "`{words}` is missing in:\n{text}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// All refuse. At which pace is the core's matter: `clearway_core::canary::pace` and its simulation.
fn of_five_thousand_servers_all_are_asked_and_a_few_named() -> Result<()> {
    const SERVERS: u16 = 5000;
    let stage = Stage::new("cmany")?;
    let mut text = stage
        .transparent()
        .replace("listen f1", "backend many\n    source 0.0.0.0 usesrc clientip\nlisten f1");
    let lines = (0..SERVERS).map(|n| format!("    server m{n} 10.2.0.2:{}\n", 20_000 + n));
    let lines = lines.collect::<Vec<_>>().concat();
    text = text.replace("usesrc clientip\nlisten f1", &format!("usesrc clientip\n{lines}listen f1"));
    stage.write(&text)?;
    let mut balancer = stage.start()?;
    // While they are asked, the status says how far that is.
    let asks = eventually(SOON, "the canary to be asking", || {
        let status = stage.clearway(&["status", "--json"]).ok()?.stdout;
        let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
        status["canary_asks"]["done"].as_u64().filter(|done| *done > 0)
    })?;
    ensure!(asks < u64::from(SERVERS) + 2, "{asks}");
    let servers = SERVERS + 2;
    balancer.wait_for_event(0, "canary.more", &[("works", &2), ("servers", &servers)], PATIENT)?;
    let status: serde_json::Value = serde_json::from_slice(&stage.clearway(&["status", "--json"])?.stdout)?;
    ensure!(balancer.events("canary.server", &[("level", &"WARN")])?.len() == 50, "{}", balancer.stderr()?);
    let seen = status["canary"].as_array().context("what the canary says")?;
    ensure!(seen.len() == usize::from(SERVERS) + 2, "{}", seen.len());
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// As Docker has it: clients in one network of the host, servers in another. What the note says happens, and what it
/// says mends it does.
fn an_engines_masquerade_of_the_clients_network_is_named() -> Result<()> {
    let stage = Stage::new("cengine")?;
    stage.write(&stage.transparent())?;
    let file = stage.file().display().to_string();
    let mut balancer = stage.start()?;
    let load = || -> Result<_> {
        let fronts = [stage.fronts()[0]];
        let plan = Plan::open(&fronts, 50.0, Duration::from_millis(500));
        let plan = plan.from(stage.hosts.client_addresses()).expecting(Expect::OwnAddress);
        Ok(clearway_lab::load::start(&stage.hosts.client, plan)?.wait()?.total)
    };
    ensure!(load()?.failed() == 0, "before there is a rule");
    let rules = |exempt: &str| {
        let chain = "type nat hook postrouting priority srcnat";
        let rule = "ip saddr 10.1.0.0/16 oifname != \"clients\" masquerade";
        let table = format!("table ip others {{ chain post {{ {chain}; {exempt} {rule}; }}; }}");
        stage.hosts.balancer.nft(&format!("table ip others\ndelete table ip others\n{table}"))
    };
    rules("")?;
    let doctor = stage.clearway(&["doctor", "-f", &file])?;
    let words = "note  MASQUERADE of 10.1.0.0/16 towards every interface but `clients` (table ip others, chain post), where the \
                 server 10.2.0.2:8080 is (`s`, ";
    ensure!(said(&doctor).contains(words), "{}", said(&doctor));
    ensure!(said(&doctor).contains("-s 10.1.0.0/16 -m owner --socket-exists -j ACCEPT"), "{}", said(&doctor));
    assert_code(doctor.status, 0)?;
    ensure!(load()?.ok == 0, "the rule is said to hide them");
    // What `-m owner --socket-exists` asks for, without iptables.
    rules("ip saddr 10.1.0.0/16 meta skuid >= 0 accept;")?;
    ensure!(load()?.failed() == 0, "what is said to mend it does not");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
