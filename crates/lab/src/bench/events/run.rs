//! One run: a load, one event in the middle of it, what clients saw, and what is left.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::event::Event;
use super::instance::{self, Answer, File, Instance, holder, launch, wait_until_it_holds};
use super::left::Kernel;
use super::peer::Peer;
use crate::balancer::Balancer;
use crate::bench::rig::Rig;
use crate::bench::rounds::Outcome;
use crate::load::{self, Ask, Expect, LoadReport, Plan, ask_once};
use crate::namespace::Namespace;
use crate::process::{self, in_namespace};
use crate::server::Mode;
use crate::topology::{BACK, Family};
use crate::wait::{eventually, eventually_because};

/// When it is started by hand after everything was killed.
pub(super) const GAP: Duration = Duration::from_millis(500);
/// After how long a connection counts as lost: longer than SYNs take that are sent again twice.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What the kernel gets to take the namespaces of the run before away, and to come to rest.
const REST: Duration = Duration::from_millis(500);
/// Long enough for a slow machine.
const SOON: Duration = Duration::from_secs(20);

/// The load, the same for every peer and event.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// New connections per second.
    pub rate: f64,
    /// How long it lasts before the event.
    pub before: Duration,
    /// And after the begin of the event.
    pub after: Duration,
}

/// What a run has come to.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What became of the connections.
    pub report: LoadReport,
    /// What there is more than before the start, after the end of a stop.
    pub left: Kernel,
    /// The same between the kill of everything and the start by hand.
    pub left_by_kill: Option<Kernel>,
}

/// A peer that serves. Fields are dropped in order: the peer before its network.
struct Running {
    instance: Box<dyn Instance>,
    holder: Option<Balancer>,
    rig: Rig,
    peer: Peer,
    clean: Kernel,
}

/// Raises a peer in namespaces of its own and measures one event; none: the same load without any. An error means that it
/// does not work.
pub fn take(peer: Peer, event: Option<Event>, shape: Shape, clearway: &Path) -> Result<Outcome<Sample>> {
    if let Some(reason) = peer.missing()? {
        return Ok(Outcome::Missing(reason.trim().replace('\n', " ").replace('|', "\\|")));
    }
    let mut running = Running::start(peer, event, clearway).context("the start")?;
    sleep(REST);
    let load = running.load(shape)?;
    let begun = Instant::now();
    let happened = match event {
        Some(event) => running.meet(event, begun + shape.before).with_context(|| event.words()),
        None => Ok(None),
    };
    // Joined also where that failed: the load must not outlive its namespace.
    let (report, left_by_kill) = (load.wait()?, happened?);
    let left = running.end(event).context("the stop")?;
    Ok(Outcome::Measured(Sample { report, left, left_by_kill }))
}

impl Running {
    fn start(peer: Peer, event: Option<Event>, clearway: &Path) -> Result<Self> {
        let mut rig = Rig::raise_speaking(Mode::Http)?;
        rig.run(clearway);
        let clean = Kernel::read(&rig.lab.balancer)?;
        let holder = (event == Some(Event::Held)).then(|| holder(&rig)).transpose()?;
        instance::write(peer, &mut rig, File::Good)?;
        let instance = launch(peer, &rig)?;
        let running = Self { instance, holder, rig, peer, clean };
        running.wait_until_it_serves(&running.rig.version())?;
        if let Some(holder) = &running.holder {
            wait_until_it_holds(holder)?;
        }
        Ok(running)
    }

    fn load(&self, shape: Shape) -> Result<load::RunningLoad> {
        let lab = &self.rig.lab;
        let expect = match self.peer {
            Peer::Transparent => Expect::OwnAddress,
            _ => Expect::Prefix(format!("{} s", BACK[0])),
        };
        let plan = Plan::open(&Rig::service()[..1], shape.rate, shape.before + shape.after)
            .from(lab.clients(Family::V4))
            .asking(Ask::Http)
            .patient_for(PATIENCE)
            .expecting(expect);
        load::start(&lab.client, plan)
    }

