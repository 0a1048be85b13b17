//! The memory limit of the control group that this process is in, and whether the kernel has killed for it.
//!
//! Reads `/proc/self/cgroup` and what is mounted at `/sys/fs/cgroup`: version 2 (`memory.max`, `memory.events`)
//! and version 1 (`memory.limit_in_bytes`, `memory.oom_control`, with `oom_kill` since Linux 4.13). Inside a
//! container the mount begins at the container's own group, on a host at the root of all. Also moves a process
//! up and down in the order in which the kernel would kill. It decides nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Where version 1 says "no limit": the largest number of whole pages, a little below 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// The files of the own control group, where they can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    limit: Option<PathBuf>,
    kills: Option<PathBuf>,
    statistics: Option<PathBuf>,
}

impl Cgroup {
    /// The one that this process is in.
    pub fn own() -> Self {
        Self::in_mount(Path::new(MOUNT), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    fn in_mount(mount: &Path, memberships: &str) -> Self {
        let folders = memberships.lines().flat_map(|line| folders(mount, line)).collect::<Vec<_>>();
        let first = |names: [&str; 2]| {
            let files = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
            files.into_iter().find(|file| fs::metadata(file).is_ok())
        };
        Self {
            limit: first(["memory.max", "memory.limit_in_bytes"]),
            kills: first(["memory.events", "memory.oom_control"]),
            statistics: first(["memory.stat", "memory.stat"]),
        }
    }

    /// The limit in bytes, if there is one.
    pub fn limit(&self) -> Option<u64> {
        let text = fs::read_to_string(self.limit.as_ref()?).ok()?;
        text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
    }

    /// How many bytes its processes have that the kernel cannot reclaim without killing: without the page cache.
    pub fn in_use(&self) -> Option<u64> {
        let text = fs::read_to_string(self.statistics.as_ref()?).ok()?;
        // Version 1 has the group alone as `rss`, and with those below it as `total_rss`.
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
        };
        value("total_rss").or_else(|| value("anon"))
    }

    /// How many processes the kernel has killed in this group for want of memory, since the group was made.
    pub fn kills(&self) -> Option<u64> {
        let text = fs::read_to_string(self.kills.as_ref()?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

/// Where the files of one line of `/proc/self/cgroup` (`4:memory:/docker/1f2e`, `0::/system.slice/x`) may be:
/// below the group's own name, or at the top of what is mounted, which in a container is the group itself.
fn folders(mount: &Path, line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let root = match controllers {
        "" => mount.to_path_buf(),
        _ if controllers.split(',').any(|one| one == "memory") => mount.join("memory"),
        _ => return Vec::new(),
    };
    vec![root.join(path.trim_start_matches('/')), root]
}

/// How many bytes of a process are resident and not shared: what its end would free.
pub fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    resident.checked_sub(shared)?.checked_mul(page)
}

/// `oom_score_adj` of a process: -1000 to 1000, where more means sooner.
pub fn oom_score_adjustment(pid: u32) -> io::Result<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// Sets it. A higher value is always allowed, a lower one down to the lowest that a process with `SYS_RESOURCE` has set
/// (`proc(5)`, `/proc/pid/oom_score_adj`), else `EACCES`.
pub fn set_oom_score_adjustment(pid: u32, value: i32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/oom_score_adj"), value.clamp(-1000, 1000).to_string())
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
