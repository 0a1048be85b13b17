//! What a generation knows of its servers passes to the next one before a client comes to it: health, and what was set
//! through the runtime API.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::processes_in;
use clearway_lab::load::{Expect, RunningLoad};
use clearway_lab::names::Names;
use clearway_lab::process::children;
use clearway_lab::topology::Family;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;
use serde_json::json;

use crate::holder::{end, holder};
use crate::stage::{
    CannotRun, PORT, SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost,
    complained, said, signal,
};
use crate::steps::Steps;
use crate::strategy::{STRATEGY, available};
use crate::takeover::NAMED;

crate::tests![
    a_server_that_is_down_gets_no_client_after_a_reload,
    the_same_with_each_strategy,
    a_server_that_is_down_gets_no_client_after_a_crash,
    a_server_that_is_down_gets_no_client_after_a_takeover,
    a_server_that_is_down_gets_no_client_after_a_loss_with_a_holder,
    what_was_set_at_run_time_survives,
    what_the_file_says_now_wins_and_is_named,
    a_name_that_was_set_survives_with_its_address,
    init_state_in_the_file_says_how_a_server_begins,
    a_server_that_comes_back_is_raised_by_the_next_generation,
    off_is_as_haproxy_does_it,
    limits_of_the_users_own_are_left_alone,
    thousands_of_servers_are_carried,
    an_api_that_does_not_answer_costs_no_reload,
    what_haproxy_refuses_is_named,
    a_new_one_that_hangs_is_refused_and_the_former_one_serves,
];

/// Where nothing listens.
const DEAD: u16 = 9;

/// What is beside the servers in the file.
const BEGIN: &str = "\
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    retries 0
";

/// Two servers for each front, of which one is dead. `more` is at the end of each `listen`.
fn one_is_dead(stage: &Stage, more: &str) -> String {
    let socket = stage.path("api").display().to_string();
    let mut text = format!("global\n    stats socket {socket} level admin\n{BEGIN}");
    for (front, family) in stage.fronts().into_iter().zip([Family::V4, Family::V6]) {
        let server = stage.hosts.servers(family)[0];
        let v6only = if front.is_ipv6() { " v6only" } else { "" };
        let (alive, dead) = (SocketAddr::new(server, PORT), SocketAddr::new(server, DEAD));
        let name = if front.is_ipv4() { "f4" } else { "f6" };
        let _ = write!(
            text,
            "listen {name}\n    bind {front}{v6only}\n    default-server inter 2s fall 1 rise 2\n    \
             server alive {alive} check\n    server dead {dead} check\n{more}"
        );
    }
    text
}

