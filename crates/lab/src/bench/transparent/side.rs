//! What is compared, and how each is raised.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::balancer::{Balancer, Kind};
use crate::bench::rig::{Rig, Transparency};
use crate::load::{Ask, Expect, ask_once};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::topology::{BACK, FRONT, Family};
use crate::wait::eventually_because;

/// Where Debian and Ubuntu put what `scripts/setup.sh bench` installs.
pub(super) const NGINX: &str = "/usr/sbin/nginx";
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// The recipe of blogs and manuals since 2008; `iptables` and `ip6tables` alike.
const CLASSIC: [&[&str]; 4] = [
    &["-t", "mangle", "-N", "DIVERT"],
    &["-t", "mangle", "-A", "PREROUTING", "-p", "tcp", "-m", "socket", "-j", "DIVERT"],
    &["-t", "mangle", "-A", "DIVERT", "-j", "MARK", "--set-mark", "1"],
    &["-t", "mangle", "-A", "DIVERT", "-j", "ACCEPT"],
];

/// One of those that are compared. All stand in the same namespaces, in front of the same two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `haproxy -W`: servers see its address.
    Plain,
    /// As transparent as it can be without plumbing: what HAProxy itself costs, without any rules.
    Unplumbed,
    /// Transparent, plumbed by Clearway for servers elsewhere: without conntrack.
    Clearway,
    /// The same, and the configuration has a server on an address of the balancer: with conntrack.
    Conntrack,
    /// Transparent, `haproxy -W`, plumbed by hand.
    Classic,
    /// nginx, servers see its address: what [`Side::Nginx`] is to be compared with.
    PlainNginx,
    /// nginx, transparent, on the plumbing of a Clearway with an idle HAProxy.
    Nginx,
    /// No proxy: clients connect to the servers, and the balancer forwards their packets.
    Forwarding,
}

impl Side {
    pub(super) const ALL: [Self; 8] = [
        Self::Plain,
        Self::Unplumbed,
        Self::Clearway,
        Self::Conntrack,
        Self::Classic,
        Self::PlainNginx,
        Self::Nginx,
        Self::Forwarding,
    ];

    /// For the table.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Plain => "HAProxy, not transparent",
            Self::Unplumbed => "HAProxy, `usesrc` its own address",
            Self::Clearway => "HAProxy, Clearway's plumbing",
            Self::Conntrack => "the same with the conntrack part",
            Self::Classic => "HAProxy, classic iptables recipe",
            Self::PlainNginx => "nginx stream, not transparent",
            Self::Nginx => "nginx stream, Clearway's plumbing",
            Self::Forwarding => "no proxy: forwarding only",
        }
    }

    /// What servers are to see.
    pub(super) fn expected(self) -> Expect {
        match self {
            Self::Plain | Self::PlainNginx => Expect::Anything,
            Self::Unplumbed => Expect::Peer(BACK[0]),
            _ => Expect::OwnAddress,
        }
    }

    /// Why this machine cannot have it, if so.
    pub(super) fn missing(self) -> Result<Option<String>> {
        Ok(match self {
            Self::Nginx | Self::PlainNginx if !Path::new(NGINX_STREAM).exists() => {
                Some(format!("no {NGINX_STREAM} (`scripts/setup.sh bench` installs it)"))
            }
            Self::Classic => {
                let refused = classic(&Namespace::create("xtables")?).err();
                refused.map(|error| format!("{error:#}").trim().replace('\n', " "))
            }
            _ => None,
        })
    }
}

/// A side that serves. Fields are dropped in order: the balancer before its network.
#[derive(Debug)]
pub(super) struct Running {
    _nginx: Option<Process>,
    _balancer: Option<Balancer>,
    pub(super) rig: Rig,
    /// Where clients connect to.
    pub(super) targets: Vec<SocketAddr>,
}

