//! Two balancers with shared addresses (keepalived): one is the servers' gateway and has the clients, the other waits
//! with everything in place.
//!
//! ```text
//!                      /-- 10.1.0.11  one  10.2.0.11 --\
//!   client 10.1.0.2 --+   10.1.0.1 <------> 10.2.0.1    +-- 10.2.0.2 server
//!                      \-- 10.1.0.12  two  10.2.0.12 --/
//! ```

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::load::{Ask, Expect, Plan, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::process::Process;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::{CannotRun, EVENTS, SOON, assert_code, assert_no_client_lost};

crate::tests![the_other_one_serves_when_the_addresses_move_and_back];

const PORT: u16 = 8080;
const FRONTS: [&str; 2] = ["10.1.0.1", "fd01::1"];

/// Four hosts on two switches.
struct Pair {
    _switch: Namespace,
    client: Namespace,
    balancers: [Namespace; 2],
    _server_process: Server,
    _server: Namespace,
    folder: TempDir,
}

/// A cable from a host to a switch, with addresses.
fn plug(switch: &Namespace, bridge: &str, host: &Namespace, name: &str, addresses: &[String]) -> Result<()> {
    let port = format!("{bridge}{}", host.name().rsplit('-').next().unwrap_or_default());
    host.ip(&["link", "add", name, "type", "veth", "peer", "name", &port, "netns", switch.name()])?;
    for address in addresses {
        let mut words = vec!["address", "add", address, "dev", name];
        if address.contains(':') {
            words.push("nodad");
        }
        host.ip(&words)?;
    }
    host.ip(&["link", "set", name, "up"])?;
    switch.ip(&["link", "set", &port, "master", bridge, "up"])?;
    Ok(())
}

impl Pair {
    fn raise(prefix: &str) -> Result<Self> {
        let host = |role: &str| Namespace::create(&format!("{prefix}-{role}"));
        let (switch, client, server) = (host("switch")?, host("cl")?, host("se")?);
        let balancers = [host("one")?, host("two")?];
        for bridge in ["front", "back"] {
            switch.ip(&["link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"])?;
            switch.ip(&["link", "set", bridge, "up"])?;
        }
        let net = |number: u8, host: u8| {
            vec![format!("10.{number}.0.{host}/24"), format!("fd0{number}::{host}/64")]
        };
        plug(&switch, "front", &client, "lan", &net(1, 2))?;
        plug(&switch, "back", &server, "lan", &net(2, 2))?;
        for (balancer, number) in balancers.iter().zip([11, 12]) {
            plug(&switch, "front", balancer, "clients", &net(1, number))?;
            plug(&switch, "back", balancer, "servers", &net(2, number))?;
        }
        for (host, number) in [(&client, 1), (&server, 2)] {
            host.ip(&["-4", "route", "add", "default", "via", &format!("10.{number}.0.1")])?;
            host.ip(&["-6", "route", "add", "default", "via", &format!("fd0{number}::1")])?;
        }
        let listen = ["10.2.0.2", "fd02::2"]
            .map(|address| address.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)));
        let listen = listen.into_iter().collect::<Result<Vec<_>, _>>()?;
        let server_process = Server::start(&server, "s", &listen, Mode::Line)?;
        let folder = tempfile::Builder::new().prefix("clearway-e2e-").tempdir()?;
        Ok(Self {
            _switch: switch,
            client,
            balancers,
            _server_process: server_process,
            _server: server,
            folder,
        })
    }

    fn fronts() -> Vec<SocketAddr> {
        FRONTS.iter().filter_map(|front| Some(SocketAddr::new(front.parse().ok()?, PORT))).collect()
    }

    /// Clearway on one of both, on addresses that it may not have.
    fn clearway(&self, number: usize) -> Result<Balancer> {
        let file = self.folder.path().join("haproxy.cfg");
        let text = "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
             listen f4\n bind 10.1.0.1:8080\n source 0.0.0.0 usesrc clientip\n server s 10.2.0.2:8080\n\
             listen f6\n bind [fd01::1]:8080 v6only\n source ipv6@ usesrc clientip\n server s [fd02::2]:8080\n";
        std::fs::write(&file, text)?;
        let directory = self.folder.path().join(format!("run{number}")).display().to_string();
        let variables = [("CLEARWAY_RUN_DIRECTORY", &*directory), EVENTS];
        let balancer = Balancer::start(&self.balancers[number], Kind::Clearway, &file, &[], &variables)?;
        balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
        Ok(balancer)
    }

    /// keepalived on one of both. The sync group moves the addresses of both sides together.
    fn keepalived(&self, number: usize) -> Result<Process> {
        let priority = 150 - 50 * number;
        let instance = |name: &str, interface: &str, net: u8, id: u8| {
            format!(
                "vrrp_instance {name} {{\n interface {interface}\n virtual_router_id {id}\n priority {priority}\n \
                 advert_int 0.3\n virtual_ipaddress {{\n 10.{net}.0.1/24\n }}\n virtual_ipaddress_excluded {{\n \
                 fd0{net}::1/64\n }}\n}}\n"
            )
        };
        let text = format!(
            "global_defs {{\n vrrp_version 3\n router_id r{number}\n}}\n\
             vrrp_sync_group both {{\n group {{\n front\n back\n }}\n}}\n{}{}",
            instance("front", "clients", 1, 51),
            instance("back", "servers", 2, 52),
        );
        let path = |name: &str| self.folder.path().join(format!("{name}{number}")).display().to_string();
        std::fs::write(path("keepalived"), text)?;
        let host = &self.balancers[number];
        let mut command: Command = host.command("/usr/sbin/keepalived");
        command.args(["--vrrp", "--dont-fork", "--log-console"]);
        command.args(["--use-file", &path("keepalived"), "--pid", &path("pid"), "--vrrp_pid", &path("vrrp")]);
        command.stdout(std::fs::File::create(path("log"))?).stderr(std::fs::File::create(path("err"))?);
        host.spawn(command)
    }

    /// Waits until both families are answered by way of this one.
    fn wait_until_it_has_them(&self, number: usize) -> Result<()> {
        for (front, family) in Self::fronts().into_iter().zip(["-4", "-6"]) {
            eventually(SOON, "the addresses to move", || {
                let addresses = self.balancers[number].ip(&[family, "address"]).ok()?;
                let has = addresses.contains(&format!("{}/", front.ip()));
                let answer = || ask_once(front, Ask::Line, Duration::from_secs(1)).ok();
                has.then(|| self.client.enter(answer).ok().flatten()).flatten()
            })
            .with_context(|| {
                std::fs::read_to_string(self.folder.path().join(format!("log{number}"))).unwrap_or_default()
            })?;
        }
        Ok(())
    }

    fn assert_transparent(&self) -> Result<()> {
        let plan = Plan::open(&Self::fronts(), 100.0, Duration::from_secs(1)).expecting(Expect::OwnAddress);
        assert_no_client_lost(&clearway_lab::load::start(&self.client, plan)?.wait()?)
    }
}

