//! A generation that has a process: HAProxy's master, our child, and its worker.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::Imprint;
use clearway_kernel::memory::resident;
use rustix::net::Shutdown;
use tokio::sync::watch;

use crate::custody::sockets::Sockets;
use crate::fleet::carry;
use crate::fleet::child::Exec;
use crate::fleet::master::Master;
use crate::fleet::memory::FirstToGo;
use crate::fleet::notices::FleetNotice;
use crate::fleet::standard_error::StandardError;
use crate::fleet::worker_cli::WorkerCli;
use crate::ground::notice::tell;

mod signals;
mod worker;

use worker::Worker;

/// Our ends of what a generation has inherited.
#[derive(Debug)]
pub struct OurEnds {
    /// Of the private stats socket, where it is changed after the proof (`crate::apply`). If it were closed, HAProxy would find its
    /// own always ready to accept from, and spin (docs/decisions/0001).
    pub stats: OwnedFd,
    /// Of the master CLI.
    pub master_cli: OwnedFd,
    /// Of the `_getsocks` pair, closed as soon as the question is settled: a conversation that never comes must not hold
    /// sockets.
    pub handover: Option<OwnedFd>,
}

/// A generation that has a process.
#[derive(Debug)]
pub struct RunningGeneration {
    generation: Generation,
    /// HAProxy's master, our child.
    master: u32,
    /// Whether it has become HAProxy.
    exec: Exec,
    /// The process that accepts connections, once it has answered.
    worker: Option<Worker>,
    ends: OurEnds,
    said: StandardError,
    /// Until it accepts: what helps if it does not come to that depends on it.
    configuration: Option<Arc<Configuration>>,
    imprint: Arc<Imprint>,
    /// What it has proved to use; custody at the commit.
    proved: Option<Arc<Sockets>>,
    /// How many bytes it had when it had just proved itself.
    needed: Option<u64>,
    /// Lets the thread go on that carries the state of the servers over, once.
    carry: Option<carry::Go>,
    /// Where it has read its counters when it started.
    stats_file: Option<PathBuf>,
    /// Set as long as the kernel shall kill it before any other, if memory runs out.
    first_to_go: Option<FirstToGo>,
}

impl RunningGeneration {
    /// It has just been started.
    pub fn begins(
        (generation, master, exec): (Generation, u32, Exec),
        (configuration, imprint): (Arc<Configuration>, Arc<Imprint>),
        ends: OurEnds,
        said: StandardError,
        carry: Option<carry::Go>,
        first_to_go: Option<FirstToGo>,
    ) -> Self {
        let configuration = Some(configuration);
        let (worker, proved, needed, stats_file) = (None, None, None, None);
        Self {
            generation,
            master,
            exec,
            worker,
            ends,
            said,
            configuration,
            imprint,
            proved,
            needed,
            carry,
            stats_file,
            first_to_go,
        }
    }

    /// This is where it reads its counters.
    pub fn begins_with(&mut self, stats_file: Option<PathBuf>) {
        self.stats_file = stats_file;
    }

    /// Where it has read its counters when it started, if its files say so.
    pub fn stats_file(&self) -> Option<&Path> {
        self.stats_file.as_deref()
    }

    /// HAProxy's master, our child.
    pub fn pid(&self) -> u32 {
        self.master
    }

    /// The process that accepts connections, as far as it is known.
    pub fn worker(&self) -> Option<u32> {
        self.worker.as_ref().map(Worker::pid)
    }

    /// Its master and its worker.
    pub fn processes(&self) -> impl Iterator<Item = u32> + use<> {
        [Some(self.master), self.worker()].into_iter().flatten()
    }

    /// Its worker, if that can be asked.
    pub fn worker_cli(&self) -> Option<WorkerCli> {
        self.master_cli().map(|(worker, master)| WorkerCli::of(master, worker))
    }

    /// Its worker, and our end of its master's CLI.
    pub fn master_cli(&self) -> Option<(u32, OwnedFd)> {
        Some((self.worker()?, self.ends.master_cli.try_clone().ok()?))
    }

    /// What it has said so far.
    pub fn said(&self) -> Vec<String> {
        self.said.so_far()
    }

    /// Changes whenever it says something from now on.
    pub fn heard(&self) -> watch::Receiver<()> {
        self.said.heard()
    }

    /// Takes note of the worker, which has told its number itself.
    pub fn know_worker(&mut self, pid: u32) {
        self.configuration = None;
        self.worker = Worker::of(self.master, pid);
        if self.worker.is_none() {
            tell(&FleetNotice::WrongWorker { pid, master: self.master });
        }
    }

    /// Its master, to be looked after, once its worker is known.
    pub fn to_be_watched(&self) -> Option<Master> {
        let cli = self.ends.master_cli.try_clone().ok()?;
        Some(Master {
            generation: self.generation,
            pid: self.master,
            worker: self.worker()?,
            cli,
            heard: self.heard(),
        })
    }

    /// It has proved to use these sockets.
    pub fn prove(&mut self, sockets: Sockets) {
        self.settle();
        self.needed = self.processes().map(resident).sum();
        self.proved = Some(Arc::new(sockets));
    }

    /// What it has proved to use, until it is committed or given up.
    pub fn proved(&self) -> Option<&Arc<Sockets>> {
        self.proved.as_ref()
    }

    /// It serves: from now on it is as dear as any other. Gives what it has proved to use.
    pub fn commit(&mut self) -> Option<Arc<Sockets>> {
        if let Some(mark) = self.first_to_go.take() {
            mark.take_back(self.processes());
        }
        self.proved.take()
    }

    /// Our end of its private stats socket, for a thread.
    pub fn stats(&self) -> Option<OwnedFd> {
        self.ends.stats.try_clone().ok()
    }

    /// What these files say has been changed in it.
    pub fn adopt(&mut self, imprint: Arc<Imprint>) {
        self.imprint = imprint;
    }

    /// Whether it has what these files say.
    pub fn is_from(&self, imprint: &Imprint) -> bool {
        self.imprint.is_same(imprint)
    }

    /// How many bytes it had when it had just proved itself: by now it may have a million connections.
    pub fn needed(&self) -> Option<u64> {
        self.needed
    }

    /// It will not be committed: it keeps no socket open that nothing will accept on.
    pub fn give_up(&mut self) {
        self.settle();
        self.proved = None;
        self.end_carrying();
    }

    /// Ends the handing over of sockets, whether it was used or not.
    pub fn settle(&mut self) {
        if let Some(end) = self.ends.handover.take() {
            let _ = rustix::net::shutdown(end, Shutdown::Both);
        }
    }

    /// The thread that carries the state of the servers over goes on. False if there is none.
    pub fn go_on_carrying(&mut self) -> bool {
        self.carry.as_ref().is_some_and(carry::Go::on)
    }

    /// It drains: that thread ends, and its connections with it.
    pub fn end_carrying(&mut self) {
        self.carry = None;
    }

    /// It has ended: what it says, its configuration if it has not accepted, and why it was never HAProxy, if so.
    pub fn gone(mut self) -> (StandardError, Option<Arc<Configuration>>, Option<io::Error>) {
        self.settle();
        let never_began = self.exec.outcome().and_then(Result::err);
        (self.said, self.configuration, never_began)
    }
}
