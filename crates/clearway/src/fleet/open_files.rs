//! How many descriptors this process may have, and room for them.
//!
//! Every listening socket is held twice while a generation proves itself, and a takeover or a holder brings all of them at
//! once, before anything else has begun. So the limit is raised first of all.
//!
//! The kernel's table of descriptors grows by doubling, and each time it waits until no processor looks at the old table any
//! more (`synchronize_rcu` in `expand_fdtable`, fs/file.c) if the process has threads: 5 to 15 ms each, 50 ms of a takeover
//! of 3,000 sockets (Linux 6.18). Before the first thread there is nothing to wait for.

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use crate::fleet::notices::FleetNotice;
use crate::ground::notice::tell;

/// Room for so many from the beginning: 64 KiB of the kernel's memory.
const ROOM: u64 = 8192;

/// The limit as it was given to us; ours is raised to what is allowed.
#[derive(Clone, Copy, Debug)]
pub struct OpenFiles {
    /// HAProxy is started with this one, and raises it as it sees fit.
    pub given: Rlimit,
    refused: Option<Errno>,
}

impl OpenFiles {
    /// Raises the limit, and makes room. To be called before the first thread.
    pub fn raise() -> Self {
        let given = rustix::process::getrlimit(Resource::Nofile);
        let raised = Rlimit { current: given.maximum, maximum: given.maximum };
        let refused = rustix::process::setrlimit(Resource::Nofile, raised).err();
        let limit = if refused.is_some() { given.current } else { given.maximum };
        make_room(limit.map_or(ROOM, |limit| limit.min(ROOM)));
        Self { given, refused }
    }

    /// Says in the log if that could not be done.
    pub fn tell(&self) {
        if let Some(error) = self.refused {
            tell(&FleetNotice::FilesLimited { limit: self.given.current, error: error.to_string() });
        }
    }
}

/// A duplicate with the highest number, closed at once: the table stays as large. Any descriptor will do, and without one
/// the table grows as it is needed.
fn make_room(descriptors: u64) {
    let highest = descriptors.checked_sub(1).and_then(|number| i32::try_from(number).ok());
    if let (Ok(any), Some(highest)) = (std::fs::File::open("/"), highest) {
        let _ = rustix::io::fcntl_dupfd_cloexec(any.as_fd(), highest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `FDSize` is how many descriptors the table has room for (proc(5)).
    #[test]
    fn there_is_room_from_the_beginning() {
        let raised = OpenFiles::raise();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        let limit = raised.given.maximum.map_or(ROOM, |limit| limit.min(ROOM));
        assert!(size.trim().parse::<u64>().unwrap() >= limit, "{size} of {limit}");
        assert_eq!(rustix::process::getrlimit(Resource::Nofile).current, raised.given.maximum);
    }
}
