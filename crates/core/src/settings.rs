//! The settings: one table that feeds the flags, the environment variables, `--help`, the manual page
//! and docs/reference/settings.md, and the [`Settings`] that come out of it.
//!
//! All settings are checked before the first side effect. A wrong value names itself, what was expected,
//! and where it came from.

use std::time::Duration;

use crate::intercept::{self, Interception};
use crate::names::{InstanceName, Mark};
use crate::strategy::Strategy;
use crate::supervisor::Budget;

mod canary;
mod strays;
mod value;

pub use canary::{CanaryMode, ProbeAddresses};
pub use strays::{Stray, strays};
pub use value::{CarryMode, LogFormat, LogLevel, LogSetting, WatchMode};

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// What is set.
    pub key: SettingKey,
    /// The long flag, without its dashes.
    pub flag: &'static str,
    /// The environment variable of the same meaning; the flag wins over it.
    pub variable: &'static str,
    /// What stands for the value in `--help`.
    pub value: &'static str,
    /// The default as it would be typed, or what happens without.
    pub default: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

/// The settings by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is described by its row in `TABLE`
pub enum SettingKey {
    Instance,
    DrainTimeout,
    StopDelay,
    TakeoverDrain,
    TakeoverBack,
    TakeoverMost,
    TakeoverDirectory,
    HoldAfterStop,
    HoldAfterLoss,
    ReadyTimeout,
    Settle,
    Carry,
    Strategy,
    OldGenerations,
    OldAge,
    OldMemory,
    Log,
    Mark,
    RunDirectory,
    Ports,
    Watch,
    WatchQuiet,
    Canary,
    CanaryAddress,
    CanaryEvery,
    Intercept,
    InterceptFail,
}

