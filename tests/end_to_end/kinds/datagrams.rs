//! Log lines over UDP, numbered, from the client through `log-forward` to a receiver that records them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::wait::{eventually_because, patience};

use crate::stage::{SOON, Stage};

/// Where `log` sends them.
pub const SINK: &str = "10.2.0.2:5140";

/// How often one is sent to each target: slow enough that a socket's buffer holds those of a whole restart.
const PACE: Duration = Duration::from_millis(10);

/// How many a process may have received and not yet passed on when it is killed, or a socket when it is closed.
const HARDLY_ANY: usize = 20;

/// What arrives of what is sent, until it is dropped.
pub struct Datagrams {
    targets: usize,
    sent: Arc<AtomicU32>,
    arrived: Arc<Mutex<BTreeSet<(usize, u32)>>>,
    over: Arc<AtomicBool>,
}

impl Datagrams {
    /// Begins to send to the balancer and to receive in the server's host.
    pub fn start(stage: &Stage, targets: &[&str]) -> Result<Self> {
        let targets: Vec<SocketAddr> =
            targets.iter().map(|target| target.parse()).collect::<Result<_, _>>()?;
        let it = Self {
            targets: targets.len(),
            sent: Arc::default(),
            arrived: Arc::default(),
            over: Arc::default(),
        };
        let sink = stage.hosts.server.enter(|| UdpSocket::bind(SINK))??;
        sink.set_read_timeout(Some(PACE))?;
        let (arrived, over) = (Arc::clone(&it.arrived), Arc::clone(&it.over));
        std::thread::spawn(move || {
            let mut line = [0; 2048];
            while !over.load(Ordering::Relaxed) {
                let Ok(length) = sink.recv(&mut line) else { continue };
                if let Some(number) = read(&String::from_utf8_lossy(&line[..length])) {
                    arrived.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                }
            }
        });
        let from: [IpAddr; 2] = [[0_u8; 4].into(), [0_u16; 8].into()];
        let sockets: Vec<UdpSocket> = stage
            .hosts
            .client
            .enter(|| from.map(|from| UdpSocket::bind((from, 0))).into_iter().collect::<Result<_, _>>())??;
        let (sent, over) = (Arc::clone(&it.sent), Arc::clone(&it.over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let number = sent.load(Ordering::Relaxed) + 1;
                for (index, target) in targets.iter().enumerate() {
                    let line = format!("<134>Nov 22 12:00:00 host test: target={index} number={number} end");
                    // No process listens before HAProxy does.
                    let _ = sockets[usize::from(target.is_ipv6())].send_to(line.as_bytes(), target);
                }
                sent.store(number, Ordering::Relaxed);
                std::thread::sleep(PACE * patience());
            }
        });
        Ok(it)
    }

    /// The numbers, from the first that arrived at all, that every target should have passed on by now.
    fn lost(&self) -> Result<Vec<(usize, u32)>> {
        self.assert_arriving()?;
        let until = self.sent.load(Ordering::Relaxed) - 1;
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lost = Vec::new();
        for target in 0..self.targets {
            let first = arrived.range((target, 0)..).next().map_or(0, |(_, number)| *number);
            lost.extend((first..until).map(|number| (target, number)).filter(|one| !arrived.contains(one)));
        }
        Ok(lost)
    }

    /// That three of those that are sent from now on arrive at each target.
    pub fn assert_arriving(&self) -> Result<()> {
        let from = self.sent.load(Ordering::Relaxed) + 1;
        eventually_because(SOON, "datagrams to arrive", || {
            let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
            for target in 0..self.targets {
                let seen = arrived.range((target, from)..(target + 1, 0)).count();
                ensure!(seen >= 3, "{seen} after number {from} for target {target}");
            }
            Ok(())
        })
    }

    /// That all arrived that were sent before.
    pub fn assert_none_lost(&self) -> Result<()> {
        let lost = self.lost()?;
        ensure!(lost.is_empty(), "lost, as (target, number): {lost:?}");
        Ok(())
    }

    /// That no more are missing than a process may have been handling.
    pub fn assert_hardly_any_lost(&self) -> Result<()> {
        let lost = self.lost()?;
        ensure!(lost.len() <= HARDLY_ANY, "lost, as (target, number): {lost:?}");
        Ok(())
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn read(line: &str) -> Option<(usize, u32)> {
    let value = |name: &str| line.split(name).nth(1)?.split(' ').next();
    Some((value("target=")?.parse().ok()?, value("number=")?.parse().ok()?))
}
