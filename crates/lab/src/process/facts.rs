//! What `/proc` says of a process.

use std::fs::{read, read_dir, read_to_string};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

/// What a process has cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Resident memory in KiB (`VmRSS`).
    pub resident_kib: u64,
    /// Of that, what is not backed by files (`RssAnon`): memory that no other process can share.
    pub anonymous_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Times that one of its threads went to sleep by itself: idle wake-ups.
    pub wakeups: u64,
    /// Processor time in clock ticks (10 ms).
    pub cpu_ticks: u64,
}

impl Facts {
    /// Reads them now.
    pub fn of(pid: u32) -> Result<Self> {
        let status = proc_file(pid, "status")?;
        let mut wakeups = 0;
        for task in read_dir(format!("/proc/{pid}/task")).context("listing threads")?.flatten() {
            let of_thread = read_to_string(task.path().join("status")).unwrap_or_default();
            wakeups += number(&of_thread, "voluntary_ctxt_switches").unwrap_or(0);
        }
        let field = |name| number(&status, name).ok_or_else(|| anyhow!("no {name} in /proc/{pid}/status"));
        Ok(Self {
            resident_kib: field("VmRSS")?,
            anonymous_kib: field("RssAnon")?,
            threads: field("Threads")?,
            wakeups,
            cpu_ticks: cpu_ticks(&proc_file(pid, "stat")?)
                .ok_or_else(|| anyhow!("reading /proc/{pid}/stat"))?,
        })
    }
}

/// The direct children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Children, their children and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// The processes that are alive in the process groups of these leaders.
pub fn in_groups_of(leaders: &[u32]) -> Vec<u32> {
    let Ok(processes) = read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // After the name, which may hold anything, in parentheses: state, parent, group (proc(5)).
    let group = |pid: u32| {
        let stat = proc_file(pid, "stat").ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse::<u32>().ok()
    };
    numbers
        .filter(|pid| group(*pid).is_some_and(|group| leaders.contains(&group)) && is_alive(*pid))
        .collect()
}

/// The words that a process was started with; none for one that is gone or a zombie.
pub fn command_line(pid: u32) -> Vec<String> {
    let bytes = read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Whether it exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    let status = proc_file(pid, "status").unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !matches!(state.trim().as_bytes().first(), Some(b'Z' | b'X')))
}

/// Whether a process has a handler for this signal and does not hold it back at the moment.
pub fn catches(pid: u32, signal: rustix::process::Signal) -> bool {
    let status = proc_file(pid, "status").unwrap_or_default();
    let has = |mask: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(mask));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
        bits & (1 << (signal.as_raw() - 1)) != 0
    };
    has("SigCgt:") && !has("SigBlk:")
}

fn proc_file(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    read_to_string(&path).with_context(|| format!("reading {path}"))
}

/// The first number after `name:`.
fn number(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time; the name in parentheses may hold anything, so count after its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::{Facts, cpu_ticks, number};

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let status = "VmRSSX:\t1 kB\nVmRSS:\t 3904 kB\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(number(status, "VmRSS"), Some(3904));
        assert_eq!(number(status, "voluntary_ctxt_switches"), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        assert_eq!(cpu_ticks("1 (a) b) S 1 1 1 0 -1 4 1 0 0 0 30 12 0 0"), Some(42));
    }

    #[test]
    fn we_have_facts_ourselves() {
        assert!(Facts::of(std::process::id()).expect("own facts").resident_kib > 0);
    }
}
