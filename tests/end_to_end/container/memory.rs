//! A memory limit: where a reload does not fit, the reload fails and nothing else; where HAProxy itself grows beyond
//! it, the kernel kills HAProxy and not Clearway, which has the sockets.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, ensure};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;

use super::bridge::Bridge;
use super::engine::engine;
use super::rig::assert_said;
use crate::stage::{CannotRun, SOON, assert_only_accepted_ones_lost};

crate::tests![
    a_reload_beyond_the_memory_limit_costs_the_new_generation_only,
    an_out_of_memory_kill_of_haproxy_refuses_no_client,
];

/// Servers enough for a worker of some 48 MiB, taken at once: a limit of 64 MiB has room for one and not for two.
/// The one that serves is by far the largest process when the memory runs out.
const MANY_SERVERS: &str = "backend many\n    server-template s 9000 127.0.0.1:1\n";

const LIMIT: [&str; 2] = ["--memory=64m", "--memory-swap=64m"];

/// Requests with bodies that HAProxy keeps, of 900 kB each.
const GREEDY: &str = "global\n    tune.bufsize 1048576\n\
    listen greedy\n    mode http\n    bind :81\n    option http-buffer-request\n    timeout client 1h\n\
    timeout http-request 1h\n    http-request return status 200\n";

/// More than the limit has room for.
const REQUESTS: usize = 120;

pub fn limited() -> Result<()> {
    if engine()?.info("{{.MemoryLimit}}")? != "true" {
        return Err(CannotRun("the engine cannot limit memory".to_owned()).into());
    }
    Ok(())
}

/// A request that HAProxy waits for the end of.
fn unfinished_request(to: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")?;
    stream.write_all(&vec![b'x'; 900_000])?;
    Ok(stream)
}

fn an_out_of_memory_kill_of_haproxy_refuses_no_client() -> Result<()> {
    limited()?;
    let bridge = Bridge::new("oom")?;
    bridge.write(GREEDY, "")?;
    let mut container = bridge.start(&LIMIT)?;
    let front = Bridge::front(&container)?;
    let load = bridge.load(&container)?;
    let mut requests = Vec::new();
    for _ in 0..REQUESTS {
        // It ends in the middle of one of them.
        let Ok(request) = unfinished_request(SocketAddr::new(front.ip(), 81)) else { break };
        requests.push(request);
    }
    let crash = container.wait_for_event(0, "generation.crashed", &[("generation", &1)], SOON)?;
    ensure!(crash["how"].to_string().contains("out of memory: the limit is 64 MiB"), "{crash}");
    drop(requests);
    container.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let done = load.progress().0;
    eventually(SOON, "connections afterwards", || (load.progress().0 > done + 100).then_some(()))?;
    assert_only_accepted_ones_lost(&load.finish_after(100)?, 1)?;
    let state = container.state()?;
    ensure!(state.running, "the container has ended: {}", container.log_for_people());
    ensure!(container.stop(300)? == 0, "{}", container.log_for_people());
    Ok(())
}

fn a_reload_beyond_the_memory_limit_costs_the_new_generation_only() -> Result<()> {
    limited()?;
    let bridge = Bridge::new("memory")?;
    bridge.write(MANY_SERVERS, "")?;
    let mut container = bridge.start(&LIMIT)?;
    let mut session = Session::open(&bridge.host, Bridge::front(&container)?, None)?;
    for generation in 2..5 {
        let position = container.log_position()?;
        container.signal("HUP")?;
        let failed: [(&str, &dyn std::fmt::Display); 2] = [("generation", &generation), ("serving", &1)];
        let failure = container.wait_for_event(position, "generation.failed", &failed, SOON)?;
        let [error, hints] = ["error", "hints"].map(|field| failure[field].to_string());
        ensure!(error.contains("of the limit of 64 MiB") && hints.contains("`--memory`"), "{failure}");
        let state = session.beat();
        ensure!(state == State::Alive, "the session: {state:?}; {}", container.log_for_people());
    }
    ensure!(container.state()?.running, "the container has ended: {}", container.log_for_people());
    let status = assert_said(&container.exec(&["clearway", "status"])?, 0)?;
    ensure!(status.contains("generation 1 serving"), "{status}");
    Bridge::assert_serving(&mut container)?;
    bridge.write("", "")?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    ensure!(session.close() == State::Closed, "the session was not closed properly");
    ensure!(container.stop(300)? == 0, "{}", container.log_for_people());
    Ok(())
}
