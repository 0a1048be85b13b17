//! What went wrong, in words for people, with its exit code.

use std::io::ErrorKind;
use std::path::Path;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::hints::Hints;
use clearway_core::strategy::Strategy;
use clearway_haproxy::complaint::{Complaint, ComplaintCause};
use clearway_haproxy::configuration::{Configuration, ConfigurationError};
use clearway_haproxy::derived::NotDerivable;
use clearway_haproxy::line::Line;
use clearway_haproxy::overlay::descriptors;
use clearway_haproxy::version::Version;
use clearway_kernel::capabilities::{self, Capability};
use clearway_kernel::listeners;
use clearway_kernel::plumbing::{PlumbingError, RemoveErrors};

use crate::ground::places;

/// `EMFILE`.
const TOO_MANY_FILES: i32 = rustix::io::Errno::MFILE.raw_os_error();

/// How a missing capability is given, by its flag at `docker run`.
pub fn rights_remedy(flags: &str) -> String {
    if rustix::process::geteuid().is_root() {
        format!("add {flags} to `docker run` (under systemd: AmbientCapabilities=, as a person: be root)")
    } else {
        format!(
            "leave `--user` out of `docker run` and add {flags}: Docker gives capabilities to root only, and \
             HAProxy becomes the `user` of its configuration (under systemd: AmbientCapabilities=)"
        )
    }
}

/// A configuration that cannot be read.
pub fn unreadable(error: &ConfigurationError) -> Failure {
    let failure = Failure::new(ExitCode::ConfigurationUnreadable, error.to_string());
    match error {
        ConfigurationError::Unreadable { source, .. } if source.raw_os_error() == Some(TOO_MANY_FILES) => {
            failure.hint(
                "raise the limit of open files, for example with `--ulimit nofile=65536` at `docker run`",
            )
        }
        ConfigurationError::Unreadable { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            failure.hint(format!(
                "make it readable for the user {} that Clearway runs as, or for all; root needs \
                 `--cap-add=DAC_READ_SEARCH` for files of others where all capabilities are dropped",
                rustix::process::geteuid().as_raw()
            ))
        }
        ConfigurationError::Unreadable { .. } => failure.hint(
            "mount it there, for example with `--volume=DIRECTORY:/usr/local/etc/haproxy:ro` at `docker run`, \
             or name another with `-f`",
        ),
        ConfigurationError::NoFiles { .. } => failure
            .hint("HAProxy takes the files `*.cfg` of a directory")
            .hint("was it meant to be a file? Docker makes an empty directory where a volume's source is missing"),
        _ => failure,
    }
}

/// Plumbing that could not be installed.
pub fn plumbing(error: &PlumbingError) -> Failure {
    let code = match error {
        PlumbingError::MarkTaken { .. } | PlumbingError::MarkDiffers { .. } => ExitCode::Usage,
        _ => ExitCode::Kernel,
    };
    of(code, "setting up transparent proxying", error)
}

/// What to take instead of a strategy that cannot be had.
const WITHOUT: &str = "the strategy `handoff` needs nothing of the kernel, `auto` takes what can be had";

/// A configuration of which there can be no copy with private ports.
pub fn copy(error: &NotDerivable) -> Failure {
    Failure::new(ExitCode::ConfigurationRefused, format!("the strategy `tableflip`: {error}"))
        .hint(error.remedy())
        .hint(WITHOUT)
}

/// A strategy that cannot be had here.
#[derive(Debug)]
pub struct Unavailable {
    /// Which.
    pub strategy: Strategy,
    /// What Clearway exits with if that one was asked for.
    pub code: ExitCode,
    /// Why, without its name.
    pub why: String,
    /// What helps.
    pub hints: Vec<String>,
}

impl Unavailable {
    /// By its own error.
    pub fn of(strategy: Strategy, error: &dyn Hints) -> Self {
        let has_rules = !matches!(strategy, Strategy::Handoff | Strategy::Reuseport);
        let (code, why, mut hints) =
            if has_rules && capabilities::effective().is_ok_and(|held| !held.has(Capability::NetAdmin)) {
                let why = "it puts rules into the kernel, and for that Clearway lacks NET_ADMIN".to_owned();
                (ExitCode::Rights, why, vec![rights_remedy("--cap-add=NET_ADMIN")])
            } else {
                (ExitCode::Kernel, error.to_string(), error.hints())
            };
        hints.push(WITHOUT.to_owned());
        Self { strategy, code, why, hints }
    }
}

impl From<Unavailable> for Failure {
    fn from(Unavailable { strategy, code, why, hints }: Unavailable) -> Self {
        Self { hints, ..Self::new(code, format!("the strategy `{strategy}`: {why}")) }
    }
}

/// Something that could not be removed, as lines for the log: the errors, then what helps.
pub fn left_behind(errors: &RemoveErrors) -> Failure {
    of(ExitCode::Residue, "removing the transparent plumbing", errors).hint("`clearway cleanup` tries again")
}

/// An error as what came of something that was being done.
fn of(code: ExitCode, doing: &str, error: &dyn Hints) -> Failure {
    Failure { hints: error.hints(), ..Failure::new(code, format!("{doing}: {error}")) }
}

