//! Files that HAProxy reads and that are nowhere on disk: a read-only root will do.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use clearway_haproxy::command_line::ChildFd;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::overlay::Overlay;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::fleet::child::Descriptors;
use crate::fleet::chosen::ReadFrom;
use crate::fleet::notices::FleetNotice;
use crate::ground::notice::tell;

/// Files of one generation, each with the descriptor that it is in the child.
pub type MemoryFiles = Vec<(ChildFd, OwnedFd)>;

/// The overlay, and the script that it loads, if it does.
pub fn overlay(overlay: &Overlay, numbers: &Descriptors) -> io::Result<MemoryFiles> {
    let text = memory_file("clearway-overlay", overlay.to_string().as_bytes())?;
    let mut files = vec![(numbers.overlay, text)];
    if let Some(lua) = &overlay.lua {
        files.push((lua.script, memory_file("clearway-lua", &lua.text())?));
    }
    Ok(files)
}

/// Where HAProxy writes its pid, if its files name a file for it: that one is for Clearway's.
pub fn pid_file(
    configuration: &Configuration,
    numbers: &Descriptors,
) -> io::Result<Option<(ChildFd, OwnedFd)>> {
    if configuration.global.pid_files.is_empty() {
        return Ok(None);
    }
    let file = rustix::fs::memfd_create("clearway-pid", MemfdFlags::CLOEXEC)?;
    Ok(Some((numbers.pid_file, file)))
}

/// Copies of the configuration files, if it is to read some, and their paths in the child.
pub fn copies(files: &ReadFrom, numbers: &Descriptors) -> io::Result<Option<(MemoryFiles, Vec<PathBuf>)>> {
    let ReadFrom::Copies(configuration) = files else { return Ok(None) };
    let numbers = (numbers.copies.0..).map(ChildFd);
    let (mut copies, mut paths) = (Vec::new(), Vec::new());
    for (file, number) in configuration.files.iter().zip(numbers) {
        let (name, copy) = (file.name.display().to_string(), number.path().display().to_string());
        tell(&FleetNotice::Copy { file: name, copy });
        copies.push((number, memory_file("clearway-configuration", &file.bytes)?));
        paths.push(number.path());
    }
    Ok(Some((copies, paths)))
}

/// What HAProxy calls the copies, and the files that they are copies of.
pub fn names_of_copies(files: &ReadFrom, copies: Option<&[PathBuf]>) -> Vec<(String, String)> {
    let ReadFrom::Copies(configuration) = files else { return Vec::new() };
    let names = configuration.files.iter().zip(copies.unwrap_or_default());
    names.map(|(file, copy)| (copy.display().to_string(), file.name.display().to_string())).collect()
}

/// A file that only we and the child can see, and that nothing can change any more. It is read from its end on where a child has it
/// as its standard input; by its path (`/proc/self/fd/N`) from its beginning.
pub fn memory_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create(name, flags)?);
    // It may hold passwords.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}
