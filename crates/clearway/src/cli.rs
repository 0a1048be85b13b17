//! Clearway's own command line: built from the settings table, so that flags, variables, `--help` and
//! the manual page cannot drift apart.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::Shell;
use clearway_core::exit::ExitCode;
use clearway_core::hints::Hint;
use clearway_core::settings::{self, InvalidSetting, Setting, Settings, Stray, TABLE};

use crate::front::find::{Named, Target};
use crate::ground::notice::tell;
use crate::tell::notices::TellNotice;

pub mod guise;
pub mod invocation;
pub mod pages;

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

/// How much `status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All that is known.
    All,
    /// Whether anything is wrong, for monitoring.
    Check,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Order {
    /// Supervise HAProxy with these arguments.
    Run(Settings, Vec<OsString>),
    /// Reload the running instance and wait for what came of it.
    Reload(Target, Commit),
    /// Tell how the running instance is.
    Status(Target, Depth),
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
    Events,
}

/// The command line as clap sees it.
pub fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON instead of text");
    let release = Arg::new("release")
        .long("release")
        .action(ArgAction::SetTrue)
        .help("A holder (`clearway hold`) closes the listening sockets at once, too");
    let dry_run = Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help(
        "Start a generation, verify it and end it again: report whether a reload would succeed and what it would change",
    );
    let check = Arg::new("check").long("check").action(ArgAction::SetTrue).help(
        "For monitoring: one line and an exit code: 0 if all is well; 2 after a failed reload or a crash, with changed files, \
         another process on our addresses or no return path; 3 if HAProxy does not serve",
    );
    let generation = Arg::new("generation")
        .long("generation")
        .value_name("N")
        .value_parser(clap::value_parser!(u32))
        .help("Number of the generation, as `clearway status` shows it");
    let haproxy = Arg::new("haproxy")
        .value_name("HAPROXY ARGUMENTS")
        .num_args(0..)
        .trailing_var_arg(true)
        .value_parser(clap::value_parser!(OsString))
        .help("`haproxy` and its arguments, such as `haproxy -f haproxy.cfg`");
    let with_place =
        |command: Command| command.args(TABLE.iter().filter(|row| names_an_instance(row)).map(argument));
    let with_target = |command: Command| with_place(command).args(names_one()).arg(json.clone());
    let sub = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let all = Command::new("clearway")
        .about("The first process of an HAProxy container: no lost connection, no hidden client, no trace")
        .after_help(AFTER_HELP)
        .version(env!("CLEARWAY_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub("run", "Supervise HAProxy; `clearway haproxy ...` and `clearway -f ...` are short for it")
                .args(TABLE.iter().filter(|row| !row.flag.starts_with("hold-")).map(argument))
                .arg(haproxy.clone())
                .after_help(SIGNALS),
        )
        .subcommand(
            with_target(sub("reload", "Reload the configuration, wait for the result and report it")).arg(dry_run),
        )
        .subcommand(
            with_target(sub("status", "Show the generations, the last reload, the sockets and what is wrong"))
                .arg(check),
        )
        .subcommand(with_target(sub(
            "health",
            "Exit with 0 while HAProxy serves, for HEALTHCHECK and probes",
        )))
        .subcommand(
            with_target(sub("drain", "Stop accepting, let the sessions finish and exit; waits for the end"))
                .visible_alias("stop")
                .arg(release),
        )
        .subcommand(
            with_target(sub("sessions", "List the sessions of each generation, draining ones included"))
                .arg(generation.clone()),
        )
        .subcommand(
            with_target(sub(
                "end",
                "End a draining generation and cut its sessions; waits until it is gone",
            ))
            .arg(generation.required(true)),
        )
        .subcommand(
            sub("hold", "Hold the listening sockets of an instance open while no balancer of it runs")
                .args(TABLE.iter().filter(|row| is_of_a_holder(row)).map(argument))
                .arg(json.clone().hide(true)),
        )
        .subcommand(
            with_place(sub("cleanup", "Remove what dead instances left behind in the kernel")).arg(json.clone()),
        )
        .subcommand(
            with_place(sub(
                "check",
                "Check the configuration with HAProxy (`haproxy -W -c`) and report what it needs from the host; without \
                 HAProxy's arguments, that of the running instance",
            ))
            .args(names_one())
            .args(TABLE.iter().filter(|row| is_looked_at(row)).map(argument))
            .arg(haproxy.clone()),
        )
        .subcommand(with_target(
            sub(
                "doctor",
                "Report what this host, its kernel and the capabilities allow, and what the configuration needs (without \
                 HAProxy's arguments, that of the running instance); changes nothing",
            )
                .args(TABLE.iter().filter(|row| is_looked_at(row)).map(argument))
                .arg(haproxy),
        ))
        .subcommand(sub("completions", "Print what a shell needs to complete command lines").arg(shell()))
        .subcommand(sub("settings", "Print the settings and the exit codes as Markdown").hide(true))
        .subcommand(sub("log-events", "Print the events of the log as Markdown").hide(true));
    let man = sub("man", "Print a manual page (roff)").args(pages(&all));
    all.subcommand(man)
}