fn the_other_one_serves_when_the_addresses_move_and_back() -> Result<()> {
    if !Path::new("/usr/sbin/keepalived").exists() {
        return Err(CannotRun("keepalived is not installed (`make setup` does that)".to_owned()).into());
    }
    let pair = Pair::raise("vrrp")?;
    let mut clearways = [pair.clearway(0)?, pair.clearway(1)?];
    let mut first = pair.keepalived(0)?;
    let mut second = pair.keepalived(1)?;
    pair.wait_until_it_has_them(0)?;
    pair.assert_transparent()?;
    // The clients of the other one are cut: their connections ended in a process that is not there.
    let mut session = Session::open(&pair.client, Pair::fronts()[0], None)?;
    session.set_patience(Duration::from_secs(1))?;
    first.signal(Signal::TERM)?;
    first.wait_exit(SOON)?;
    pair.wait_until_it_has_them(1)?;
    pair.assert_transparent()?;
    let state = session.beat();
    ensure!(state != State::Alive, "a session moved along, which cannot be: {state:?}");
    let mut first = pair.keepalived(0)?;
    pair.wait_until_it_has_them(0)?;
    pair.assert_transparent()?;
    for keepalived in [&mut first, &mut second] {
        keepalived.signal(Signal::TERM)?;
        keepalived.wait_exit(SOON)?;
    }
    for clearway in &mut clearways {
        assert_code(clearway.stop(Signal::TERM, SOON)?, 0)?;
    }
    Ok(())
}
