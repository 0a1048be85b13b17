//! The answer to `show proc` of the master CLI.
//!
//! ```text
//! #<PID>          <type>          <reloads>       <uptime>        <version>
//! 12524           master          0 [failed: 0]   0d00h00m00s     2.6.12-1+deb12u4
//! # workers
//! 12526           worker          0               0d00h00m00s     2.6.12-1+deb12u4
//! # old workers
//! # programs
//! ```

/// What a process is to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessKind {
    /// The master itself.
    Master,
    /// The worker that serves.
    Worker,
    /// A worker of before a reload by the master. A generation of Clearway has none.
    OldWorker,
    /// A `program`, which HAProxy knew until 3.2: a sidecar that the master starts.
    Program,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessLine {
    /// Its pid.
    pub pid: u32,
    /// What it is.
    pub kind: ProcessKind,
    /// How long it has been there, in HAProxy's words: `0d00h00m07s`.
    pub uptime: String,
}

/// All processes of a master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// In the order of the answer.
    pub all: Vec<ProcessLine>,
}

impl Processes {
    /// Reads the answer. None if it names no master: it is another answer then.
    pub fn parse(text: &str) -> Option<Self> {
        let mut old = false;
        let mut all = Vec::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix('#') {
                old = heading.trim_start().starts_with("old");
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [pid, kind, rest @ ..] = words.as_slice() else { continue };
            let Ok(pid) = pid.parse() else { continue };
            let kind = match (*kind, old) {
                ("master", _) => ProcessKind::Master,
                ("worker", false) => ProcessKind::Worker,
                ("worker", true) => ProcessKind::OldWorker,
                _ => ProcessKind::Program,
            };
            let uptime = rest.iter().find(|word| word.contains('d') && word.ends_with('s'));
            all.push(ProcessLine { pid, kind, uptime: uptime.copied().unwrap_or_default().to_owned() });
        }
        all.iter().any(|process| process.kind == ProcessKind::Master).then_some(Self { all })
    }

    /// The pids of the workers that serve: one, for a generation of Clearway.
    pub fn workers(&self) -> impl Iterator<Item = u32> {
        self.all.iter().filter(|process| process.kind == ProcessKind::Worker).map(|process| process.pid)
    }
}