/// A HAProxy that ended before it had proved itself: how, its words, and what helps. `configuration`: what it was
/// started with; `version`: HAProxy's, where it is known. It looks at directories and sockets of this host, which may take
/// as long as they take.
pub fn of_an_end(
    how: &str,
    words: Vec<String>,
    ports: &[u16],
    configuration: Option<&Configuration>,
    version: Option<Version>,
) -> Failure {
    let mut complaint = Complaint::read(words.join("\n").as_bytes());
    complaint.causes.iter_mut().for_each(look_for_the_root);
    let code = complaint.causes.iter().map(code_of).next().unwrap_or(ExitCode::ConfigurationRefused);
    let said = complaint.headline().map_or(String::new(), |line| format!(": {}", Line::of(line).text));
    let mut failure = Failure::new(code, format!("HAProxy did not start ({how}){said}"));
    let is_root = rustix::process::geteuid().is_root();
    for remedy in complaint.remedies(configuration, is_root) {
        // Two ports without the right to them need it once.
        if !failure.hints.iter().any(|hint| *hint == remedy) {
            failure.hints.push(remedy.into_owned());
        }
    }
    for line in complaint
        .causes
        .iter()
        .filter_map(ComplaintCause::path)
        .filter_map(|path| places::owner(Path::new(path)))
    {
        if !failure.hints.contains(&line) {
            failure.hints.push(line);
        }
    }
    if code == ExitCode::AddressInUse {
        let holders = holders(&complaint, ports);
        if !holders.is_empty() {
            failure.hints.extend(holders);
            failure.hints.push(BESIDE.to_owned());
        }
    }
    if words.is_empty()
        && let Some(quiet) = configuration.and_then(|configuration| configuration.global.quiet.as_ref())
    {
        failure.hints.push(format!(
            "`quiet` ({}) keeps HAProxy from saying why: leave it out and try again; `clearway check` says what is \
             wrong in the files",
            quiet.span
        ));
    }
    let ours = descriptors(version);
    let lacks_only_ours = |cause: &ComplaintCause| match cause {
        ComplaintCause::TooFewFiles { wanted, limit } => {
            let missing = wanted.parse::<u32>().ok().zip(limit.parse().ok());
            missing.is_some_and(|(wanted, limit)| wanted.saturating_sub(limit) <= ours)
        }
        _ => false,
    };
    if !complaint.causes.is_empty() && complaint.causes.iter().all(lacks_only_ours) {
        failure.lacks_only_ours = true;
        failure.hints.push(format!(
            "by itself HAProxy has enough: the {ours} descriptors that it would reserve for Clearway are not \
             reserved then (`no strict-limits`)"
        ));
    }
    failure.lines = configuration.map(|read| complaint.cited(read)).unwrap_or_default();
    failure.words = words;
    failure
}

/// HAProxy says that it cannot change its root, and not why: either its directory is not there, or the right is missing.
fn look_for_the_root(cause: &mut ComplaintCause) {
    let ComplaintCause::CannotChangeRoot { directory } = cause else { return };
    if std::fs::metadata(&*directory).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        *cause = ComplaintCause::RootMissing { directory: std::mem::take(directory) };
    }
}

/// What helps where this Clearway is to come into the place of another program.
const BESIDE: &str = "if that is to go on meanwhile, `--strategy tableflip` (NET_ADMIN) brings new connections here \
                      although it does not share the port (another user, another program, `noreuseport`)";

fn code_of(cause: &ComplaintCause) -> ExitCode {
    match cause {
        ComplaintCause::AddressInUse { .. } | ComplaintCause::AddressNotHere { .. } => ExitCode::AddressInUse,
        ComplaintCause::BindDenied { .. }
        | ComplaintCause::OwnerDenied { .. }
        | ComplaintCause::CannotChangeUser
        | ComplaintCause::CannotChangeGroup
        | ComplaintCause::CannotChangeRoot { .. }
        | ComplaintCause::RightNotHeld => ExitCode::Rights,
        ComplaintCause::ConfigurationDenied { .. } | ComplaintCause::ConfigurationMissing { .. } => {
            ExitCode::ConfigurationUnreadable
        }
        _ => ExitCode::ConfigurationRefused,
    }
}

/// What holds the ports that HAProxy could not get, as far as that can be seen from here. Where HAProxy
/// does not say which address it is about, `HAPROXY_PORTS` may know.
fn holders(complaint: &Complaint, ports: &[u16]) -> Vec<String> {
    let named = complaint.causes.iter().filter_map(ComplaintCause::address);
    let mut addresses: Vec<_> = named.map(|address| (address.port(), Some(address.ip()))).collect();
    if addresses.is_empty() {
        addresses.extend(ports.iter().map(|port| (*port, None)));
    }
    let mut lines = Vec::new();
    for (port, address) in addresses {
        // Clearway's own duplicates are no news.
        let found = listeners::holders(port, address).unwrap_or_default();
        lines.extend(found.iter().map(ToString::to_string));
    }
    lines.sort();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests;
