//! The limit of descriptors: ours is raised, that of the programs under test is not.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What it was before we raised it.
static ORIGINAL: OnceLock<Rlimit> = OnceLock::new();

/// Raises our own limit as far as it goes: at 1000 connections per second and three seconds of patience, a dead
/// target holds 3000 descriptors. Where this fails, connections without a descriptor are counted by the name of
/// that error.
pub(crate) fn raise_descriptor_limit() {
    let original = *ORIGINAL.get_or_init(|| getrlimit(Resource::Nofile));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: original.maximum, ..original });
}

/// Gives the calling process the limit back that we were started with. For a child before `exec`: HAProxy derives
/// its own limits from it, and must not see another one only because a load ran before.
pub(crate) fn restore_descriptor_limit() -> std::io::Result<()> {
    if let Some(original) = ORIGINAL.get() {
        setrlimit(Resource::Nofile, *original)?;
    }
    Ok(())
}