    /// Lets it happen when it is due, and waits until it is over. Gives what a kill left.
    fn meet(&mut self, event: Event, due: Instant) -> Result<Option<Kernel>> {
        let former = self.rig.version();
        match event {
            Event::Reload | Event::Image | Event::Upgrade => {
                instance::write(self.peer, &mut self.rig, File::Good)?;
            }
            Event::Broken => instance::write(self.peer, &mut self.rig, File::Broken)?,
            Event::Crash | Event::Kill | Event::Held | Event::Stop => {}
        }
        sleep(due.saturating_duration_since(Instant::now()));
        let mut left = None;
        match event {
            Event::Reload => {
                if let Answer::Refused(words) = self.instance.reload(&self.rig)? {
                    bail!("a good configuration was refused: {words}");
                }
            }
            Event::Broken => {
                let answer = self.instance.reload(&self.rig)?;
                ensure!(answer != Answer::Taken, "a broken configuration was taken");
            }
            Event::Crash => self.crash()?,
            Event::Kill | Event::Held => left = Some(self.kill()?),
            Event::Image => self.instance.replace(&self.rig)?,
            Event::Upgrade => self.instance.upgrade(&self.rig)?,
            Event::Stop => self.instance.stop()?,
        }
        if event.goes_on() {
            let wanted = if event == Event::Broken { former } else { self.rig.version() };
            self.wait_until_it_serves(&wanted)?;
        }
        Ok(left)
    }

    fn crash(&mut self) -> Result<()> {
        let begun = Instant::now();
        process::kill(self.instance.worker()?);
        if self.peer.mends_itself() {
            return Ok(());
        }
        eventually(SOON, "the rest of it to end", || self.instance.has_ended().ok().filter(|ended| *ended))?;
        self.start_by_hand(begun)
    }

    fn kill(&mut self) -> Result<Kernel> {
        let begun = Instant::now();
        kill_all(&self.rig.lab.balancer, self.holder.as_ref().map(Balancer::pid))?;
        // The kernel closes the sockets of a process a little after the process is gone.
        sleep((GAP / 2).saturating_sub(begun.elapsed()));
        let left = Kernel::read(&self.rig.lab.balancer)?.since(&self.clean);
        self.start_by_hand(begun)?;
        Ok(left)
    }

    fn start_by_hand(&mut self, ended: Instant) -> Result<()> {
        sleep(GAP.saturating_sub(ended.elapsed()));
        self.instance = launch(self.peer, &self.rig)?;
        Ok(())
    }

    fn wait_until_it_serves(&self, version: &str) -> Result<()> {
        self.rig.wait_for_the_version(version)?;
        let service = Rig::service()[0];
        self.rig.lab.client.enter(|| {
            eventually_because(SOON, &format!("an answer of {service}"), || {
                let answer = ask_once(service, Ask::Http, Duration::from_secs(1));
                ensure!(
                    answer.as_ref().is_ok_and(|answer| answer.starts_with("10.")),
                    "there was {answer:?}"
                );
                Ok(())
            })
        })?
    }

    /// Stops what runs, and gives what is left then.
    fn end(mut self, event: Option<Event>) -> Result<Kernel> {
        if event.is_none_or(Event::goes_on) {
            self.instance.stop()?;
        }
        if let Some(mut holder) = self.holder.take() {
            holder.stop(Signal::TERM, SOON)?;
        }
        Ok(Kernel::read(&self.rig.lab.balancer)?.since(&self.clean))
    }
}

/// Kills all processes of a host but one, until there are no more.
fn kill_all(host: &Namespace, but: Option<u32>) -> Result<()> {
    let inode = host.inode()?;
    eventually(SOON, "the processes of the host to end", || {
        let left: Vec<u32> = in_namespace(inode).into_iter().filter(|pid| Some(*pid) != but).collect();
        left.iter().copied().for_each(process::kill);
        left.is_empty().then_some(())
    })
}
