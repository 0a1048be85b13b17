//! The processes that a master CLI leads to, and what `show proc` says of them.

use std::fmt::{self, Write};
use std::time::Duration;

use super::Dialect;

/// What is said of the master.
#[derive(Clone, Debug, Default)]
pub struct MasterView {
    /// The process that hears signals.
    pub pid: u32,
    /// For how long it has been running.
    pub uptime: Duration,
    /// How many reloads were asked for.
    pub reloads: u32,
    /// How many of the last ones failed, one after the other.
    pub failed: u32,
}

/// A worker.
#[derive(Clone, Debug)]
pub struct WorkerRow {
    /// Its process.
    pub pid: u32,
    /// For how long it has been running.
    pub uptime: Duration,
    /// How many reloads were asked for since it was started.
    pub reloads: u32,
    /// Whether it has been told to finish.
    pub leaves: bool,
    /// HAProxy's own text for its version.
    pub version: String,
}

/// A program of a `program` section.
#[derive(Clone, Debug)]
pub struct ProgramRow {
    /// Its process.
    pub pid: u32,
    /// The name of its section.
    pub name: String,
    /// For how long it has been running.
    pub uptime: Duration,
    /// Whether it has been told to end.
    pub leaves: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct ProcessTable {
    /// The master.
    pub master: MasterView,
    /// HAProxy's own text for the version of the program on disk.
    pub version: String,
    /// The workers.
    pub workers: Vec<WorkerRow>,
    /// The programs.
    pub programs: Vec<ProgramRow>,
}

/// `0d00h00m01s`
struct Uptime(Duration);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        write!(f, "{days}d{hours:02}h{minutes:02}m{:02}s", seconds % 60)
    }
}

impl ProcessTable {
    /// The worker that is meant by `@1`: the one that serves, or else that of the fewest reloads.
    pub fn current(&self) -> Option<u32> {
        self.workers.iter().min_by_key(|worker| (worker.leaves, worker.reloads)).map(|worker| worker.pid)
    }

    /// The answer to `show proc`.
    pub fn show(&self, dialect: Dialect, debug: bool) -> String {
        let debug = debug && dialect.has_show_proc_debug();
        let mut text = String::new();
        let head = ["<PID>", "<type>", "<reloads>", "<uptime>", "<version>"];
        let [pid, kind, reloads, uptime, version] = head;
        let sockets = if debug { "\t\t <ipc_fd[0]>     <ipc_fd[1]>    " } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#{pid:<14} {kind:<15} {reloads:<15} {uptime:<15} {version:<15}{sockets}");
        let MasterView { pid, reloads, failed, uptime } = self.master;
        row(&mut text, pid, "master", &format!("{reloads} [failed: {failed}]"), uptime, &self.version, debug);
        let (mut old, current): (Vec<_>, Vec<_>) = self.workers.iter().partition(|worker| worker.leaves);
        old.sort_by_key(|worker| worker.reloads);
        text.push_str("# workers\n");
        for worker in current {
            worker.row(&mut text, debug);
        }
        if !old.is_empty() {
            text.push_str("# old workers\n");
            for worker in old {
                worker.row(&mut text, debug);
            }
        }
        self.show_programs(&mut text, dialect);
        text
    }

    fn show_programs(&self, text: &mut String, dialect: Dialect) {
        let (old, current): (Vec<_>, Vec<_>) = self.programs.iter().partition(|program| program.leaves);
        if !current.is_empty() || dialect.announces_programs() {
            text.push_str("# programs\n");
        }
        for program in current {
            program.row(text);
        }
        if !old.is_empty() {
            text.push_str("# old programs\n");
            for program in old {
                program.row(text);
            }
        }
    }
}

impl WorkerRow {
    fn row(&self, text: &mut String, debug: bool) {
        row(text, self.pid, "worker", &self.reloads.to_string(), self.uptime, &self.version, debug);
    }
}

impl ProgramRow {
    fn row(&self, text: &mut String) {
        row(text, self.pid, &self.name, "0", self.uptime, "-", false);
    }
}

fn row(text: &mut String, pid: u32, kind: &str, reloads: &str, uptime: Duration, version: &str, debug: bool) {
    let uptime = Uptime(uptime).to_string();
    // They are those of the master that a client believes to speak with.
    let sockets = if debug { "\t\t -1              -1             " } else { "" };
    let _ = writeln!(text, "{pid:<15} {kind:<15} {reloads:<15} {uptime:<15} {version:<15}{sockets}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn table() -> ProcessTable {
        let uptime = Duration::from_secs(90_061);
        let worker = |pid, reloads, leaves| WorkerRow {
            pid,
            uptime,
            reloads,
            leaves,
            version: "2.6.12-1+deb12u4".into(),
        };
        ProcessTable {
            master: MasterView { pid: 4397, uptime, reloads: 5, failed: 0 },
            version: "2.6.12-1+deb12u4".into(),
            workers: vec![worker(4400, 3, true), worker(4410, 0, false)],
            programs: vec![ProgramRow { pid: 7, name: "foo".into(), uptime, leaves: false }],
        }
    }

    #[test]
    fn the_table_is_haproxys() {
        // Measured with 2.6.12.
        let want = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
4397            master          5 [failed: 0]   1d01h01m01s     2.6.12-1+deb12u4\n\
# workers\n\
4410            worker          0               1d01h01m01s     2.6.12-1+deb12u4\n\
# old workers\n\
4400            worker          3               1d01h01m01s     2.6.12-1+deb12u4\n\
# programs\n\
7               foo             0               1d01h01m01s     -              \n";
        assert_eq!(table().show(Dialect::of(Some(Version::release(2, 6, 12))), true), want);
        assert_eq!(table().current(), Some(4410));
    }

    #[test]
    fn a_newer_one_has_a_debug_mode_and_no_line_for_no_programs() {
        let table = ProcessTable { programs: Vec::new(), ..table() };
        let shown = table.show(Dialect::of(Some(Version::release(3, 4, 0))), true);
        assert!(shown.lines().next().unwrap().ends_with("\t\t <ipc_fd[0]>     <ipc_fd[1]>    "), "{shown}");
        assert!(!shown.contains("programs"), "{shown}");
    }
}
