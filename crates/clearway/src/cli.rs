//! Clearway's own command line: what it asks for, by flags and variables. What there is to say is in `flags`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap_complete::Shell;
use clearway_core::exit::ExitCode;
use clearway_core::hints::Hint;
use clearway_core::settings::{self, InvalidSetting, Settings, Stray, TABLE};

use crate::front::find::{Named, Target};
use crate::ground::notice::tell;
use crate::tell::events::LastHad;
use crate::tell::notices::TellNotice;

mod flags;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod guise;
pub mod invocation;
pub mod pages;

pub use flags::command;

/// What becomes of the listening sockets that a holder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// They stay open for as long as the holder is set to.
    Later,
    /// They are closed with the balancer's.
    AtOnce,
}

/// Whether a generation that has proved itself serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It does.
    Yes,
    /// It ends, and nothing has changed.
    No,
}

/// The metrics that are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoseMetrics {
    /// What Clearway counts.
    Clearways,
    /// Also what HAProxy counts.
    AlsoHaproxys,
}

/// How much `status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All that is known.
    All,
    /// Whether anything is wrong, for monitoring.
    Check,
    /// All that is known, again and again, with so long a pause.
    Watch(Duration),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Order {
    /// Supervise HAProxy with these arguments.
    Run(Settings, Vec<OsString>),
    /// Reload the running instance and wait for what came of it.
    Reload(Target, Commit),
    /// Let what served before serve again.
    Rollback(Target),
    /// Have what is on disk, at run time if HAProxy can, else by a reload, and wait for what came of it.
    Apply(Target),
    /// Tell what that would do, and why.
    Plan(Target),
    /// Show how the files on disk differ from those of a generation.
    Diff(Target, Option<u32>),
    /// Tell how the running instance is.
    Status(Target, Depth),
    /// Tell what has happened to the running instance.
    History(Target),
    /// Follow what happens to the running instance, after this event or from now on.
    Events(Target, Option<LastHad>),
    /// Print the metrics of the running instance.
    Metrics(Target, WhoseMetrics),
    /// Print the table of metrics as Markdown, for docs/reference.
    MetricsTable,
    /// Tell by the exit code whether the running instance serves.
    Health(Target),
    /// Stop the running instance and wait until it has drained; a holder lets go in a while, or at once.
    Drain(Target, Release),
    /// List the sessions of one generation, or of all.
    Sessions(Target, Option<u32>),
    /// End one generation that drains.
    End(Target, u32),
    /// Keep the listening sockets of an instance open while no balancer of it runs.
    Hold(Target),
    /// Remove what dead instances left behind.
    Cleanup(Target),
    /// Let HAProxy check the configuration, and say what it would need.
    Check(Target, Vec<OsString>),
    /// Say what this host can do.
    Doctor(Target, Vec<OsString>),
    /// Print the manual page, or that of a subcommand.
    Manual(Option<String>),
    /// Write all manual pages into a directory.
    Manuals(PathBuf),
    /// Print the completions for a shell.
    Completions(Shell),
    /// Print the settings and exit codes as Markdown, for docs/reference.
    Reference,
    /// Print the events of the log as Markdown, likewise.
    LogEvents,
}

/// What was said with `--socket` or `--pid`.
fn named(matches: &ArgMatches) -> Option<Named> {
    let socket = matches.try_get_one::<String>("socket").ok().flatten();
    let pid = matches.try_get_one::<i32>("pid").ok().flatten();
    socket.cloned().map(Named::Socket).or(pid.copied().map(Named::Pid))
}

/// The flags of subcommands that take HAProxy's arguments, beside the settings; the last have a value.
const OTHER_FLAGS: [&str; 3] = ["json", "socket", "pid"];

/// Whether a word is a flag of ours, with or without `=VALUE`. HAProxy has none with two dashes.
pub fn is_a_flag(word: &str) -> bool {
    let name = |word: &str| Some(word.strip_prefix("--")?.split('=').next()?.to_owned());
    name(word).is_some_and(|name| OTHER_FLAGS.contains(&&*name) || TABLE.iter().any(|row| row.flag == name))
}

/// A command line that cannot be followed.
#[derive(Debug)]
pub enum Refusal {
    /// `--help`, `--version` or a wrong argument: clap has the words.
    Clap(Box<clap::Error>),
    /// A setting has a value that it does not take.
    Setting(InvalidSetting),
}

impl Refusal {
    /// Prints what there is to say and tells how to exit.
    pub fn print(&self) -> ExitCode {
        match self {
            // Nothing can be done about a closed standard output.
            Self::Clap(error) => drop(error.print()),
            Self::Setting(error) => {
                crate::complain!("clearway: {error}");
                crate::complain!("{}", Hint("`clearway run --help` lists all settings"));
            }
        }
        self.code()
    }

    /// How to exit.
    fn code(&self) -> ExitCode {
        match self {
            Self::Clap(error) if !error.use_stderr() => ExitCode::Done,
            Self::Clap(_) | Self::Setting(_) => ExitCode::Usage,
        }
    }
}

