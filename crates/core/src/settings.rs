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

mod admin;
mod canary;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod strays;
mod table;
mod value;

pub use admin::{AdminAddress, AdminPath};
pub use canary::{CanaryMode, ProbeAddresses};
pub use strays::{Stray, strays};
pub use table::{Setting, SettingKey, TABLE};
pub use value::{ApplySetting, CarrySetting, LogFormat, LogLevel, LogSetting, WatchMode, duration};

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
    pub carry: CarrySetting,
    /// What a request to reload does.
    pub apply: ApplySetting,
    /// How clients come to the new generation.
    pub strategy: Strategy,
    /// What old generations may take.
    pub old: Budget,
    /// Format and level of Clearway's own log.
    pub log: LogSetting,
    /// Unset: chosen among the bits that no rule tests.
    pub mark: Option<Mark>,
    /// Where the admin socket is made if it can be.
    pub run_directory: std::path::PathBuf,
    /// Where the API listens; empty: nowhere.
    pub admin: Vec<AdminAddress>,
    /// What clients of the API must show over TCP stands in this file; unset: nothing.
    pub admin_token_file: Option<std::path::PathBuf>,
    /// In addition to those that the configuration names.
    pub ports: Vec<u16>,
    /// Whether files are watched, and how.
    pub watch: WatchMode,
    /// From the last change to a look.
    pub watch_quiet: Duration,
    /// Whether the return path of clients is verified.
    pub canary: CanaryMode,
    /// From which addresses.
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
            carry: CarrySetting::default(),
            apply: ApplySetting::default(),
            strategy: Strategy::default(),
            old: Budget { generations: 50, age: None, memory: None },
            log: LogSetting::default(),
            mark: None,
            run_directory: "/run/clearway".into(),
            admin: Vec::new(),
            admin_token_file: None,
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
            SettingKey::Apply => self.apply = text.parse().map_err(wrong)?,
            SettingKey::Strategy => self.strategy = text.parse().map_err(wrong)?,
            SettingKey::OldGenerations => self.old.generations = value::number(text).map_err(wrong)?,
            SettingKey::OldAge => self.old.age = Some(value::duration(text).map_err(wrong)?),
            SettingKey::OldMemory => self.old.memory = Some(value::size(text).map_err(wrong)?),
            SettingKey::Log => self.log = text.parse().map_err(wrong)?,
            SettingKey::Mark => self.mark = Some(value::mark(text).map_err(wrong)?),
            SettingKey::RunDirectory => self.run_directory = text.into(),
            SettingKey::Admin => self.admin = admin::addresses(text).map_err(wrong)?,
            SettingKey::AdminTokenFile => self.admin_token_file = Some(text.into()),
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
