//! The path of a balancer, as the room `path` of the binary carries it out: what it has in the kernel, and its canary.

use std::net::SocketAddr;

use clearway_core::intercept::{Fail, Interception};
use clearway_core::path::schedule::Round;
use clearway_core::path::{
    CanaryVerdict, Generations, PathAction, PathEvent, PathMachine, ServerNeeds, ServersByAddress,
};
use clearway_core::settings::{CanaryMode, SettingKey, Settings};

mod actions;

use super::network::Rules;
use super::*;

/// How often HAProxy is asked where its servers are if it has nothing to say, and if it has.
const QUIET: Duration = Duration::from_secs(10);
const TALKATIVE: Duration = Duration::from_secs(1);

/// A configuration, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub transparent: bool,
    /// Servers: at a loopback address if the number is even, elsewhere if it is odd.
    pub servers: BTreeSet<u16>,
}

/// What happens to a path.
#[derive(Debug)]
pub enum OnPath {
    /// The file of a generation is read: the plumbing is made for it. Unset: the file is bad.
    Prepare(Id, Generation, Option<File>),
    /// The kernel hints at a removal, in a watch.
    Hint(Id, u64),
    /// The thread of a round is done.
    RoundEnds(Id, Round),
    /// The HAProxy of a generation has told where its servers are, or has not answered.
    Told(Id, Generation),
    /// The machine looks at the clock.
    Wake(Id),
    /// Another process removes rules.
    Flush,
}

/// The thread of a round.
#[derive(Debug)]
pub struct Asking {
    pub round: Round,
    /// It was told to end.
    pub given_up: bool,
    servers: Vec<SocketAddr>,
}

pub struct PathSide {
    pub machine: PathMachine,
    /// What generations were prepared from.
    pub files: BTreeMap<Generation, File>,
    /// The watch that is open, and how many there were.
    watch: Option<u64>,
    watches: u64,
    /// Hints that are under way to it.
    hints: usize,
    pub asking: Vec<Asking>,
    /// What the last round that counted has said.
    pub verdicts: BTreeMap<SocketAddr, CanaryVerdict>,
    /// When the machine wakes next.
    wakes: Duration,
    /// The generation that was committed last, and whether its HAProxy has told of its servers.
    serving: Option<Generation>,
    told: bool,
    /// Whether something has failed in the kernel.
    failed: bool,
    /// Whether a generation is being prepared: those looks are asked for.
    prepares: bool,
    pub looks: VecDeque<Duration>,
    pub repairs: VecDeque<Duration>,
    pub rounds: VecDeque<Duration>,
}

impl PathSide {
    pub fn new(closed: bool, mode: CanaryMode) -> Self {
        Self {
            machine: PathMachine::new(&interception(closed), mode, Some(Duration::from_mins(2))),
            files: BTreeMap::new(),
            watch: None,
            watches: 0,
            hints: 0,
            asking: Vec::new(),
            verdicts: BTreeMap::new(),
            wakes: Duration::ZERO,
            serving: None,
            told: false,
            failed: false,
            prepares: false,
            looks: VecDeque::new(),
            repairs: VecDeque::new(),
            rounds: VecDeque::new(),
        }
    }

    /// Whether it will look at the plumbing before long.
    pub fn will_look(&self, now: Duration) -> bool {
        let due = || self.machine.due().is_some_and(|due| due <= now + Duration::from_secs(15));
        self.hints > 0 || due()
    }
}

fn interception(closed: bool) -> Interception {
    let mut settings = Settings::default();
    if closed {
        let set = settings.set(SettingKey::Intercept, "10.0.0.0/8 port 80 to 8080", "a test");
        assert!(set.is_ok(), "{set:?}");
        settings.interception.fail = Fail::Closed;
    }
    settings.interception
}

fn address(number: u16) -> SocketAddr {
    let host = if number.is_multiple_of(2) { [127, 0, 0, 1] } else { [10, 0, 0, 1] };
    SocketAddr::from((host, number))
}

fn needs(servers: &BTreeSet<u16>) -> ServerNeeds {
    let loopback = servers.iter().map(|number| address(*number)).filter(|one| one.ip().is_loopback());
    ServerNeeds { loopback: loopback.collect(), own: false }
}