/// All settings, of `clearway run` and of `clearway hold`.
pub const TABLE: &[Setting] = &[
    Setting {
        key: SettingKey::Instance,
        flag: "instance",
        variable: "CLEARWAY_INSTANCE",
        value: "NAME",
        default: "a private, unnamed instance that never meets another",
        help: "The name under which Clearways belong together: `a-z`, `0-9` and `-`, up to 32 characters",
    },
    Setting {
        key: SettingKey::DrainTimeout,
        flag: "drain-timeout",
        variable: "CLEARWAY_DRAIN_TIMEOUT",
        value: "DURATION",
        default: "295s",
        help: "How long sessions may take to finish after a stop was asked for, before they are cut",
    },
    Setting {
        key: SettingKey::StopDelay,
        flag: "stop-delay",
        variable: "CLEARWAY_STOP_DELAY",
        value: "DURATION",
        default: "0s",
        help: "How long after a stop was asked for everything goes on but the health check, so that balancers in front see it coming",
    },
    Setting {
        key: SettingKey::TakeoverDrain,
        flag: "takeover-drain",
        variable: "CLEARWAY_TAKEOVER_DRAIN",
        value: "DURATION",
        default: "24h",
        help: "How long sessions may take to finish after another Clearway of this name took over, before they are cut",
    },
    Setting {
        key: SettingKey::TakeoverBack,
        flag: "takeover-back",
        variable: "CLEARWAY_TAKEOVER_BACK",
        value: "DURATION",
        default: "10m",
        help: "How long a container that was superseded does not get the sockets back when it is started again; each try counts anew",
    },
    Setting {
        key: SettingKey::TakeoverMost,
        flag: "takeover-most",
        variable: "CLEARWAY_TAKEOVER_MOST",
        value: "NUMBER",
        default: "10",
        help: "After how many takeovers within `CLEARWAY_TAKEOVER_BACK` every further container of this name is turned away, \
               because containers replace each other for ever; `0`: never",
    },
    Setting {
        key: SettingKey::TakeoverDirectory,
        flag: "takeover-directory",
        variable: "CLEARWAY_TAKEOVER_DIRECTORY",
        value: "DIRECTORY",
        default: "abstract sockets, which all containers of one network namespace see",
        help: "A directory on a volume that Clearways of one name share, for the sockets over which they take over",
    },
    Setting {
        key: SettingKey::HoldAfterStop,
        flag: "hold-after-stop",
        variable: "CLEARWAY_HOLD_AFTER_STOP",
        value: "DURATION",
        default: "10s",
        help: "`clearway hold`: how long the sockets stay open after the balancer was stopped as planned",
    },
    Setting {
        key: SettingKey::HoldAfterLoss,
        flag: "hold-after-loss",
        variable: "CLEARWAY_HOLD_AFTER_LOSS",
        value: "DURATION",
        default: "5m",
        help: "`clearway hold`: how long the sockets stay open after the balancer was lost",
    },
    Setting {
        key: SettingKey::ReadyTimeout,
        flag: "ready-timeout",
        variable: "CLEARWAY_READY_TIMEOUT",
        value: "DURATION",
        default: "10m",
        help: "How long a new HAProxy may take to prove that it is ready, before it is given up",
    },
    Setting {
        key: SettingKey::Settle,
        flag: "settle",
        variable: "CLEARWAY_SETTLE",
        value: "DURATION",
        default: "200ms",
        help: "How long a new HAProxy that is ready must live beside the one that serves, before it replaces it",
    },
    Setting {
        key: SettingKey::Carry,
        flag: "carry",
        variable: "CLEARWAY_CARRY",
        value: "WHAT",
        default: "servers",
        help: "What a generation knows that passes to the next one: `servers` (health, and what was set through the \
               runtime API), `off` (docs/explanation/carry.md)",
    },
    Setting {
        key: SettingKey::Strategy,
        flag: "strategy",
        variable: "CLEARWAY_STRATEGY",
        value: "NAME",
        default: "handoff",
        help: "How clients come to the new HAProxy at a reload: `handoff`, `reuseport`, `syn-drop`, `plug`, `tableflip`, `auto` \
               (docs/explanation/strategies.md)",
    },
    Setting {
        key: SettingKey::OldGenerations,
        flag: "old-generations",
        variable: "CLEARWAY_OLD_GENERATIONS",
        value: "NUMBER",
        default: "50",
        help: "How many old generations may be finishing their sessions; above, those with the fewest are cut",
    },
    Setting {
        key: SettingKey::OldAge,
        flag: "old-age",
        variable: "CLEARWAY_OLD_AGE",
        value: "DURATION",
        default: "as long as its last session",
        help: "How long an old generation may finish its sessions, before they are cut",
    },
    Setting {
        key: SettingKey::OldMemory,
        flag: "old-memory",
        variable: "CLEARWAY_OLD_MEMORY",
        value: "SIZE",
        default: "as much as there is",
        help: "How much memory all old generations may have together (`512M`); above, those with the fewest \
               sessions are cut",
    },
    Setting {
        key: SettingKey::Log,
        flag: "log",
        variable: "CLEARWAY_LOG",
        value: "FORMAT,LEVEL",
        default: "text,info",
        help: "Clearway's own log on standard error: `text` or `json`, and `error`, `warn`, `info` or `debug`",
    },
    Setting {
        key: SettingKey::Mark,
        flag: "mark",
        variable: "CLEARWAY_MARK",
        value: "BIT",
        default: "bit 29 (0x20000000), or the next that no policy rule tests",
        help: "The one bit of the packet mark that Clearway uses, as a number with one bit set (0x20000000)",
    },
    Setting {
        key: SettingKey::RunDirectory,
        flag: "run-directory",
        variable: "CLEARWAY_RUN_DIRECTORY",
        value: "DIRECTORY",
        default: "/run/clearway, or an abstract socket where nothing can be written",
        help: "Where the admin socket is made, and where the subcommands look for it",
    },
    Setting {
        key: SettingKey::Ports,
        flag: "ports",
        variable: "HAPROXY_PORTS",
        value: "PORT,...",
        default: "the ports are found in the configuration",
        help: "Ports in addition to those found in the configuration, as the shell-script images took them",
    },
    Setting {
        key: SettingKey::Watch,
        flag: "watch",
        variable: "CLEARWAY_WATCH",
        value: "MODE",
        default: "off",
        help: "Reload by itself when the configuration or a file that it names changes: `off`, `on` (the kernel tells), `poll` (looks every 5 s)",
    },
    Setting {
        key: SettingKey::WatchQuiet,
        flag: "watch-quiet",
        variable: "CLEARWAY_WATCH_QUIET",
        value: "DURATION",
        default: "500ms",
        help: "How long watched files must be left alone before they are looked at, so that many changes are one reload",
    },
    Setting {
        key: SettingKey::Canary,
        flag: "canary",
        variable: "CLEARWAY_CANARY",
        value: "MODE",
        default: "on",
        help: "Prove with connections to the transparent servers that their answers to clients come back, at the start and after each \
               change: `off`, `on`, `ready` (Clearway is ready only if they do)",
    },
    Setting {
        key: SettingKey::CanaryAddress,
        flag: "canary-address",
        variable: "CLEARWAY_CANARY_ADDRESS",
        value: "ADDRESS[,ADDRESS]",
        default: "198.18.179.1,2001:2::179",
        help: "Source address of the canary's probes, one for each family: one that no client has, and that the servers route as \
               they route clients",
    },
    Setting {
        key: SettingKey::CanaryEvery,
        flag: "canary-every",
        variable: "CLEARWAY_CANARY_EVERY",
        value: "DURATION",
        default: "off",
        help: "How often it is proved again although nothing has changed here",
    },
    Setting {
        key: SettingKey::Intercept,
        flag: "intercept",
        variable: "CLEARWAY_INTERCEPT",
        value: "RULE[;RULE]",
        default: "nothing",
        help: "Which connections that go through this host to addresses of others a `bind ... transparent` gets: \
               `DESTINATION[,...] port PORT[,...] [from INTERFACE] to PORT`, such as `10.2.0.0/16,2001:db8:2::/48 port \
               80,8000-8099 from lan0 to 8080; any port 25 to 2525`",
    },
    Setting {
        key: SettingKey::InterceptFail,
        flag: "intercept-fail",
        variable: "CLEARWAY_INTERCEPT_FAIL",
        value: "MODE",
        default: "open",
        help: "What becomes of these connections when Clearway is lost: `open` (they go on to where they were going), \
               `closed` (they are rejected until the next start, or until `clearway cleanup`)",
    },
];