impl Running {
    /// Raises it in namespaces of its own and waits until it answers.
    pub(super) fn start(side: Side) -> Result<Self> {
        let mut rig = Rig::raise()?;
        match side {
            Side::Conntrack => rig.add(own_server()),
            Side::Nginx => rig.leave_the_service(),
            Side::Classic => classic(&rig.lab.balancer)?,
            Side::Plain | Side::Unplumbed | Side::Clearway | Side::PlainNginx | Side::Forwarding => {}
        }
        let balancer = match side {
            Side::Plain => Some(rig.start(Kind::PlainMasterWorker, Transparency::Off)?),
            Side::Unplumbed => Some(rig.start(Kind::PlainMasterWorker, Transparency::OwnAddress)?),
            Side::Classic => Some(rig.start(Kind::PlainMasterWorker, Transparency::On)?),
            Side::Clearway | Side::Conntrack | Side::Nginx => {
                Some(rig.start(Kind::Clearway, Transparency::On)?)
            }
            Side::PlainNginx | Side::Forwarding => None,
        };
        if let Some(balancer) = &balancer {
            Rig::rest(balancer)?;
        }
        let nginx = match side {
            Side::Nginx => Some(nginx(&rig, "proxy_bind $remote_addr transparent;")?),
            Side::PlainNginx => Some(nginx(&rig, "")?),
            _ => None,
        };
        check_conntrack(&rig.lab.balancer, side)?;
        let targets = match side {
            Side::Forwarding => {
                let servers = rig.lab.servers(Family::V4).into_iter();
                servers.map(|server| SocketAddr::new(server, 80)).collect()
            }
            _ => Rig::service()[..1].to_vec(),
        };
        for target in &targets {
            wait_for_answer(&rig.lab.client, *target)?;
        }
        Ok(Self { _nginx: nginx, _balancer: balancer, rig, targets })
    }
}

/// A transparent server on an address of the balancer, which no client asks for.
fn own_server() -> String {
    format!("backend own\n source 0.0.0.0 usesrc clientip\n server own {}:9\n", FRONT[0])
}

/// Conntrack is on where some rule asks for it, and is to be on for one side only: what is measured is what
/// the table of results says.
fn check_conntrack(balancer: &Namespace, side: Side) -> Result<()> {
    let rules = balancer.output("nft", &["list", "ruleset"])?;
    let asked_for = rules.lines().any(|line| line.trim_start().starts_with("ct ") || line.contains(" ct "));
    let wanted = side == Side::Conntrack;
    ensure!(asked_for == wanted, "rules that need conntrack: {asked_for}, wanted: {wanted}\n{rules}");
    Ok(())
}

fn classic(host: &Namespace) -> Result<()> {
    for (program, family) in [("iptables", "-4"), ("ip6tables", "-6")] {
        for words in CLASSIC {
            host.output(program, words)?;
        }
        host.ip(&[family, "rule", "add", "fwmark", "1", "lookup", "100"])?;
        let everything = if family == "-4" { "0.0.0.0/0" } else { "::/0" };
        host.ip(&[family, "route", "add", "local", everything, "dev", "lo", "table", "100"])?;
    }
    Ok(())
}

/// Starts nginx on the port of the service, with one worker per processor, as HAProxy has threads; `bind` says from which
/// address it connects to servers.
fn nginx(rig: &Rig, bind: &str) -> Result<Process> {
    let path = rig.folder().join("nginx.conf");
    let config = format!(
        "load_module {NGINX_STREAM};\n\
         daemon off;\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr;\n\
         worker_processes auto;\n\
         events {{ worker_connections 8000; }}\n\
         stream {{\n \
           upstream servers {{ server 10.2.0.2:80; server 10.2.0.3:80; }}\n \
           server {{\n  \
             listen 80;\n  \
             proxy_connect_timeout 5s;\n  \
             proxy_timeout 1m;\n  \
             {bind}\n  \
             proxy_pass servers;\n \
           }}\n\
         }}\n",
        folder = rig.folder().display(),
    );
    fs::write(&path, config).context("writing the configuration of nginx")?;
    let mut command = Command::new(NGINX);
    command.arg("-c").arg(&path).args(["-e", "stderr"]).stdin(Stdio::null());
    rig.lab.balancer.spawn(command)
}

fn wait_for_answer(client: &Namespace, target: SocketAddr) -> Result<()> {
    client.enter(|| {
        eventually_because(Duration::from_secs(10), &format!("an answer of {target}"), || {
            let answer = ask_once(target, Ask::Line, Duration::from_secs(1));
            answer.map(drop).map_err(|class| anyhow::anyhow!("the connection ended with {class:?}"))
        })
    })?
}