fn remember(times: &mut VecDeque<Duration>, now: Duration) {
    times.push_back(now);
    while times.front().is_some_and(|first| now - *first >= Duration::from_mins(1)) {
        times.pop_front();
    }
}

impl World {
    pub fn sweep_the_kernel(&mut self) {
        self.network.sweep(PathMachine::at_start(&interception(self.network.closed)));
        self.after_a_change(true);
    }

    pub fn happens_on_path(&mut self, happening: OnPath) {
        match happening {
            OnPath::Flush => self.flush(),
            OnPath::Prepare(id, generation, file) => self.prepare(id, generation, file),
            OnPath::Hint(id, watch) => {
                if self.balancers[id].alive && self.balancers[id].path.watch == Some(watch) {
                    self.balancers[id].path.hints = 0;
                    self.step_path(id, PathEvent::Removed);
                }
            }
            OnPath::RoundEnds(id, round) => self.round_ends(id, round),
            OnPath::Told(id, generation) => self.haproxy_tells(id, generation),
            OnPath::Wake(id) if self.balancers[id].alive => self.step_path(id, PathEvent::TimePassed),
            OnPath::Wake(_) => {}
        }
    }

    fn flush(&mut self) {
        let with_reject = self.path_random.u8(0..5) == 0;
        self.network.flush(with_reject);
        self.note("another process removes the rules".to_owned());
        self.after_a_change(true);
    }

    /// Rules were put back, or removed: which watches hear of it, and whether something is missing now.
    fn after_a_change(&mut self, removed: bool) {
        let lacks = self.living.iter().any(|id| self.network.lacks(*id));
        let since = self.network.incomplete_since;
        self.network.incomplete_since = lacks.then(|| since.unwrap_or(self.now));
        if !removed {
            return;
        }
        for id in self.living.clone() {
            if let Some(watch) = self.balancers[id].path.watch {
                self.balancers[id].path.hints += 1;
                let delay = Duration::from_millis(self.path_random.u64(0..30));
                self.at(delay, Happening::OnPath(OnPath::Hint(id, watch)));
            }
        }
    }

    fn prepare(&mut self, id: Id, generation: Generation, file: Option<File>) {
        let failed = |code| Event::Failed { generation, failure: Failure::new(code, "made up") };
        let prepared = |plumbing| Event::Prepared { generation, plumbing, most_reloads: None };
        let event = match file {
            None => failed(ExitCode::ConfigurationRefused),
            // It was abandoned meanwhile.
            Some(_) if !self.balancers[id].preparing.contains(&generation) => {
                prepared(PlumbingDemand::NotNeeded)
            }
            Some(file) => match self.plumb(id, generation, file) {
                Some(plumbing) => prepared(plumbing),
                None => failed(ExitCode::Kernel),
            },
        };
        self.balancers[id].preparing.remove(&generation);
        self.tell_if_it_lives(id, event);
    }

    /// Whether the plumbing is needed; unset if it could not be had.
    fn plumb(&mut self, id: Id, generation: Generation, file: File) -> Option<PlumbingDemand> {
        let is_needed = self.balancers[id].alive && (file.transparent || self.network.closed);
        let needed = needs(&file.servers);
        let path = &mut self.balancers[id].path;
        path.files.insert(generation, file);
        if !is_needed {
            return Some(PlumbingDemand::NotNeeded);
        }
        (path.prepares, path.failed) = (true, false);
        self.step_path(id, PathEvent::Needed(needed));
        let path = &mut self.balancers[id].path;
        path.prepares = false;
        (!path.failed).then_some(PlumbingDemand::Needed)
    }

    /// A generation serves.
    pub fn path_serves(&mut self, id: Id, generation: Generation) {
        let path = &mut self.balancers[id].path;
        (path.serving, path.told) = (Some(generation), false);
        let transparent = path.files.get(&generation).is_some_and(|file| file.transparent);
        self.step_path(id, PathEvent::Serves { transparent });
        self.at(Duration::from_millis(20), Happening::OnPath(OnPath::Told(id, generation)));
    }