/// Those whose completions are tried.
fn shell() -> Arg {
    let shells = PossibleValuesParser::new(["bash", "zsh", "fish"]).try_map(|name| name.parse::<Shell>());
    Arg::new("shell").value_name("SHELL").required(true).value_parser(shells).help("The shell")
}

/// What selects manual pages, of the subcommands that there are.
fn pages(all: &Command) -> [Arg; 2] {
    let pages = all.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| {
        PossibleValue::new(sub.get_name().to_owned()).aliases(sub.get_visible_aliases().map(str::to_owned))
    });
    let pages = pages.chain([PossibleValue::new("man")]);
    [
        Arg::new("subcommand")
            .value_name("SUBCOMMAND")
            .value_parser(PossibleValuesParser::new(pages.collect::<Vec<_>>()))
            .help("The subcommand whose page it is; that of `clearway` itself if unsaid"),
        Arg::new("directory")
            .long("directory")
            .value_name("DIRECTORY")
            .value_parser(clap::value_parser!(PathBuf))
            .conflicts_with("subcommand")
            .help("Write the pages of all subcommands into this directory"),
    ]
}

const AFTER_HELP: &str = "\
clearway haproxy -f FILE...   supervise HAProxy (likewise with arguments that begin with `-`)
clearway PROGRAM ...          execute any other program in place";

const SIGNALS: &str = "\
SIGHUP, SIGUSR2           reload
SIGTERM, SIGINT, SIGUSR1  stop accepting, drain, exit; SIGTERM or SIGINT again: exit at once";

fn argument(row: &Setting) -> Arg {
    let help = format!("{} [{}; default: {}]", row.help, row.variable, row.default);
    Arg::new(row.flag).long(row.flag).value_name(row.value).help(help).allow_hyphen_values(true)
}

fn names_an_instance(row: &Setting) -> bool {
    matches!(row.flag, "instance" | "run-directory")
}

/// What selects a running Clearway that has no name.
fn names_one() -> [Arg; 2] {
    [
        Arg::new("socket").long("socket").value_name("NAME").conflicts_with("instance").help(
            "Admin socket of the Clearway: a path, or `@clearway/NAME`, as `clearway status` lists them",
        ),
        Arg::new("pid")
            .long("pid")
            .value_name("N")
            .value_parser(clap::value_parser!(i32).range(1..))
            .conflicts_with_all(["instance", "socket"])
            .help("Process ID of the Clearway"),
    ]
}

/// What was said with [`names_one`].
fn named(matches: &ArgMatches) -> Option<Named> {
    let socket = matches.try_get_one::<String>("socket").ok().flatten();
    let pid = matches.try_get_one::<i32>("pid").ok().flatten();
    socket.cloned().map(Named::Socket).or(pid.copied().map(Named::Pid))
}

/// What `check` and `doctor` look at, beside the configuration.
fn is_looked_at(row: &Setting) -> bool {
    row.flag.starts_with("intercept") || row.flag == "strategy"
}

/// The flags of subcommands that take HAProxy's arguments, beside the settings; the last have a value.
const OTHER_FLAGS: [&str; 3] = ["json", "socket", "pid"];

/// Whether a word is a flag of ours, with or without `=VALUE`. HAProxy has none with two dashes.
pub fn is_a_flag(word: &str) -> bool {
    let name = |word: &str| Some(word.strip_prefix("--")?.split('=').next()?.to_owned());
    name(word).is_some_and(|name| OTHER_FLAGS.contains(&&*name) || TABLE.iter().any(|row| row.flag == name))
}

fn is_of_a_holder(row: &Setting) -> bool {
    matches!(row.flag, "instance" | "run-directory" | "takeover-directory" | "log")
        || row.flag.starts_with("hold-")
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
        "status" => Order::Status(target(settings), Depth::All),
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
        "log-events" => Order::Events,
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
