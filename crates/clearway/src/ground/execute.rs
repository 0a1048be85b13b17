//! Executing another program in place of Clearway: same pid, same descriptors, its own exit code.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clearway_core::exit::ExitCode;
use clearway_core::hints::Hint;

/// Becomes the program. Returns only if that fails, with the shell's codes for it (126 and 127).
pub fn in_place(program: &OsStr, arguments: &[OsString]) -> ExitCode {
    let error = Command::new(program).args(arguments).exec();
    crate::complain!("clearway: executing `{}` in place: {error}", program.display());
    if error.kind() == ErrorKind::NotFound {
        let hint = "`clearway --help` lists Clearway's own words; `clearway haproxy ...` supervises HAProxy";
        crate::complain!("{}", Hint(hint));
        ExitCode::NotFound
    } else {
        ExitCode::CannotExecute
    }
}