    /// Clearway ends by itself. Of a planned stop nothing may be left, unless another one lives.
    pub fn path_leaves(&mut self, id: Id, code: ExitCode) {
        let is_last = self.network.tables.keys().eq([&id]) && code.is_done();
        self.network.must_reject &= !is_last;
        self.step_path(id, PathEvent::Leave(code));
        if is_last && self.network.rules != Rules::default() {
            self.fault = Some(format!("balancer {id} has left {:?} behind", self.network.rules));
        }
        if self.network.tables.contains_key(&id) {
            self.fault = Some(format!("balancer {id} has left its table behind"));
        }
    }

    /// Its process is gone, and with it all that the kernel keeps for a process.
    pub fn path_dies(&mut self, id: Id) {
        self.network.tables.remove(&id);
        self.after_a_change(false);
    }

    fn haproxy_tells(&mut self, id: Id, generation: Generation) {
        let balancer = &self.balancers[id];
        let serves = balancer.alive && balancer.path.serving == Some(generation);
        if !serves || !balancer.processes.contains_key(&generation) {
            return;
        }
        let fresh = !balancer.path.told;
        self.step_path(id, PathEvent::Told { fresh });
        if self.path_random.u8(0..8) > 0 && self.balancers[id].path.machine.follows_servers() {
            self.servers_are(id, generation, fresh);
        }
        // HAProxy has much to say while its connections fail.
        let pause = if self.network.fight_until > self.now { TALKATIVE } else { QUIET };
        let pause = pause + Duration::from_millis(self.path_random.u64(0..100));
        self.at(pause, Happening::OnPath(OnPath::Told(id, generation)));
    }

    fn servers_are(&mut self, id: Id, generation: Generation, fresh: bool) {
        let balancer = &mut self.balancers[id];
        balancer.path.told = true;
        let several = balancer.processes.len() > 1;
        let Some(file) = balancer.path.files.get(&generation) else { return };
        let all = &file.servers ^ &self.moved;
        // One in maintenance.
        let used = all.iter().filter(|number| **number != 6);
        let servers: ServersByAddress = used.map(|number| (address(*number), format!("s{number}"))).collect();
        let event = PathEvent::Servers {
            servers,
            needs: (!all.is_empty()).then(|| needs(&all)),
            generations: if several { Generations::Several } else { Generations::One },
            fresh,
        };
        self.step_path(id, event);
    }

    fn round_ends(&mut self, id: Id, round: Round) {
        let path = &mut self.balancers[id].path;
        if !self.living.contains(&id) {
            return;
        }
        let Some(at) = path.asking.iter().position(|one| one.round == round) else { return };
        let asking = path.asking.remove(at);
        let broken = self.network.lacks(id);
        let mut verdict = |_: &SocketAddr| match self.path_random.u8(0..10) {
            _ if broken => CanaryVerdict::Broken,
            0 => CanaryVerdict::Down,
            1 => CanaryVerdict::Unknown,
            _ => CanaryVerdict::Works,
        };
        let verdicts: Vec<_> = asking.servers.iter().map(&mut verdict).collect();
        let verdicts: Vec<_> = asking.servers.into_iter().zip(verdicts).collect();
        if self.balancers[id].path.machine.awaits(round) {
            self.balancers[id].path.verdicts = verdicts.iter().copied().collect();
        }
        let obstructed = self.path_random.u8(0..10) == 0;
        self.step_path(id, PathEvent::RoundOver { round, verdicts, obstructed });
    }

    pub fn step_path(&mut self, id: Id, event: PathEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now - self.balancers[id].begun;
            for action in self.balancers[id].path.machine.step(event, now) {
                events.extend(self.carry_out_on_path(id, action));
            }
        }
        let begun = self.balancers[id].begun;
        let path = &mut self.balancers[id].path;
        // One that comes again is a new one.
        path.verdicts.retain(|server, _| path.machine.line(*server).is_some());
        if let Some(deadline) = path.machine.due() {
            let at = (begun + deadline).max(self.now);
            if path.wakes <= self.now || at < path.wakes {
                path.wakes = at;
                self.at(at - self.now, Happening::OnPath(OnPath::Wake(id)));
            }
        }
    }
}
