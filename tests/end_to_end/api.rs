//! The API (`CLEARWAY_ADMIN`): each path, over a Unix socket and over TCP; which clients are let in; what passes to another
//! Clearway.

pub mod described;
pub mod guarded;
pub mod http;

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::{listeners, ss};
use clearway_lab::session::Session;
use clearway_lab::wait::eventually;
use rustix::process::{Signal, Uid};

use crate::stage::{SOON, Stage, assert_code, complained, signal};
use crate::takeover::NAMED;
use http::At;

crate::tests![
    every_path_answers,
    a_reload_a_trial_and_a_stop_are_asked_for_by_post,
    a_stop_that_was_requested_ends_readiness_and_not_health,
    the_canary_is_asked_by_post,
    a_path_lets_in_us_alone_and_with_a_mode_the_users_that_it_names,
    nothing_listens_without_the_setting,
    an_address_that_is_in_use_is_said_and_tried_again,
    another_clearway_gets_the_address_with_the_sockets,
    one_that_is_given_the_sockets_back_listens_again,
];

const ADMIN: &str = "CLEARWAY_ADMIN";
const PORT: u16 = 9100;
const LOOPBACK: (&str, &str) = (ADMIN, "127.0.0.1:9100 [::1]:9100");

/// A Clearway with an API at a path.
fn at_path(stage: &Stage) -> Result<(Balancer, At<'static>)> {
    stage.write(&stage.plain())?;
    let path = stage.path("api.sock");
    let balancer = stage.start_with(&[], &[(ADMIN, &path.display().to_string())])?;
    eventually(SOON, "the API to listen", || path.exists().then_some(()))?;
    Ok((balancer, At::Path(path)))
}

/// Waits until it answers there.
fn wait_for(at: &At<'_>) -> Result<()> {
    eventually(SOON, "the API to answer", || at.get("/healthz").ok().filter(|reply| reply.status == 200))
        .map(drop)
}

/// The Clearway that answers there.
fn pid_at(at: &At<'_>) -> Option<u64> {
    at.json("/v1/status").ok()?["pid"].as_u64()
}