/// Asks HAProxy over the user's own socket, as an operator does.
fn api(stage: &Stage, command: &str) -> Result<String> {
    let mut stream = UnixStream::connect(stage.path("api"))?;
    stream.set_read_timeout(Some(SOON))?;
    writeln!(stream, "{command}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The line of a server in `show servers state`, by words: address 4, operation 5, admin 6, weight 7.
fn server(stage: &Stage, proxy: &str, name: &str) -> Result<Vec<String>> {
    let answer = api(stage, "show servers state")?;
    let line = answer.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    line.into_iter()
        .find(|words| {
            words.get(1).is_some_and(|one| one == proxy) && words.get(3).is_some_and(|one| one == name)
        })
        .with_context(|| format!("no server {proxy}/{name}: {answer}"))
}

/// Waits until both dead servers are known to be.
fn wait_until_down(stage: &Stage) -> Result<()> {
    eventually_because(SOON, "the dead servers to be down", || {
        for proxy in ["f4", "f6"] {
            let words = server(stage, proxy, "dead")?;
            ensure!(words[5] == "0", "{proxy}: {words:?}");
        }
        Ok(())
    })
}

fn load(stage: &Stage, rate: f64) -> Result<RunningLoad> {
    let plan = stage.load(rate, Duration::from_mins(2)).expecting(Expect::Anything);
    clearway_lab::load::start(&stage.hosts.client, plan)
}

fn reload(stage: &Stage) -> Result<String> {
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    Ok(said(&output))
}

fn a_server_that_is_down_gets_no_client_after_a_reload() -> Result<()> {
    let stage = Stage::new("crreload")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let mut balancer = stage.start()?;
    wait_until_down(&stage)?;
    let load = load(&stage, 400.0)?;
    for _ in 0..8 {
        let answer = reload(&stage)?;
        ensure!(answer.contains("carried over: f4/dead: down, f6/dead: down"), "{answer}");
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    let carried = balancer.wait_for_event(0, "generation.carried", &[("generation", &2)], SOON)?;
    ensure!(carried["set"].to_string().contains("f4/dead: down"), "{carried}");
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("carried over: f4/dead: down, f6/dead: down"), "{status}");
    let info = api(&stage, "show info")?;
    ensure!(info.contains("ConnRateLimit: 0\n") && info.contains("SessRateLimit: 0\n"), "{info}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_same_with_each_strategy() -> Result<()> {
    for strategy in available(["reuseport", "syn-drop", "plug", "tableflip", "auto"]) {
        let stage = Stage::new(&format!("cr{}", &strategy[..4]))?;
        stage.write(&one_is_dead(&stage, ""))?;
        let mut balancer = stage.start_with(&[], &[(STRATEGY, strategy)])?;
        wait_until_down(&stage)?;
        let load = load(&stage, 200.0)?;
        for _ in 0..3 {
            let answer = reload(&stage)?;
            ensure!(answer.contains("carried over: f4/dead: down"), "{strategy}: {answer}");
        }
        assert_no_client_lost(&load.finish_after(100)?).context(strategy)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

/// The worker of the only generation.
fn worker(balancer: &Balancer) -> Result<u32> {
    eventually(SOON, "a worker", || {
        let masters = children(balancer.pid());
        let [master] = masters[..] else { return None };
        children(master).first().copied()
    })
}

/// Waits until Clearway has asked for the state since.
fn wait_until_known(balancer: &Balancer) -> Result<()> {
    // It says so at `debug`.
    let from = balancer.log_position()?;
    balancer.wait_for_log(from, "the state of 4 servers is known", SOON)?;
    Ok(())
}

const DEBUG: (&str, &str) = ("CLEARWAY_LOG", "json,debug");

fn a_server_that_is_down_gets_no_client_after_a_crash() -> Result<()> {
    let stage = Stage::new("crcrash")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let mut balancer = stage.start_with(&[], &[DEBUG])?;
    wait_until_down(&stage)?;
    wait_until_known(&balancer)?;
    let load = load(&stage, 200.0)?;
    let from = balancer.log_position()?;
    balancer.kill_descendant(worker(&balancer)?)?;
    let carried = balancer.wait_for_event(from, "generation.carried", &[], SOON)?;
    ensure!(carried["set"] == json!(["f4/dead: down", "f6/dead: down"]), "{carried}");
    ensure!(carried["age_seconds"].is_number(), "its age: {carried}");
    balancer.wait_for_event(from, "generation.serving", &[], SOON)?;
    let report = load.finish_after(300)?;
    // The next crash is known of, too.
    wait_until_known(&balancer)?;
    // What the killed one had accepted; nothing else. Afterwards half of the clients would be lost for two seconds.
    assert_only_accepted_ones_lost(&report, 1)?;
    ensure!(report.total.failed() <= 3, "more than what it had accepted: {report}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_server_that_is_down_gets_no_client_after_a_takeover() -> Result<()> {
    let stage = Stage::new("crtake")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_down(&stage)?;
    api(&stage, "set server f4/dead weight 7")?;
    let load = load(&stage, 200.0)?;
    for _ in 0..3 {
        let second = stage.launch(&[], &[NAMED])?;
        second.wait_for_event(0, "servers.inherited", &[("servers", &4)], SOON)?;
        second.wait_for_log(0, "f4/dead: weight 7", SOON)?;
        second.wait_for_event(0, "generation.serving", &[], SOON)?;
        first.wait_for_event(0, "takeover.settled", &[], SOON)?;
        let mut former = std::mem::replace(&mut first, second);
        assert_code(former.wait_exit(SOON)?, 0)?;
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_server_that_is_down_gets_no_client_after_a_loss_with_a_holder() -> Result<()> {
    let stage = Stage::new("crhold")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    holder.wait_for_log(0, "keeping 3 listening sockets", SOON)?;
    wait_until_down(&stage)?;
    eventually_because(SOON, "the holder to know it", || {
        let log = holder.stderr()?;
        ensure!(log.contains("2 of 4 servers of a balancer are down"), "{log}");
        Ok(())
    })?;
    let from = holder.log_position()?;
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    holder.wait_for_event(from, "hold.lost", &[], SOON)?;
    // HAProxy dies a moment later, with a client that it has accepted.
    eventually(SOON, "the end of HAProxy", || {
        let left = processes_in(&stage.hosts.balancer).ok()?;
        (!left.iter().any(|(_, command)| command.contains("haproxy -"))).then_some(())
    })?;
    let load = load(&stage, 100.0)?;
    let mut next = stage.launch(&[], &[NAMED])?;
    let carried = next.wait_for_event(0, "generation.carried", &[], SOON)?;
    ensure!(carried["set"] == json!(["f4/dead: down", "f6/dead: down"]), "{carried}");
    next.wait_for_event(0, "generation.serving", &[], SOON)?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    assert_code(next.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}

fn what_was_set_at_run_time_survives() -> Result<()> {
    let stage = Stage::new("crset")?;
    // All that a name may have.
    let odd = "    server a.b:c-d_E 192.0.2.1:80 check port 81 weight 9\n    \
               server drained 192.0.2.2:80\n    server moved 192.0.2.3:80\n    \
               server agent 192.0.2.4:80 agent-check agent-port 9 agent-inter 1h\n    \
               server off 192.0.2.5:80 disabled\n    \
               server six [2001:db8::6]:80 check inter 1h agent-check agent-port 9 agent-inter 1h\n";
    stage.write(&(one_is_dead(&stage, "") + "backend odd.b:a-c_k\n" + odd))?;
    let mut balancer = stage.start()?;
    let backend = "odd.b:a-c_k";
    for command in [
        "set server odd.b:a-c_k/a.b:c-d_E state maint",
        "set server odd.b:a-c_k/a.b:c-d_E check-port 82",
        "set server odd.b:a-c_k/drained state drain",
        "set server odd.b:a-c_k/drained weight 0",
        "set server odd.b:a-c_k/moved addr 192.0.2.33 port 8080",
        "set server odd.b:a-c_k/agent agent-addr 192.0.2.44",
        "set server odd.b:a-c_k/off state ready",
        "set server odd.b:a-c_k/six agent-addr 2001:db8::44 port 10",
        "set server odd.b:a-c_k/six check-addr 2001:db8::45 port 11",
        "set server odd.b:a-c_k/six addr 2001:db8::46 port 12",
        "disable health odd.b:a-c_k/six",
        "disable agent odd.b:a-c_k/six",
        "disable agent odd.b:a-c_k/agent",
        "disable health odd.b:a-c_k/a.b:c-d_E",
    ] {
        let answer = api(&stage, command)?;
        ensure!(!answer.contains("No such") && !answer.contains("nknown"), "`{command}`: {answer}");
    }
    let volatile = |mut words: Vec<String>| {
        // Since when it is so, and what the last check was.
        for place in [9, 10, 11] {
            words[place].clear();
        }
        words
    };
    let names = ["a.b:c-d_E", "drained", "moved", "agent", "off", "six"];
    let all = || {
        names.into_iter().map(|name| server(&stage, backend, name).map(volatile)).collect::<Result<Vec<_>>>()
    };
    let before = all()?;
    for _ in 0..2 {
        let answer = reload(&stage)?;
        ensure!(!answer.contains("not carried over"), "{answer}");
        let after = all()?;
        ensure!(before == after, "before and after:\n{before:#?}\n{after:#?}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_the_file_says_now_wins_and_is_named() -> Result<()> {
    let stage = Stage::new("crfile")?;
    let more = |servers: &str| one_is_dead(&stage, "") + "backend b\n" + servers;
    stage.write(&more(
        "    server w 192.0.2.1:80 weight 9\n    server a 192.0.2.2:80\n    server gone 192.0.2.3:80\n",
    ))?;
    let mut balancer = stage.start()?;
    wait_until_down(&stage)?;
    api(&stage, "set server b/w weight 3")?;
    api(&stage, "set server b/a addr 192.0.2.22 port 80")?;
    api(&stage, "add server b/more 192.0.2.9:80")?;
    let file = more("    server w 192.0.2.1:80 weight 5\n    server a 192.0.2.4:80\n");
    stage.write(&file.replace("listen f6\n", "listen f6\n    option tcp-check\n"))?;
    let answer = reload(&stage)?;
    ensure!(server(&stage, "b", "w")?[7] == "5", "the weight of the file");
    ensure!(server(&stage, "b", "a")?[4] == "192.0.2.4", "the address of the file");
    for left in [
        "b/w: weight 3, and the file says something else now",
        "b/a: address 192.0.2.22 port 80, and the file says something else now",
        "f6/dead: down, and the file says something else now",
        "b/more: added at run time, and not in the new file",
    ] {
        ensure!(answer.contains(left), "`{left}` is missing: {answer}");
    }
    ensure!(answer.contains("carried over: f4/dead: down;"), "{answer}");
    balancer.wait_for_log(0, "b/more: added at run time", SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The name, and where it leads: the new generation would have to ask for that first. It goes on following the name.
fn a_name_that_was_set_survives_with_its_address() -> Result<()> {
    let stage = Stage::new("crname")?;
    let names = Names::start(&stage.hosts.balancer)?;
    let [first, second, third] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
    names.set("a.lab", &[first]);
    names.set("b.lab", &[second]);
    let more = format!(
        "resolvers lab\n    nameserver n {}\n    hold valid 1s\n    timeout resolve 1s\n    timeout retry 1s\n\
         backend b\n    server s a.lab:80 resolvers lab resolve-prefer ipv4 init-addr none\n",
        names.address()
    );
    stage.write(&(one_is_dead(&stage, "") + &more))?;
    let mut balancer = stage.start()?;
    let leads = |to: IpAddr| {
        eventually_because(SOON, "the name to be known", || {
            let words = server(&stage, "b", "s")?;
            ensure!(words[4] == to.to_string(), "{words:?}");
            Ok(())
        })
    };
    leads(first)?;
    api(&stage, "set server b/s fqdn b.lab")?;
    leads(second)?;
    // HAProxy changes the address of a server only once it has one: the second time its name server takes longer than the rest.
    for pause_ms in [0, 150] {
        names.wait_before_answers(Duration::from_millis(pause_ms));
        let answer = reload(&stage)?;
        ensure!(answer.contains("b/s: name b.lab, b/s: address 192.0.2.2 port 80"), "{answer}");
        let words = server(&stage, "b", "s")?;
        ensure!(words[4] == "192.0.2.2" && words[17] == "b.lab", "{words:?}");
    }
    names.wait_before_answers(Duration::ZERO);
    names.set("b.lab", &[third]);
    leads(third)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// HAProxy has it since 3.1.
fn init_state_in_the_file_says_how_a_server_begins() -> Result<()> {
    let stage = Stage::new("crinit")?;
    if stage.clearway(&["-cc", "version_atleast(3.1)"])?.status.code() != Some(0) {
        return Err(CannotRun("this HAProxy has no `init-state`".to_owned()).into());
    }
    let alive = SocketAddr::new(stage.hosts.servers(Family::V4)[0], PORT);
    // Nothing but what is set changes their state for an hour.
    let check = format!("{alive} check inter 1h");
    let servers = format!("    server plain {check}\n    server init {check} init-state up\n");
    stage.write(&(one_is_dead(&stage, "") + "backend b\n" + &servers))?;
    let mut balancer = stage.start()?;
    for name in ["plain", "init"] {
        api(&stage, &format!("set server b/{name} health down"))?;
        ensure!(server(&stage, "b", name)?[5] == "0", "{name} is not down");
    }
    let answer = reload(&stage)?;
    ensure!(answer.contains("b/plain: down") && !answer.contains("b/init"), "{answer}");
    ensure!(server(&stage, "b", "plain")?[5] == "0", "the state of before counts");
    ensure!(server(&stage, "b", "init")?[5] == "2", "the file counts");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_server_that_comes_back_is_raised_by_the_next_generation() -> Result<()> {
    let stage = Stage::new("crback")?;
    stage.write(&one_is_dead(&stage, "").replace("inter 2s", "inter 200ms"))?;
    let mut balancer = stage.start()?;
    wait_until_down(&stage)?;
    reload(&stage)?;
    ensure!(server(&stage, "f4", "dead")?[5] == "0", "it was carried over");
    let _server = stage.hosts.start_servers(DEAD, clearway_lab::server::Mode::Line)?;
    eventually_because(SOON, "it to be up again", || {
        let words = server(&stage, "f4", "dead")?;
        ensure!(words[5] == "2", "{words:?}");
        Ok(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn off_is_as_haproxy_does_it() -> Result<()> {
    let stage = Stage::new("croff")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_CARRY", "off")])?;
    wait_until_down(&stage)?;
    api(&stage, "set server f4/alive weight 7")?;
    let load = load(&stage, 400.0)?;
    let answer = reload(&stage)?;
    ensure!(!answer.contains("carried"), "{answer}");
    load.settle()?;
    let report = load.finish_after(1000)?;
    ensure!(
        report.total.failed() > 0,
        "the dead server got no client although nothing was carried: {report}"
    );
    ensure!(server(&stage, "f4", "alive")?[7] == "1", "it was carried over");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// What keeps the new one from accepting must not touch the limits of the file.
fn limits_of_the_users_own_are_left_alone() -> Result<()> {
    let stage = Stage::new("crlimit")?;
    for limits in
        ["    maxconnrate 5000\n", "    maxsessrate 5000\n", "    maxconnrate 5000\n    maxsessrate 6000\n"]
    {
        stage.write(&one_is_dead(&stage, "").replacen("global\n", &format!("global\n{limits}"), 1))?;
        let mut balancer = stage.start()?;
        let info = || -> Result<Vec<String>> {
            let info = api(&stage, "show info")?;
            Ok(info.lines().filter(|line| line.contains("RateLimit:")).map(str::to_owned).collect())
        };
        wait_until_down(&stage)?;
        let before = info()?;
        let answer = reload(&stage)?;
        ensure!(answer.contains("carried over: f4/dead: down"), "{answer}");
        ensure!(info()? == before, "{before:?} and {:?}", info()?);
        ensure!(
            !balancer.stderr()?.contains("already specified"),
            "HAProxy complains: {}",
            balancer.stderr()?
        );
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}

fn thousands_of_servers_are_carried() -> Result<()> {
    let stage = Stage::new("crmany")?;
    let mut servers = String::new();
    for number in 0..3000 {
        let _ = writeln!(servers, "    server s{number} 192.0.2.{}:80", number % 250 + 1);
    }
    stage.write(&(one_is_dead(&stage, "") + "backend many\n" + &servers))?;
    let mut balancer = stage.start()?;
    wait_until_down(&stage)?;
    let set: Vec<String> =
        (0..3000).step_by(3).map(|number| format!("set server many/s{number} state maint")).collect();
    for some in set.chunks(100) {
        api(&stage, &some.join("; "))?;
    }
    let answer = reload(&stage)?;
    ensure!(answer.contains(" and 994 more"), "{answer}");
    let answer = api(&stage, "show servers state many")?;
    let maintained = answer.lines().filter(|line| line.split_whitespace().nth(6) == Some("1")).count();
    ensure!(maintained == 1000, "{maintained} servers are in maintenance");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The former one hangs: the last known state is used. Nothing waits in the loop, and the reload comes.
fn an_api_that_does_not_answer_costs_no_reload() -> Result<()> {
    let stage = Stage::new("crhang")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let mut balancer = stage.start_with(&[], &[DEBUG])?;
    wait_until_down(&stage)?;
    wait_until_known(&balancer)?;
    let hanging = worker(&balancer)?;
    signal(hanging, Signal::STOP)?;
    let answer = reload(&stage)?;
    ensure!(answer.contains("carried over: f4/dead: down, f6/dead: down (as known "), "{answer}");
    signal(hanging, Signal::CONT)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The same line as before, in a backend that takes no weights at run time any more.
fn what_haproxy_refuses_is_named() -> Result<()> {
    let stage = Stage::new("crrefuse")?;
    let backend = "backend b\n    balance roundrobin\n    server w 192.0.2.1:80 weight 9\n";
    stage.write(&(one_is_dead(&stage, "") + backend))?;
    let mut balancer = stage.start()?;
    wait_until_down(&stage)?;
    api(&stage, "set server b/w weight 3")?;
    stage.write(&(one_is_dead(&stage, "") + &backend.replace("roundrobin", "static-rr")))?;
    let answer = reload(&stage)?;
    ensure!(
        answer.contains("not carried over: b/w: weight 3: HAProxy said `Backend is using a static"),
        "{answer}"
    );
    ensure!(answer.contains("carried over: f4/dead: down, f6/dead: down;"), "{answer}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// It has answered, and then does not any more: it is not committed, since nothing would let it accept clients. The
/// loop does not wait for it.
fn a_new_one_that_hangs_is_refused_and_the_former_one_serves() -> Result<()> {
    let stage = Stage::new("crnew")?;
    stage.write(&one_is_dead(&stage, ""))?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    wait_until_down(&stage)?;
    let former = children(balancer.pid());
    // The client that passes the gate may be with the process that is stopped, which does not answer.
    let plan = stage.load(100.0, Duration::from_mins(2)).expecting(Expect::Anything);
    let plan = plan.patient_for(Duration::from_secs(30));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    steps.stop_at("does Carry");
    let output = std::thread::scope(|scope| -> Result<_> {
        let reload = scope.spawn(|| stage.clearway(&["reload"]));
        steps.wait()?;
        let master =
            children(balancer.pid()).into_iter().find(|pid| !former.contains(pid)).context("a master")?;
        let worker = children(master).first().copied().context("a worker")?;
        signal(worker, Signal::STOP)?;
        steps.go_on();
        let status = said(&stage.clearway(&["status"])?);
        ensure!(status.contains("generation 1 serving"), "{status}");
        let output = reload.join().map_err(|_| anyhow::anyhow!("the reload panicked"))?;
        signal(worker, Signal::CONT)?;
        output
    })?;
    assert_code(output.status, 74)?;
    ensure!(
        complained(&output).contains("letting the new HAProxy accept clients"),
        "{}",
        complained(&output)
    );
    reload(&stage)?;
    // What it had accepted before it was stopped has waited for it.
    assert_no_client_lost(&load.finish_after(100)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
