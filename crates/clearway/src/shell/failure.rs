//! What went wrong, in words for people, with its exit code.

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Failure;
use clearway_haproxy::complaint::{Cause, Complaint};
use clearway_haproxy::configuration::ConfigurationError;
use clearway_kernel::listeners;
use clearway_kernel::plumbing::{Error, RemoveErrors};

/// `EMFILE`.
const TOO_MANY_FILES: i32 = rustix::io::Errno::MFILE.raw_os_error();

/// A configuration that cannot be read.
pub fn unreadable(error: &ConfigurationError) -> Failure {
    let failure = Failure::new(ExitCode::ConfigurationUnreadable, error.to_string());
    match error {
        ConfigurationError::Unreadable { source, .. } if source.raw_os_error() == Some(TOO_MANY_FILES) => {
            failure.hint(
                "raise the limit of open files, for example with `--ulimit nofile=65536` at `docker run`",
            )
        }
        ConfigurationError::Unreadable { .. } => failure
            .hint("name the configuration with `-f`, mount it where it is looked for, or make it readable"),
        ConfigurationError::NoFiles { .. } => failure.hint("HAProxy takes the files `*.cfg` of a directory"),
        _ => failure,
    }
}

/// Plumbing that could not be installed.
pub fn plumbing(error: &Error) -> Failure {
    let code = match error {
        Error::MarkTaken { .. } | Error::MarkDiffers { .. } => ExitCode::Usage,
        _ => ExitCode::Kernel,
    };
    split(code, "setting up transparent proxying", &error.to_string())
}

/// Something that could not be removed, as lines for the log: the errors, then what helps.
pub fn left_behind(errors: &RemoveErrors) -> Failure {
    split(ExitCode::Residue, "removing the transparent plumbing", &errors.to_string())
        .hint("`clearway cleanup` tries again")
}

/// A text with `hint: ` lines of its own.
fn split(code: ExitCode, doing: &str, text: &str) -> Failure {
    let (hints, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("hint: "));
    let mut failure = Failure::new(code, format!("{doing}: {}", lines.join("; ")));
    failure.hints.extend(hints.into_iter().filter_map(|hint| hint.strip_prefix("hint: ")).map(str::to_owned));
    failure
}

/// A HAProxy that ended before it had proved itself: its words, and what helps.
pub fn of_an_end(how: &str, words: Vec<String>, ports: &[u16]) -> Failure {
    let complaint = Complaint::read(words.join("\n").as_bytes());
    let code = complaint.causes.iter().map(code_of).next().unwrap_or(ExitCode::ConfigurationRefused);
    let said =
        complaint.essence().first().map_or(String::new(), |line| format!(": {}", without_origin(line)));
    let mut failure = Failure::new(code, format!("HAProxy did not start ({how}){said}"));
    failure.hints.extend(complaint.remedies().map(std::borrow::Cow::into_owned));
    if code == ExitCode::AddressInUse {
        failure.hints.extend(holders(&complaint, ports));
    }
    failure.words = words;
    failure
}

/// The line without `[ALERT]    (4711) : ` in front.
fn without_origin(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once(") : ")) {
        Some((_, said)) => said,
        None => line,
    }
}

fn code_of(cause: &Cause) -> ExitCode {
    match cause {
        Cause::AddressInUse { .. } | Cause::AddressNotHere { .. } => ExitCode::AddressInUse,
        Cause::BindDenied { .. }
        | Cause::CannotChangeUser
        | Cause::CannotChangeGroup
        | Cause::CannotChangeRoot { .. }
        | Cause::RightNotHeld => ExitCode::Rights,
        Cause::ConfigurationDenied { .. } | Cause::ConfigurationMissing { .. } => {
            ExitCode::ConfigurationUnreadable
        }
        _ => ExitCode::ConfigurationRefused,
    }
}

/// Who holds the ports that HAProxy could not get, as far as that can be seen from here. Where HAProxy
/// does not say which address it is about, `HAPROXY_PORTS` may know.
fn holders(complaint: &Complaint, ports: &[u16]) -> Vec<String> {
    let named = complaint.causes.iter().filter_map(Cause::address);
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
