//! When processes were killed: what was lost at another moment was not theirs.
//!
//! Each thread keeps the deaths that it has caused itself, and a test is one thread, which begins with [`forget_deaths`]: the
//! threads of a test run serve one test after another. A death takes time, on busy
//! processors a long one, and so does that of a HAProxy after a kill of its master: it lasts from just before the signal to
//! the end of the last of these processes, those included that they have started meanwhile (each HAProxy has a process
//! group of its own).

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::facts::{descendants, in_groups_of};

thread_local! {
    static DEATHS: RefCell<Vec<Death>> = const { RefCell::new(Vec::new()) };
}

/// The death of a process and its descendants.
#[derive(Debug, Clone)]
pub struct Death {
    begun: Instant,
    over: Arc<OnceLock<Instant>>,
}

impl Death {
    /// Whether something that lasted from `begun` to `ended` was there at some moment of this death.
    pub fn meets(&self, begun: Instant, ended: Instant) -> bool {
        ended >= self.begun && self.over.get().is_none_or(|over| begun <= *over)
    }
}

/// The deaths that this thread has caused, in order.
pub fn deaths() -> Vec<Death> {
    DEATHS.with_borrow(Clone::clone)
}

/// Forgets what an earlier test of this thread has killed.
pub fn forget_deaths() {
    DEATHS.with_borrow_mut(Vec::clear);
}

/// Notes that this process is about to be killed, and follows its end and that of its descendants.
pub fn about_to_die(pid: u32) {
    let mut dying = descendants(pid);
    dying.push(pid);
    let mut handles: Vec<OwnedFd> = dying.iter().copied().filter_map(handle).collect();
    let death = Death { begun: Instant::now(), over: Arc::default() };
    let over = Arc::clone(&death.over);
    DEATHS.with_borrow_mut(|deaths| deaths.push(death));
    std::thread::spawn(move || {
        while !handles.is_empty() {
            for handle in &handles {
                // Readable as soon as it has ended, reaped or not. An error does not end the wait: it repeats.
                while poll(&mut [PollFd::new(handle, PollFlags::IN)], None).is_err() {}
            }
            handles = in_groups_of(&dying).into_iter().filter_map(handle).collect();
        }
        let _ = over.set(Instant::now());
    });
}

fn handle(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::wait::eventually;

    #[test]
    fn a_death_lasts_until_the_last_descendant_has_ended() {
        let before = Instant::now();
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line)
            .unwrap();
        about_to_die(shell.id());
        shell.kill().unwrap();
        shell.wait().unwrap();
        let death = deaths().pop().unwrap();
        let killed = Instant::now();
        assert!(death.meets(killed, killed), "its child is alive");
        assert!(!death.meets(before, before), "no process had been killed then");
        super::super::kill(line.trim().parse().unwrap());
        eventually(Duration::from_secs(10), "the end of the child", || death.over.get().copied()).unwrap();
        let later = Instant::now();
        assert!(!death.meets(later, later) && death.meets(before, later));
    }
}
