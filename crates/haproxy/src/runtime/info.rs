//! The answer to `show info`: `Name: value` lines, of which there are more in each version.

use std::collections::BTreeMap;

use crate::version::Version;

/// What a worker says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// `Pid` of the worker (not of its master).
    pub pid: u32,
    /// `Version`, if it is one that we can read.
    pub version: Option<Version>,
    /// `Uptime_sec`: seconds since the worker started.
    pub uptime_seconds: u64,
    /// `Stopping`: it was told to finish.
    pub stopping: bool,
    /// `CurrConns`: connections from clients right now. Those to stats sockets are not among them.
    pub current_connections: u64,
    /// `CumConns`: connections from clients since the start.
    pub connections: u64,
    /// `Process_num`: 1 but for `nbproc` in 2.4.
    pub process_number: u32,
    fields: BTreeMap<String, String>,
}

impl Info {
    /// Reads the answer. None if it is another one: there is no `Pid` then.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let number = |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok());
        let small = |name: &str| number(name).and_then(|value| u32::try_from(value).ok());
        Some(Self {
            pid: small("Pid")?,
            version: fields.get("Version").and_then(|text| Version::from_text(text)),
            uptime_seconds: number("Uptime_sec").unwrap_or_default(),
            stopping: number("Stopping").unwrap_or_default() != 0,
            current_connections: number("CurrConns").unwrap_or_default(),
            connections: number("CumConns").unwrap_or_default(),
            process_number: small("Process_num").unwrap_or(1),
            fields,
        })
    }

    /// Any other line, by its name: `Nbthread`, `MaxConn`, `node`...
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}
