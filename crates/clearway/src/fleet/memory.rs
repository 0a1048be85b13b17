//! Memory that runs out: which process goes first, and what is said about it.
//!
//! While a reload goes on, two generations share the memory of the container. Where it does not suffice for both,
//! the kernel kills one, by size, which would be the one that serves. So a new one for which there is no room is not
//! started, as far as can be told from what the last one needed when it was new; and until it is committed it is the
//! first to go (`oom_score_adj`, which needs no right upwards).

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::supervisor::{End, Killed, Unclean};
use clearway_kernel::memory::{Cgroup, oom_score_adjustment, set_oom_score_adjustment};

use crate::debug;

/// How far a generation is moved up. The unit is a thousandth of the memory there is: only all of it outweighs
/// whatever the serving one has grown to (500 does not, where that has more than half of the limit: measured).
const FAR: i32 = 1000;

/// How far every HAProxy stands above Clearway: a hundredth of the memory. It has more than Clearway anyway.
const ABOVE_CLEARWAY: i32 = 10;

const RAISE: &str = "raise the memory limit (`--memory` at `docker run`, MemoryMax= under systemd): two generations \
                     must fit into it while one takes over from the other";

/// A process that is first to go, and its children; what it is to be once it is committed.
#[derive(Debug)]
pub struct FirstToGo(i32);

impl FirstToGo {
    /// Marks a process that has just begun: its worker, forked later, inherits the mark. One that is alone is
    /// marked only as less dear than Clearway.
    pub fn make(pid: u32, alone: bool) -> Option<Self> {
        let before = oom_score_adjustment(pid).ok()?;
        let far = if alone { ABOVE_CLEARWAY } else { FAR };
        set_oom_score_adjustment(pid, before.saturating_add(far)).ok()?;
        Some(Self(before.saturating_add(ABOVE_CLEARWAY)))
    }

    /// Takes the mark back.
    pub fn take_back(self, processes: impl Iterator<Item = u32>) {
        for pid in processes {
            if let Err(error) = set_oom_score_adjustment(pid, self.0) {
                debug!("process {pid} stays first to go when memory runs out: {error}");
            }
        }
    }
}

/// The control group's memory, as far as it can be seen.
#[derive(Debug)]
pub struct Memory {
    group: Cgroup,
    kills: u64,
}

/// What was seen when a process ended.
#[derive(Clone, Copy, Debug)]
pub struct MemoryAtEnd {
    /// Whether the kernel has killed a process of this group since the last look.
    killed: bool,
    limit: Option<u64>,
}

impl Memory {
    /// Begins to watch.
    pub fn watch() -> Self {
        let group = Cgroup::own();
        let kills = group.kills().unwrap_or_default();
        Self { group, kills }
    }

    /// Refuses a generation that will need so many bytes and has no room beside those that run. The kernel would
    /// kill it, and while that one gives its memory back perhaps the one that serves as well (seen on Linux 6.18).
    pub fn room_for(&self, needed: u64) -> Result<(), Failure> {
        let (Some(limit), Some(used)) = (self.group.limit(), self.group.in_use()) else { return Ok(()) };
        let left = limit.saturating_sub(used);
        if needed <= left {
            return Ok(());
        }
        let message = format!(
            "not started, because it would run out of memory: it needs about {} MiB, and of the limit of {} MiB {} \
             are left",
            needed >> 20,
            limit >> 20,
            left >> 20
        );
        Err(Failure::new(ExitCode::NotReady, message).hint(RAISE))
    }

    /// Looks whether a process was killed since the last look.
    pub fn look(&mut self) -> MemoryAtEnd {
        let kills = self.group.kills().unwrap_or_default();
        let killed = kills > self.kills;
        self.kills = kills;
        MemoryAtEnd { killed, limit: self.group.limit() }
    }
}

impl MemoryAtEnd {
    /// An unclean end, with its reason if this is it.
    pub fn explain(self, end: End) -> End {
        match Killed::of(&end) {
            Some(killed) if self.killed => End::Unclean(Unclean::OutOfMemory(killed, self.limit)),
            _ => end,
        }
    }

    /// The failure of a start, likewise.
    pub fn blame(self, end: &End, failure: Failure) -> Failure {
        if !self.killed || Killed::of(end).is_none() {
            return failure;
        }
        Failure { code: ExitCode::NotReady, ..failure }.hint(RAISE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kill_for_memory_is_blamed_on_it() {
        let end = || End::Unclean(Unclean::Code(137));
        let killed = MemoryAtEnd { killed: true, limit: Some(64 << 20) };
        assert_eq!(killed.explain(end()).to_string(), "exit code 137, out of memory: the limit is 64 MiB");
        assert_eq!(killed.explain(End::Clean), End::Clean);
        let failure = killed.blame(&end(), Failure::new(ExitCode::ConfigurationRefused, "it ended"));
        assert_eq!(failure.code, ExitCode::NotReady);
        assert!(failure.hints[0].contains("--memory"), "{:?}", failure.hints);

        // Another process was killed: this one has refused its configuration.
        let refused = End::Unclean(Unclean::Code(1));
        assert_eq!(killed.explain(refused), refused);
        assert!(killed.blame(&refused, Failure::new(ExitCode::Rights, "no")).hints.is_empty());

        let other = MemoryAtEnd { killed: false, limit: Some(64 << 20) };
        assert_eq!(other.explain(end()), end());
        assert!(other.blame(&end(), Failure::new(ExitCode::Rights, "it ended")).hints.is_empty());
    }
}
