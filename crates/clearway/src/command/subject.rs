//! What `check` and `doctor` look at: the files that their command line names, else those of the Clearway that runs here,
//! with its environment, its working directory and its settings. What was given to the subcommand itself wins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use clearway_core::failure::Failure;
use clearway_core::settings::{Settings, Stray, TABLE};
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::{Bind, Configuration};
use clearway_kernel::listeners::is_local;

use crate::cli;
use crate::cli::invocation::invocation;
use crate::custody::foreign;
use crate::fleet::child::is_inherited;
use crate::fleet::chosen::read_with;
use crate::front::api::Started;
use crate::front::master_cli::lacking::lacking;
use crate::ground::places::Missing;

/// A configuration, and what it is read with.
#[derive(Debug)]
pub struct Setup {
    /// HAProxy and its arguments.
    pub invocation: Invocation,
    /// With what a running Clearway was given, where that counts.
    pub settings: Settings,
    /// Unset: that of this process.
    environment: Option<Vec<(OsString, OsString)>>,
    /// Whether a Clearway was started so that runs now.
    runs: bool,
    /// Variables that look like settings.
    pub strays: Vec<Stray>,
}

impl Setup {
    /// What the arguments name.
    pub fn named(arguments: Vec<OsString>, settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            invocation: invocation(arguments)?,
            settings: settings.clone(),
            environment: None,
            runs: false,
            strays: cli::strays(std::env::vars_os()),
        })
    }

    /// What a running Clearway was started with. This process goes to its working directory, where relative paths begin.
    /// Nothing, if that is not the same place here, or says nothing.
    pub fn of_running(started: &Started, pid: i32, settings: &Settings) -> Option<Self> {
        let invocation = invocation(started.haproxy.iter().map(OsString::from).collect()).ok()?;
        let mut settings = settings.clone();
        for row in TABLE {
            if let Some(text) = started.settings.get(row.variable)
                && !settings.is_given(row.key)
            {
                // One of a later version may take what we do not.
                settings.set(row.key, text, row.variable).ok()?;
            }
        }
        std::env::set_current_dir(&started.directory).ok()?;
        let environment = environment(pid);
        let strays = cli::strays(environment.clone().unwrap_or_default());
        let inherited =
            |all: Vec<(OsString, OsString)>| all.into_iter().filter(|(name, _)| is_inherited(name)).collect();
        Some(Self { invocation, settings, environment: environment.map(inherited), runs: true, strays })
    }

    /// Reads the files.
    pub fn read(&self) -> Result<Configuration, Failure> {
        match &self.environment {
            None => read_with(&self.invocation, |name| std::env::var_os(name)),
            Some(known) => read_with(&self.invocation, |name| {
                known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }),
        }
    }

    /// What the master CLI lacks where `-S` says that it listens.
    pub fn lacking(&self) -> impl Iterator<Item = Missing> {
        // What is in use there is what it uses.
        lacking(&self.invocation.master_cli).into_iter().filter(|one| one.stops || !self.runs)
    }

    /// HAProxy, to be asked about the files.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.invocation.program);
        if let Some(known) = &self.environment {
            command.env_clear().envs(known.iter().map(|(name, value)| (name, value)));
        }
        command
    }
}

/// What a process was started with; unset where it may not be read.
fn environment(pid: i32) -> Option<Vec<(OsString, OsString)>> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value.get(1..)?).to_owned()))
    });
    Some(pairs.collect())
}

/// A line for each address of a `bind` line that this host does not have: HAProxy alone would refuse it, Clearway listens
/// there for it, and a mistyped address looks like one that is still to come.
pub fn elsewhere(configuration: &Configuration) -> Vec<String> {
    // A range of ports has one address.
    let addresses = foreign::wanted(configuration).map(|(bind, address)| (address.ip(), bind));
    let addresses: BTreeMap<IpAddr, &Bind> = addresses.collect();
    let foreign = addresses.into_iter().filter(|(address, _)| !is_local(*address));
    foreign
        .map(|(address, bind)| {
            format!(
                "{address} ({}) is not an address of this host: no client is served there until it is",
                bind.span
            )
        })
        .collect()
}