/// Reads Clearway's own command line; `variable` looks the environment up.
pub fn parse(
    arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Order, Refusal> {
    let argv = std::iter::once(OsString::from("clearway")).chain(separated(arguments));
    let matches = command().try_get_matches_from(argv).map_err(|error| Refusal::Clap(Box::new(error)))?;
    let Some((name, matches)) = matches.subcommand() else { return Ok(Order::Manual(None)) };
    let settings = settings(Some(matches), variable).map_err(Refusal::Setting)?;
    let haproxy = || matches.get_many::<OsString>("haproxy").unwrap_or_default().cloned().collect();
    let json = matches.try_get_one::<bool>("json").ok().flatten().is_some_and(|json| *json);
    let target = |settings| Target { settings, named: named(matches), json };
    let generation = || matches.get_one::<u32>("generation").copied();
    Ok(match name {
        "run" => Order::Run(settings, haproxy()),
        "reload" if matches.get_flag("dry-run") => Order::Reload(target(settings), Commit::No),
        "reload" => Order::Reload(target(settings), Commit::Yes),
        "status" if matches.get_flag("check") => Order::Status(target(settings), Depth::Check),
        "rollback" => Order::Rollback(target(settings)),
        "apply" if matches.get_flag("dry-run") => Order::Plan(target(settings)),
        "apply" => Order::Apply(target(settings)),
        "plan" => Order::Plan(target(settings)),
        "diff" if matches.get_flag("plan") => Order::Plan(target(settings)),
        "diff" => Order::Diff(target(settings), generation()),
        "status" => {
            let pause = matches.get_one("watch").copied();
            Order::Status(target(settings), pause.map_or(Depth::All, Depth::Watch))
        }
        "history" => Order::History(target(settings)),
        "events" => Order::Events(target(settings), matches.get_one("from").copied()),
        "metrics" if matches.get_flag("table") => Order::MetricsTable,
        "metrics" if matches.get_flag("with-haproxy") => {
            Order::Metrics(target(settings), WhoseMetrics::AlsoHaproxys)
        }
        "metrics" => Order::Metrics(target(settings), WhoseMetrics::Clearways),
        "health" => Order::Health(target(settings)),
        "drain" if matches.get_flag("release") => Order::Drain(target(settings), Release::AtOnce),
        "drain" => Order::Drain(target(settings), Release::Later),
        "sessions" => Order::Sessions(target(settings), generation()),
        "end" => Order::End(target(settings), generation().unwrap_or_default()),
        "hold" => Order::Hold(target(settings)),
        "cleanup" => Order::Cleanup(target(settings)),
        "check" => Order::Check(target(settings), haproxy()),
        "doctor" => Order::Doctor(target(settings), haproxy()),
        "settings" => Order::Reference,
        "log-events" => Order::LogEvents,
        "completions" => Order::Completions(matches.get_one("shell").copied().unwrap_or(Shell::Bash)),
        _ => manual(matches),
    })
}

fn manual(matches: &ArgMatches) -> Order {
    let directory = matches.get_one::<PathBuf>("directory").cloned();
    directory.map_or_else(|| Order::Manual(matches.get_one("subcommand").cloned()), Order::Manuals)
}

/// Puts `--` in front of HAProxy's arguments where it was left out: `clearway check -f FILE`. What begins
/// with two dashes is ours (HAProxy has no such options), and what follows one of ours is its value.
fn separated(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let takes_haproxy =
        matches!(arguments.first().and_then(|word| word.to_str()), Some("run" | "check" | "doctor"));
    if !takes_haproxy {
        return arguments;
    }
    let mut at = 1;
    while let Some(word) = arguments.get(at).map(|word| word.to_string_lossy()) {
        match word.strip_prefix("--") {
            Some("") => return arguments,
            Some("socket" | "pid") => at += 2,
            Some(flag) if TABLE.iter().any(|row| row.flag == flag) => at += 2,
            Some(_) => at += 1,
            None if matches!(&*word, "-h" | "-V") => at += 1,
            None => {
                arguments.insert(at, "--".into());
                return arguments;
            }
        }
    }
    arguments
}

/// The settings from the environment and, where there are any, from flags, which win.
pub fn settings(
    flags: Option<&ArgMatches>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Settings, InvalidSetting> {
    let mut settings = Settings::default();
    for row in TABLE {
        let flag = flags.and_then(|flags| flags.try_get_one::<String>(row.flag).ok().flatten());
        if let Some(value) = flag {
            settings.set(row.key, value, &format!("--{}", row.flag))?;
        } else if let Some(value) = variable(row.variable) {
            settings.set(row.key, &value.to_string_lossy(), row.variable)?;
        }
    }
    Ok(settings)
}

/// The variables of an environment that look like settings and are none.
pub fn strays(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Stray> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    let known: Vec<(String, String)> = environment.into_iter().filter_map(text).collect();
    settings::strays(known.iter().map(|(name, value)| (&**name, &**value)))
}

/// Says which variables of this process look like settings and have no effect.
pub fn tell_strays() {
    for stray in strays(std::env::vars_os()) {
        tell(&TellNotice::UnknownSetting { stray });
    }
}

#[cfg(test)]
mod tests;
