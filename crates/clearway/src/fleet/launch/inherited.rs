//! What HAProxy inherits, each thing with its number there, and our ends of it.

use std::os::fd::OwnedFd;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_haproxy::command_line::{ChildFd, GenerationFiles};
use clearway_haproxy::sockpair;

use crate::fleet::child::Descriptors;
use crate::fleet::launch::Prepared;
use crate::fleet::launch::memory_files;
use crate::fleet::running::OurEnds;

/// What HAProxy inherits. Everything is made before there is a process, so that nothing can fail when there is one.
#[derive(Debug)]
pub struct Inherited {
    /// Its descriptors.
    pub descriptors: Vec<(ChildFd, OwnedFd)>,
    /// What its command line says of them.
    pub files: GenerationFiles,
    /// What it calls files that have another name for people.
    pub names: Vec<(String, String)>,
    /// Our ends.
    pub ends: OurEnds,
    /// A duplicate of the one over which it proves itself.
    pub to_prove: OwnedFd,
    /// A duplicate of the one over which it asks for its sockets, if it does.
    pub to_hand_over: Option<OwnedFd>,
}

impl Inherited {
    /// For a generation with these numbers of descriptors. `offers`: whether it is offered a socket; `predecessor`: what it
    /// is told of as the process before it.
    pub fn make(
        prepared: &Prepared,
        numbers: &Descriptors,
        offers: bool,
        predecessor: Option<u32>,
    ) -> Result<Self, Failure> {
        let pair = |what| sockpair::pair().map_err(|error| cannot(what, &error));
        let duplicate = |end: &OwnedFd| end.try_clone().map_err(|error| cannot("duplicate", &error));
        let (stats, stats_child) = pair("private socket")?;
        let (master_cli, master_child) = pair("master CLI")?;
        let mut descriptors = vec![(numbers.stats, stats_child), (numbers.master_cli, master_child)];
        let overlay = memory_files::overlay(&prepared.overlay, numbers);
        descriptors.extend(overlay.map_err(|error| cannot("overlay", &error))?);
        let pid_file = memory_files::pid_file(&prepared.configuration, numbers);
        let pid_file = pid_file.map_err(|error| cannot("pid file", &error))?;
        let has_pid_file = pid_file.is_some();
        descriptors.extend(pid_file);
        let handover = offers.then(|| pair("handover")).transpose()?.map(|(ours, theirs)| {
            descriptors.push((numbers.sockets, theirs));
            ours
        });
        let copies =
            memory_files::copies(&prepared.files, numbers).map_err(|error| cannot("copy", &error))?;
        let copies = copies.map(|(copies, paths)| {
            descriptors.extend(copies);
            paths
        });
        let names = memory_files::names_of_copies(&prepared.files, copies.as_deref());
        let files = GenerationFiles {
            overlay: numbers.overlay.path(),
            master_cli: Some(numbers.master_cli),
            sockets_from: handover.is_some().then_some(numbers.sockets),
            told: predecessor,
            pid_file: has_pid_file.then_some(numbers.pid_file),
            copies,
        };
        let to_prove = duplicate(&stats)?;
        let to_hand_over = handover.as_ref().map(duplicate).transpose()?;
        let ends = OurEnds { stats, master_cli, handover };
        Ok(Self { descriptors, files, names, ends, to_prove, to_hand_over })
    }
}

/// Nothing was started.
pub fn cannot(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("starting HAProxy: {what}: {error}"))
}