/// The settings, resolved: no option is left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unset: a private instance.
    pub instance: Option<InstanceName>,
    /// From a stop to the cut of what is left.
    pub drain_timeout: Duration,
    /// From the asking for a stop to its beginning.
    pub stop_delay: Duration,
    /// The same after a takeover.
    pub takeover_drain: Duration,
    /// How long a container that was superseded does not take over back.
    pub takeover_back: Duration,
    /// Unset: any number of takeovers within that time.
    pub takeover_most: Option<usize>,
    /// Unset: abstract sockets.
    pub takeover_directory: Option<std::path::PathBuf>,
    /// How long a holder holds after a planned stop.
    pub hold_after_stop: Duration,
    /// How long a holder holds after a loss.
    pub hold_after_loss: Duration,
    /// From the start of a HAProxy to its answer over the private socket.
    pub ready_timeout: Duration,
    /// From the proof of a new generation to its commit.
    pub settle: Duration,
    /// What passes from one generation to the next.
    pub carry: CarryMode,
    /// How clients come to the new generation.
    pub strategy: Strategy,
    /// What old generations may take.
    pub old: Budget,
    /// Format and level of Clearway's own log.
    pub log: LogSetting,
    /// Unset: chosen among the bits that nobody tests.
    pub mark: Option<Mark>,
    /// Where the admin socket is made if it can be.
    pub run_directory: std::path::PathBuf,
    /// In addition to those that the configuration names.
    pub ports: Vec<u16>,
    /// Whether files are watched, and how.
    pub watch: WatchMode,
    /// From the last change to a look.
    pub watch_quiet: Duration,
    /// Whether the way of the clients is proved.
    pub canary: CanaryMode,
    /// As whom.
    pub canary_address: ProbeAddresses,
    /// Unset: only after changes.
    pub canary_every: Option<Duration>,
    /// What is intercepted on its way through this host.
    pub interception: Interception,
    /// What was given, as it was typed, in the order of [`TABLE`]; the rest are defaults.
    pub given: Vec<(SettingKey, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: None,
            drain_timeout: Duration::from_secs(295),
            stop_delay: Duration::ZERO,
            takeover_drain: Duration::from_hours(24),
            takeover_back: Duration::from_mins(10),
            takeover_most: Some(10),
            takeover_directory: None,
            hold_after_stop: Duration::from_secs(10),
            hold_after_loss: Duration::from_mins(5),
            ready_timeout: Duration::from_mins(10),
            settle: Duration::from_millis(200),
            carry: CarryMode::default(),
            strategy: Strategy::default(),
            old: Budget { generations: 50, age: None, memory: None },
            log: LogSetting::default(),
            mark: None,
            run_directory: "/run/clearway".into(),
            ports: Vec::new(),
            watch: WatchMode::Off,
            watch_quiet: Duration::from_millis(500),
            canary: CanaryMode::default(),
            canary_address: ProbeAddresses::default(),
            canary_every: None,
            interception: Interception::default(),
            given: Vec::new(),
        }
    }
}

