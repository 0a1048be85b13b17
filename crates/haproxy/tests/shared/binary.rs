//! Which HAProxy is under test: `CLEARWAY_TEST_HAPROXY` names commands, separated by `;`, and `haproxy` is one if it is unsaid.

use std::process::Command as Process;

use clearway_haproxy::version::Version;

/// A HAProxy on this machine.
#[derive(Clone)]
pub(crate) struct Binary {
    words: Vec<String>,
    pub(crate) version: Version,
}

impl Binary {
    pub(crate) fn all() -> Vec<Self> {
        let names = std::env::var("CLEARWAY_TEST_HAPROXY").unwrap_or_else(|_| "haproxy".to_owned());
        names.split(';').filter_map(Self::find).collect()
    }

    fn find(command: &str) -> Option<Self> {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let (program, arguments) = words.split_first()?;
        let output = Process::new(program).args(arguments).arg("-v").output().ok()?;
        let version = Version::parse(&String::from_utf8_lossy(&output.stdout)).ok()?;
        Some(Self { words, version })
    }

    pub(crate) fn process(&self) -> Process {
        let mut process = Process::new(&self.words[0]);
        process.args(&self.words[1..]);
        process
    }
}
