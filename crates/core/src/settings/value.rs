//! How single values are read. Every error says what would have been right.

use std::str::FromStr;
use std::time::Duration;

use strum::EnumString;

use crate::names::Mark;

/// The longest duration a setting takes: a year. More is a typing error.
const LONGEST: Duration = Duration::from_hours(8784);

/// How Clearway's own log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How urgent a line of the log is, and from which level on Clearway logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
#[strum(serialize_all = "UPPERCASE")]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what needs attention.
    Warn,
    /// And one line per change of state.
    #[default]
    Info,
    /// And the details of each step.
    Debug,
}

/// `CLEARWAY_LOG`: a format, a level, or both with a comma between, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSetting {
    /// Text or JSON.
    pub format: LogFormat,
    /// From which severity on.
    pub level: LogLevel,
}

impl FromStr for LogSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut setting = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "text" => setting.format = LogFormat::Text,
                "json" => setting.format = LogFormat::Json,
                "error" => setting.level = LogLevel::Error,
                "warn" => setting.level = LogLevel::Warn,
                "info" => setting.level = LogLevel::Info,
                "debug" => setting.level = LogLevel::Debug,
                _ => {
                    return Err(format!(
                        "`{word}` is neither a format (`text`, `json`) nor a level (`error`, `warn`, `info`, `debug`)"
                    ));
                }
            }
        }
        Ok(setting)
    }
}

/// `CLEARWAY_WATCH`: how changes of the files become known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = off_on_or_poll)]
pub enum WatchMode {
    /// Not at all: a reload is asked for.
    #[default]
    Off,
    /// The kernel tells.
    On,
    /// By looking: for filesystems that do not tell the kernel of changes (network, some virtual machines).
    Poll,
}

fn off_on_or_poll(_: &str) -> String {
    "expected `off`, `on` or `poll`".to_owned()
}

/// `CLEARWAY_CARRY`: what passes from one generation to the next, beside the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarrySetting {
    /// The health of servers, and what was set through the runtime API.
    pub servers: bool,
    /// The entries of stick tables without `peers`: at most so many in all.
    pub tables: Option<usize>,
}

impl CarrySetting {
    /// How many entries of stick tables, if `tables` has no number.
    pub const ENTRIES: usize = 100_000;

    const NOTHING: Self = Self { servers: false, tables: None };
}

impl Default for CarrySetting {
    fn default() -> Self {
        Self { servers: true, ..Self::NOTHING }
    }
}

impl FromStr for CarrySetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut setting = Self::NOTHING;
        if text == "off" {
            return Ok(setting);
        }
        for word in text.split(',').map(str::trim) {
            match word.split_once('=') {
                None if word == "servers" => setting.servers = true,
                None if word == "tables" => setting.tables = Some(Self::ENTRIES),
                Some(("tables", number)) => {
                    let number = number.parse().ok().filter(|number| *number > 0);
                    setting.tables =
                        Some(number.ok_or("expected a number of entries such as `tables=50000`")?);
                }
                _ => {
                    return Err(
                        "expected `servers`, `tables` or `tables=50000`, both with a comma between, or `off`"
                            .to_owned(),
                    );
                }
            }
        }
        Ok(setting)
    }
}

/// `CLEARWAY_APPLY`: what a reload that is asked for does first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = reload_or_auto)]
pub enum ApplySetting {
    /// Nothing: each is a reload. Only `clearway apply` applies at run time.
    #[default]
    Reload,
    /// What can be applied at run time to the generation that serves is; the rest is a reload.
    Auto,
}

fn reload_or_auto(_: &str) -> String {
    "expected `reload` or `auto`".to_owned()
}

/// A duration with units (`295s`, `1m30s`, `500ms`), or a bare number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration of at most a year such as `295s`, `5m`, `1m30s` or `500ms`";
    let parsed = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    parsed.filter(|duration| *duration <= LONGEST).ok_or_else(|| EXPECTED.to_owned())
}

/// A plain number.
pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a number such as `50`".to_owned())
}

/// A number of bytes, with `K`, `M` or `G` for the powers of 1024 as Docker takes them.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        _ => (Some(text), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a size such as `512M` or `2G`".to_owned())
}

/// A mark with exactly one bit, decimal or with `0x`; `VALUE/MASK` is taken where both are the same.
pub(super) fn mark(text: &str) -> Result<Mark, String> {
    const EXPECTED: &str = "expected a number with exactly one bit set, such as `0x20000000`";
    let number = |text: &str| {
        text.strip_prefix("0x")
            .map_or_else(|| text.parse::<u32>().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let value = match text.split_once('/') {
        Some((value, mask)) if number(value) == number(mask) => number(value),
        Some(_) => None,
        None => number(text),
    };
    value
        .filter(|value| value.is_power_of_two())
        .and_then(|value| Mark::bit(u8::try_from(value.trailing_zeros()).ok()?))
        .ok_or_else(|| EXPECTED.to_owned())
}

/// `80,443`: ports with commas (or blanks) between.
pub(super) fn ports(text: &str) -> Result<Vec<u16>, String> {
    text.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| match word.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("`{word}` is not a port: expected numbers from 1 to 65535 with commas between")),
        })
        .collect()
}