/// A value that a setting does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{origin}` is `{value}`: {problem}")]
pub struct InvalidSetting {
    /// The flag or the variable it came from.
    pub origin: String,
    /// What was given.
    pub value: String,
    /// What was expected.
    pub problem: String,
}

impl Settings {
    /// Takes one value, as typed after a flag or found in a variable.
    ///
    /// An empty variable counts as unset: `docker run -e CLEARWAY_INSTANCE=` and compose files with an
    /// unset substitution produce them.
    pub fn set(&mut self, key: SettingKey, text: &str, origin: &str) -> Result<(), InvalidSetting> {
        let wrong =
            |problem: String| InvalidSetting { origin: origin.to_owned(), value: text.to_owned(), problem };
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        match key {
            SettingKey::Instance => self.instance = Some(text.parse().map_err(|e| wrong(format!("{e}")))?),
            SettingKey::DrainTimeout => self.drain_timeout = value::duration(text).map_err(wrong)?,
            SettingKey::StopDelay => self.stop_delay = value::duration(text).map_err(wrong)?,
            SettingKey::TakeoverDrain => self.takeover_drain = value::duration(text).map_err(wrong)?,
            SettingKey::TakeoverBack => self.takeover_back = value::duration(text).map_err(wrong)?,
            SettingKey::TakeoverMost => {
                self.takeover_most = Some(value::number(text).map_err(wrong)?).filter(|most| *most > 0);
            }
            SettingKey::TakeoverDirectory => self.takeover_directory = Some(text.into()),
            SettingKey::HoldAfterStop => self.hold_after_stop = value::duration(text).map_err(wrong)?,
            SettingKey::HoldAfterLoss => self.hold_after_loss = value::duration(text).map_err(wrong)?,
            SettingKey::ReadyTimeout => self.ready_timeout = value::duration(text).map_err(wrong)?,
            SettingKey::Settle => self.settle = value::duration(text).map_err(wrong)?,
            SettingKey::Carry => self.carry = text.parse().map_err(wrong)?,
            SettingKey::Strategy => self.strategy = text.parse().map_err(wrong)?,
            SettingKey::OldGenerations => self.old.generations = value::number(text).map_err(wrong)?,
            SettingKey::OldAge => self.old.age = Some(value::duration(text).map_err(wrong)?),
            SettingKey::OldMemory => self.old.memory = Some(value::size(text).map_err(wrong)?),
            SettingKey::Log => self.log = text.parse().map_err(wrong)?,
            SettingKey::Mark => self.mark = Some(value::mark(text).map_err(wrong)?),
            SettingKey::RunDirectory => self.run_directory = text.into(),
            SettingKey::Ports => self.ports = value::ports(text).map_err(wrong)?,
            SettingKey::Watch => self.watch = text.parse().map_err(wrong)?,
            SettingKey::WatchQuiet => self.watch_quiet = value::duration(text).map_err(wrong)?,
            SettingKey::Canary => self.canary = text.parse().map_err(wrong)?,
            SettingKey::CanaryAddress => self.canary_address = text.parse().map_err(wrong)?,
            SettingKey::CanaryEvery => self.canary_every = canary::every(text).map_err(wrong)?,
            SettingKey::Intercept => self.interception.rules = intercept::rules(text).map_err(wrong)?,
            SettingKey::InterceptFail => self.interception.fail = text.parse().map_err(wrong)?,
        }
        self.given.push((key, text.to_owned()));
        Ok(())
    }

    /// Whether a setting was given, by a flag or a variable.
    pub fn is_given(&self, key: SettingKey) -> bool {
        self.given.iter().any(|(given, _)| *given == key)
    }
}

#[cfg(test)]
mod tests;
