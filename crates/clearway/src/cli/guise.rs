//! Clearway under the name `haproxy`.
//!
//! In the image the first `haproxy` on PATH is a link to Clearway, so that a script's `exec haproxy ...` is supervised
//! (decision 0033). HAProxy itself lies further behind on PATH: [`behind`] finds it. What else calls `haproxy` in the
//! container (`docker exec`, a health check, a program of HAProxy's) gets HAProxy, not Clearway.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::hints::Hint;

use crate::ground::{execute, print};

/// The name.
const NAME: &str = "haproxy";

/// First processes that do nothing but start another one and pass signals on to it (`docker run --init`).
const INITS: [&str; 6] = ["docker-init", "tini", "tini-static", "dumb-init", "catatonit", "podman-init"];

/// Whether we were started under that name.
pub fn is_worn(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| Path::new(name).file_name() == Some(OsStr::new(NAME)))
}

/// Whether this process is what the container is for: its first one, or the one that an init started.
pub fn is_first() -> bool {
    let is_init = |comm: String| INITS.contains(&comm.trim());
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    std::process::id() == 1
        || (parent == Some(1) && std::fs::read_to_string("/proc/1/comm").is_ok_and(is_init))
}

/// Becomes HAProxy; says that it is on its own if it is to serve.
pub fn step_aside(words: &[OsString], serves: bool) -> ExitCode {
    if serves {
        let process = std::process::id();
        say(
            &format!(
                "HAProxy is not supervised: it is process {process} of its container, not the first one"
            ),
            "start it with `exec haproxy ...` as the last line of the script, or with `clearway haproxy ...`",
        );
    }
    match behind(NAME.into()) {
        Ok(program) => execute::in_place(&program, words.get(1..).unwrap_or_default()),
        Err(failure) => {
            print::complain(&failure);
            failure.code
        }
    }
}

/// The program itself, where its name would lead to us; else what was given.
pub fn behind(program: OsString) -> Result<OsString, Failure> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let Ok(we) = our_program() else { return Ok(program) };
    look_behind(program, &search, |path| std::fs::metadata(path).is_ok_and(|file| is_same(&file, &we)))
}

fn look_behind(
    program: OsString,
    search: &OsStr,
    is_us: impl Fn(&Path) -> bool,
) -> Result<OsString, Failure> {
    if program.as_encoded_bytes().contains(&b'/') && !is_us(Path::new(&program)) {
        return Ok(program);
    }
    let name = Path::new(&program).file_name().unwrap_or(OsStr::new(NAME));
    let found: Vec<PathBuf> = std::env::split_paths(search)
        .map(|directory| directory.join(name))
        .filter(|path| is_program(path))
        .collect();
    match (found.iter().position(|path| !is_us(path)), found.first()) {
        // As exec finds it, or not at all.
        (Some(0), _) | (None, None) => Ok(program),
        (Some(at), _) => Ok(found.get(at).map_or(program, |path| path.clone().into_os_string())),
        (None, Some(us)) => {
            let message =
                format!("looking for HAProxy: the only one on PATH is {}, which is Clearway", us.display());
            Err(Failure::new(ExitCode::NoHaproxy, message)
                .hint("put the directory of HAProxy itself on PATH, or name it: `clearway run -- /PATH/TO/haproxy ...`"))
        }
    }
}

/// Says that a HAProxy is not supervised that is started by what is executed in place, as far as the words tell.
pub fn tell_of_unsupervised(words: &[OsString]) {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let Ok(we) = our_program() else { return };
    let is_us = |path: &Path| std::fs::metadata(path).is_ok_and(|file| is_same(&file, &we));
    if let Some(path) = unsupervised(words, &search, is_us) {
        let starter = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        say(
            &format!(
                "{} is HAProxy itself and is not supervised where `{starter}` starts it",
                path.display()
            ),
            "let it start `clearway haproxy ...`, or leave the shell out: `clearway haproxy -f FILE`",
        );
    }
}

/// Says something that keeps nothing from going on.
fn say(what: &str, hint: &str) {
    crate::complain!("clearway: {what}");
    crate::complain!("{}", Hint(hint));
}

/// The HAProxy that the words name to serve (with `-f`), if it is not us.
fn unsupervised(words: &[OsString], search: &OsStr, is_us: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let text: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let text = text.join(" ");
    let mut tokens =
        text.split(|c: char| c.is_whitespace() || "\"';&|()`".contains(c)).filter(|word| !word.is_empty());
    let named = tokens.find(|token| Path::new(token).file_name() == Some(OsStr::new(NAME)))?;
    let serves = tokens.clone().any(|token| token == "-f") && !tokens.any(|token| token.starts_with("-c"));
    let path = if named.contains('/') {
        Some(PathBuf::from(named)).filter(|path| is_program(path))
    } else {
        std::env::split_paths(search).map(|directory| directory.join(named)).find(|path| is_program(path))
    };
    path.filter(|path| serves && !is_us(path))
}

/// The file that this process runs. It is opened: under qemu-user a look at the link itself finds the emulator.
fn our_program() -> std::io::Result<Metadata> {
    File::open("/proc/self/exe")?.metadata()
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests;
