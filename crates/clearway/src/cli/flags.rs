//! The subcommands and flags: built from the settings table, so that flags, variables, `--help` and the manual page
//! cannot drift apart.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;
use clearway_core::settings::{self, Setting, TABLE};

use crate::tell::events::LastHad;

/// The command line as clap sees it.
pub fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON instead of text");
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
            with_target(sub("reload", "Reload the configuration, wait for the result and report it")).arg(dry_run()),
        )
        .subcommand(with_target(apply()).arg(planned("dry-run")))
        .subcommand(with_target(plan()))
        .subcommand(with_target(rollback()))
        .subcommand(with_target(diff()).arg(generation()).arg(planned("plan").conflicts_with("generation")))
        .subcommand(with_target(status()))
        .subcommand(
            with_place(sub("metrics", "Print the metrics, in Prometheus' text format"))
                .args(names_one())
                .arg(with_haproxy())
                .arg(table()),
        )
        .subcommand(with_target(sub(
            "history",
            "List the last 100 starts, reloads, crashes and takeovers, with what came of each and why",
        )))
        .subcommand(
            with_target(sub("events", "Follow what happens, as the log says it, until Clearway ends or ctrl-C"))
                .arg(from())
                .after_help(FOLLOWING),
        )
        .subcommand(with_target(sub(
            "health",
            "Exit with 0 while HAProxy serves, for HEALTHCHECK and probes",
        )))
        .subcommand(
            with_target(sub("drain", "Stop accepting, let the sessions finish and exit; waits for the end"))
                .visible_alias("stop")
                .arg(release()),
        )
        .subcommand(
            with_target(sub("sessions", "List the sessions of each generation, draining ones included"))
                .arg(generation()),
        )
        .subcommand(
            with_target(sub(
                "end",
                "End a draining generation and cut its sessions; waits until it is gone",
            ))
            .arg(generation().required(true)),
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

fn rollback() -> Command {
    Command::new("rollback").about(
        "Let what served before the last reload serve again, from the copy in memory, until the next reload; wait for the result",
    )
}

fn apply() -> Command {
    let about = "Have what is on disk: changed in the HAProxy that serves where it can be changed at run time, else by a reload; wait \
                 for the result and report it";
    Command::new("apply")
        .about(about)
        .after_help("`clearway plan` tells what it would do, and changes nothing.")
}

fn plan() -> Command {
    let about = "Tell what `clearway apply` would do and why, with each command for HAProxy; changes nothing";
    Command::new("plan").about(about).after_help(PLANNED)
}

/// A flag with which nothing is done but told.
fn planned(flag: &'static str) -> Arg {
    let help = "Tell what `clearway apply` would do, and change nothing: the same as `clearway plan`";
    Arg::new(flag).long(flag).action(ArgAction::SetTrue).help(help)
}

fn diff() -> Command {
    let about = "Show how the files on disk differ from those that run; exit with 1 if they do";
    Command::new("diff").about(about)
}

fn status() -> Command {
    let about = "Show the generations, the last reload, the sockets and what is wrong";
    Command::new("status").about(about).args([check(), watch()])
}

/// What makes a reload a trial.
fn dry_run() -> Arg {
    let help = "Start a generation, verify it and end it again: report whether a reload would succeed and what it would change";
    Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help(help)
}

/// What names a generation.
fn generation() -> Arg {
    let help = "Number of the generation, as `clearway status` shows it";
    Arg::new("generation")
        .long("generation")
        .value_name("N")
        .value_parser(clap::value_parser!(u32))
        .help(help)
}

/// What makes `status` a matter of one line.
fn check() -> Arg {
    Arg::new("check").long("check").action(ArgAction::SetTrue).help(
        "For monitoring: one line and an exit code: 0 if all is well; 2 after a failed reload or a crash, with changed files, \
         another process on our addresses or no return path; 3 if HAProxy does not serve",
    )
}

/// What makes `status` come again and again.
fn watch() -> Arg {
    let pause = |text: &str| match settings::duration(text)? {
        pause if pause < SHORTEST => Err(format!("it is at least {} ms", SHORTEST.as_millis())),
        pause => Ok(pause),
    };
    Arg::new("watch")
        .long("watch")
        .value_name("DURATION")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("1s")
        .value_parser(pause)
        .conflicts_with("check")
        .help(
            "Again and again, in place on a terminal, until Ctrl-C; `--watch=5s`: every five seconds instead of every second",
        )
}

/// The shortest pause of `status --watch`: each status asks HAProxy.
const SHORTEST: Duration = Duration::from_millis(100);

/// What makes a stop the end of a holder's sockets, too.
fn release() -> Arg {
    let help = "A holder (`clearway hold`) closes the listening sockets at once, too";
    Arg::new("release").long("release").action(ArgAction::SetTrue).help(help)
}

/// What adds those of HAProxy to the metrics.
fn with_haproxy() -> Arg {
    let help = "Also print what HAProxy has counted, of all generations together, under the names of its own exporter";
    Arg::new("with-haproxy").long("haproxy").action(ArgAction::SetTrue).help(help)
}

/// What makes `metrics` a page of docs/reference.
fn table() -> Arg {
    let help = "Print all metrics that there are, as Markdown";
    Arg::new("table").long("table").action(ArgAction::SetTrue).hide(true).help(help)
}

/// Where `events` begins.
fn from() -> Arg {
    let help = "Begin after the event with this `id` (in `--json`); 0: with all that Clearway still has. If unsaid: only what \
                happens from now on";
    Arg::new("from").long("from").value_name("ID").value_parser(clap::value_parser!(LastHad)).help(help)
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

const PLANNED: &str = "\
Exit status: 0 if there is nothing to do, 3 if all of it can be changed at run time, 4 if it needs a reload.";

const FOLLOWING: &str = "\
Exit status: 0 when Clearway has ended, or its reader has, or after SIGTERM; 130 after ctrl-C; 68 when the connection is lost
otherwise: Clearway was killed or is stopped (SIGSTOP), or this did not read for 20 s.
With --json each line is an object with the fields of the event and its id, with which `--from` goes on.";

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

/// What `check` and `doctor` look at, beside the configuration.
fn is_looked_at(row: &Setting) -> bool {
    row.flag.starts_with("intercept") || row.flag == "strategy"
}

fn is_of_a_holder(row: &Setting) -> bool {
    matches!(row.flag, "instance" | "run-directory" | "takeover-directory" | "log")
        || row.flag.starts_with("hold-")
}