fn every_path_answers() -> Result<()> {
    let stage = Stage::new("api")?;
    let (mut balancer, at) = at_path(&stage)?;
    ensure!(at.get("/healthz")?.body == "alive\n");
    let ready = at.get("/readyz")?;
    ensure!(ready.status == 200 && ready.body == "serving\n", "{ready:?}");
    let metrics = at.get("/metrics")?;
    ensure!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    ensure!(metrics.body.contains("\nclearway_ready 1\n"), "{}", metrics.body);
    let open = at.ask("GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n")?;
    ensure!(open.body.ends_with("# EOF\n"), "{}", open.body);

    let status = at.json("/v1/status")?;
    ensure!(status["state"] == "serving" && status["pid"] == balancer.pid(), "{status}");
    let generations = at.json("/v1/generations")?;
    let one = &generations["generations"][0];
    ensure!(one["generation"] == 1 && one["state"] == "serving" && one["sessions"].is_u64(), "{generations}");
    let sockets = at.json("/v1/sockets")?;
    let listed = sockets["sockets"].as_array().context("no sockets")?;
    ensure!(listed.len() == 2, "{sockets}");
    for (socket, front) in listed.iter().zip(stage.fronts()) {
        ensure!(socket["address"].as_str().is_some_and(|text| text.contains(&front.to_string())), "{socket}");
        ensure!(socket["waiting"] == 0 && socket["limit"].as_u64() > Some(0), "{socket}");
    }
    let servers = at.json("/v1/servers")?;
    let listed = servers["servers"].as_array().context("no servers")?;
    ensure!(listed.len() == 2 && servers["age_seconds"].is_null() && servers["left_out"] == 0, "{servers}");
    for (server, backend) in listed.iter().zip(["f0", "f1"]) {
        ensure!(
            server["backend"] == backend && server["name"] == "s" && server["health"] == "up",
            "{server}"
        );
        ensure!(
            server["admin"] == "ready" && server["checked"].is_null() && server["weight"] == 1,
            "{server}"
        );
        ensure!(server["transparent"] == false && server["canary"].is_null(), "{server}");
        let line = server["line"].as_str().context("no line")?;
        ensure!(line.starts_with(&format!("{}:", stage.file().display())), "{line}");
    }
    let reloads = at.json("/v1/reloads")?;
    ensure!(reloads["reloads"][0]["event"] == "start", "{reloads}");
    let described = at.json("/openapi.json")?;
    ensure!(described["openapi"] == "3.1.0", "{}", described["openapi"]);
    for (path, item) in described["paths"].as_object().context("no paths")? {
        let method = if item["get"].is_object() { "POST" } else { "GET" };
        let other = at.assert_status(method, path, "X-Clearway: 1\r\n", 405)?;
        ensure!(other.head.contains("\r\nallow: ") && !other.body.is_empty(), "{other:?}");
    }
    for head in [&metrics.head, &ready.head] {
        ensure!(head.contains("cache-control: no-store") && !head.contains("access-control"), "{head}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(!stage.path("api.sock").exists(), "the socket was left");
    stage.assert_clean()
}

fn a_reload_a_trial_and_a_stop_are_asked_for_by_post() -> Result<()> {
    let stage = Stage::new("apipost")?;
    let (mut balancer, at) = at_path(&stage)?;
    let tried = at.post("/v1/reload?dry-run")?;
    ensure!(tried.status == 200 && tried.json()?["result"] == "tried", "{tried:?}");
    ensure!(at.json("/v1/generations")?["generations"].as_array().map(Vec::len) == Some(1));
    let reloaded = at.post("/v1/reload")?;
    let told = reloaded.json()?;
    ensure!(reloaded.status == 200 && told["result"] == "serving" && told["adopted"] == 2, "{told}");
    stage.write("nonsense\n")?;
    for path in ["/v1/reload", "/v1/reload?dry-run=true"] {
        let refused = at.post(path)?;
        let told = refused.json()?;
        ensure!(refused.status == 409 && told["result"] == "refused" && told["code"] == 65, "{told}");
        ensure!(told["words"].to_string().contains("nonsense"), "HAProxy's words: {told}");
    }
    // What is not understood is not done.
    for path in ["/v1/reload?dryrun", "/v1/reload?dry-run=maybe", "/v1/drain?until=later", "/v1/canary?x"] {
        at.assert_status("POST", path, "X-Clearway: 1\r\n", 400)?;
    }
    at.assert_status("POST", "/v1/reload", "X-Clearway: 1\r\nContent-Length: 2\r\n\r\n{}", 400)?;
    let ended = at.post("/v1/drain?until=ended")?;
    ensure!(ended.status == 200 && ended.json()?["code"] == 0, "{ended:?}");
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

fn a_stop_that_was_requested_ends_readiness_and_not_health() -> Result<()> {
    let stage = Stage::new("apidelay")?;
    stage.write(&stage.plain())?;
    let path = stage.path("api.sock");
    let named = path.display().to_string();
    let mut balancer = stage.start_with(&[], &[(ADMIN, named.as_str()), ("CLEARWAY_STOP_DELAY", "1h")])?;
    let at = At::Path(path);
    wait_for(&at)?;
    let asked = at.post("/v1/drain")?;
    ensure!(asked.status == 202 && asked.body.is_empty(), "{asked:?}");
    let ready = eventually(SOON, "it not to be ready", || {
        at.get("/readyz").ok().filter(|reply| reply.status == 503)
    })?;
    ensure!(ready.body == "stopping: a stop was requested\n", "{ready:?}");
    ensure!(at.get("/healthz")?.status == 200);
    // The second request does not wait.
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_canary_is_asked_by_post() -> Result<()> {
    let stage = Stage::new("apicanary")?;
    stage.write(&stage.transparent())?;
    let path = stage.path("api.sock");
    let mut balancer = stage.start_with(&[], &[(ADMIN, &path.display().to_string())])?;
    let at = At::Path(path);
    wait_for(&at)?;
    let verdict = || {
        let servers = at.json("/v1/servers").ok()?;
        let verdicts = servers["servers"].as_array()?.iter().map(|one| one["canary"]["verdict"].clone());
        Some(verdicts.collect::<Vec<_>>())
            .filter(|all| all.len() == 2 && all.iter().all(|one| one == "works"))
    };
    eventually(SOON, "both servers to have a verdict", verdict)?;
    let servers = at.json("/v1/servers")?;
    ensure!(servers["servers"][0]["transparent"] == true, "{servers}");
    let asked = at.post("/v1/canary")?;
    ensure!(asked.status == 202 && asked.json()?["servers"] == 2, "{asked:?}");
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let refused = eventually(SOON, "nothing to be asked", || {
        at.post("/v1/canary").ok().filter(|one| one.status == 409)
    })?;
    ensure!(refused.json()?["result"] == "refused", "{refused:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Whether a process of another user is answered there.
fn is_let_in(path: &Path) -> Result<bool> {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| -> Result<bool> {
            rustix::thread::set_thread_uid(Uid::from_raw(65534))?;
            let Ok(stream) = UnixStream::connect(path) else { return Ok(false) };
            drop(stream);
            Ok(At::Path(path.to_owned()).get("/healthz").is_ok_and(|reply| reply.status == 200))
        });
        asked.join().map_err(|_| anyhow::anyhow!("asking as another user"))?
    })
}

fn a_path_lets_in_us_alone_and_with_a_mode_the_users_that_it_names() -> Result<()> {
    let stage = Stage::new("apimode")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    let path = |name: &str| stage.path(name).display().to_string();
    let addresses = format!(
        "{} {},mode=666 {},mode=640,user=65534,group=4711 {},group=4711",
        path("ours"),
        path("all"),
        path("theirs"),
        path("group")
    );
    let mut balancer = stage.start_with(&[], &[(ADMIN, &addresses)])?;
    for (name, mode, user, group, others) in [
        ("ours", 0o600, 0, 0, false),
        ("all", 0o666, 0, 0, true),
        ("theirs", 0o640, 65534, 4711, true),
        ("group", 0o660, 0, 4711, false),
    ] {
        wait_for(&At::Path(stage.path(name)))?;
        let file = stage.path(name).metadata()?;
        ensure!((file.mode() & 0o7777, file.uid(), file.gid()) == (mode, user, group), "{name}: {file:?}");
        ensure!(is_let_in(&stage.path(name))? == others, "{name}: {others}");
    }
    // A file that others may open is no way in where no mode was named.
    std::fs::set_permissions(stage.path("ours"), std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    ensure!(!is_let_in(&stage.path("ours"))?, "a stranger was answered");
    balancer.wait_for_event(0, "api.foreign", &[("uid", &65534)], SOON)?;
    ensure!(pid_at(&At::Path(stage.path("ours"))).is_some(), "we are not let in any more");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn nothing_listens_without_the_setting() -> Result<()> {
    let stage = Stage::new("apioff")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut tcp: Vec<String> = listeners(&stage.hosts.balancer)?.into_iter().map(|(at, _)| at).collect();
    tcp.sort();
    let mut wanted = stage.fronts().map(|front| front.to_string()).to_vec();
    wanted.sort();
    ensure!(tcp == wanted, "{tcp:?} listen, and not {wanted:?}");
    let unix = ss(&stage.hosts.balancer, &["-xlnp"])?;
    let ours = format!("pid={},", balancer.pid());
    let unix: Vec<&String> = unix.iter().filter(|line| line.contains(&ours)).collect();
    ensure!(unix.len() == 1 && unix[0].contains(&stage.run_directory()), "{unix:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn an_address_that_is_in_use_is_said_and_tried_again() -> Result<()> {
    let stage = Stage::new("apiused")?;
    stage.write(&stage.plain())?;
    let held = stage.hosts.balancer.enter(|| TcpListener::bind(("127.0.0.1", PORT)))??;
    let path = stage.path("api.sock");
    let other = std::os::unix::net::UnixListener::bind(&path)?;
    let addresses = format!("127.0.0.1:{PORT} {} [::1]:{PORT}", path.display());
    let mut balancer = stage.start_with(&[], &[(ADMIN, &addresses)])?;
    let said = balancer.wait_for_event(
        0,
        "api.not-listening",
        &[("address", &format!("127.0.0.1:{PORT}"))],
        SOON,
    )?;
    ensure!(said.to_string().contains("os error 98"), "{said}");
    balancer.wait_for_event(0, "api.not-listening", &[("address", &path.display())], SOON)?;
    // All else goes on.
    let v6 = At::Tcp(&stage.hosts.balancer, format!("[::1]:{PORT}").parse()?);
    wait_for(&v6)?;
    let reload = stage.clearway(&["reload"])?;
    assert_code(reload.status, 0).with_context(|| complained(&reload))?;
    ensure!(path.exists(), "the socket of another process was removed");
    drop((held, other));
    wait_for(&At::loopback(&stage, PORT))?;
    wait_for(&At::Path(path))?;
    ensure!(balancer.events("api.not-listening", &[])?.len() == 2, "it was said again and again");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn another_clearway_gets_the_address_with_the_sockets() -> Result<()> {
    let stage = Stage::new("apitake")?;
    stage.write(&stage.plain())?;
    let path = stage.path("api.sock");
    let addresses = format!("{} {}", LOOPBACK.1, path.display());
    let mut first = stage.start_with(&[], &[NAMED, (ADMIN, &addresses)])?;
    let (tcp, unix) = (At::loopback(&stage, PORT), At::Path(path));
    wait_for(&tcp)?;
    // So that the first one stays.
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = stage.launch(&[], &[NAMED, (ADMIN, &addresses)])?;
    for at in [&tcp, &unix] {
        eventually(SOON, "the second one to answer", || {
            pid_at(at).filter(|pid| *pid == u64::from(second.pid()))
        })?;
    }
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    ensure!(second.events("api.not-listening", &[])?.is_empty(), "that it waits for the first one was said");
    ensure!(pid_at(&tcp) == Some(u64::from(second.pid())));
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    // The end of the first one has taken nothing away.
    ensure!(pid_at(&unix) == Some(u64::from(second.pid())), "the socket file is gone");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_is_given_the_sockets_back_listens_again() -> Result<()> {
    let stage = Stage::new("apiback")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED, LOOPBACK])?;
    let at = At::loopback(&stage, PORT);
    wait_for(&at)?;
    let mut second = stage.launch(&[], &[NAMED, LOOPBACK])?;
    eventually(SOON, "the second one to answer", || {
        pid_at(&at).filter(|pid| *pid == u64::from(second.pid()))
    })?;
    signal(second.pid(), Signal::KILL)?;
    eventually(SOON, "the first one to answer again", || {
        pid_at(&at).filter(|pid| *pid == u64::from(first.pid()))
    })?;
    drop(second.wait_exit(SOON));
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
