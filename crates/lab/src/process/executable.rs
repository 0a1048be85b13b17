//! Programs that a test makes for itself.
//!
//! They are written by a process of their own. A test writes them while others of the same process fork: such a child has
//! the file open for writing until its own `exec`, and as long as any process has, the kernel does not execute it
//! (`ETXTBSY`).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Writes a program that every user may execute. One that is there is written anew.
pub fn write_executable(path: &Path, content: &str) -> Result<()> {
    let making = || format!("making the program {}", path.display());
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat > "$1" && chmod 755 "$1""#, "sh"]).arg(path).stdin(Stdio::piped());
    let mut child = command.spawn().with_context(making)?;
    let written = child.stdin.take().context("a pipe")?.write_all(content.as_bytes());
    let status = child.wait().with_context(making)?;
    written.with_context(making)?;
    ensure!(status.success(), "{}: {status}", making());
    Ok(())
}

/// Puts a copy there that every user may execute.
pub fn copy_executable(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("install").args(["-m", "755"]).args([from, to]).status();
    let status = status.with_context(|| format!("copying the program {}", from.display()))?;
    ensure!(status.success(), "copying the program {} to {}: {status}", from.display(), to.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many at once, each while others fork.
    #[test]
    fn a_new_program_can_be_executed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let path = folder.path().join(thread.to_string());
                scope.spawn(move || {
                    for turn in 0..20 {
                        if turn % 2 == 0 {
                            write_executable(&path, "#!/bin/sh\nexit 0\n").unwrap();
                        } else {
                            copy_executable(Path::new("/bin/true"), &path).unwrap();
                        }
                        assert!(Command::new(&path).status().unwrap().success());
                    }
                });
            }
        });
    }
}
