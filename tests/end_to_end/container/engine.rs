//! The engine that the tests use, if there is one, and which test may use the machine's network.

use std::os::unix::fs::MetadataExt;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::{Result, ensure};
use clearway_lab::balancer::clearway_program;
use clearway_lab::container::{Container, Engine};
use clearway_lab::namespace::Namespace;

use crate::stage::{CannotRun, complained};

/// The image that `make test-image` builds of the program under test.
const BUILT_BY_MAKE: &str = "clearway:test";

/// The image under test: `$CLEARWAY_IMAGE`, else [`BUILT_BY_MAKE`].
pub fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| std::env::var("CLEARWAY_IMAGE").unwrap_or_else(|_| BUILT_BY_MAKE.to_owned()))
}

/// The engine, or why these tests cannot run here.
pub fn engine() -> Result<Engine> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    let found = ENGINE.get_or_init(|| prepare().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|reason| CannotRun(reason).into())
}

/// Finds the engine and the image, and takes away what killed runs have left.
fn prepare() -> Result<Engine> {
    let engine = Engine::find()?;
    ensure!(engine.has_image(image())?, "there is no image `{}`: `make test-image` builds it", image());
    for swept in [engine.sweep(), clearway_lab::namespace::sweep()] {
        if let Err(error) = swept {
            eprintln!("what a killed run has left stays: {error:#}");
        }
    }
    let probe = Container::run(
        &engine,
        "probe",
        &["--network=host", "--entrypoint=/bin/sleep"],
        image(),
        &["infinity"],
    )?;
    shares_our_network(&probe)?;
    if image() == BUILT_BY_MAKE {
        has_our_program(&engine, &probe)?;
    }
    Ok(engine)
}

/// Whether `--network=host` means the network that we are in: an engine may be on another machine, in a virtual
/// one, or without root.
fn shares_our_network(probe: &Container) -> Result<()> {
    let theirs = std::fs::metadata(format!("/proc/{}/ns/net", probe.pid()?));
    let ours = Namespace::host()?.inode()?;
    let same = theirs.is_ok_and(|namespace| namespace.ino() == ours);
    ensure!(same, "the engine's `--network=host` is not the network of this process");
    Ok(())
}

/// Whether the image is of today.
fn has_our_program(engine: &Engine, probe: &Container) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("clearway");
    let from = format!("{}:/usr/local/bin/clearway", probe.name());
    engine.done(&["cp", &from, &copy.display().to_string()])?;
    let same = std::fs::read(copy)? == std::fs::read(clearway_program()?)?;
    ensure!(same, "the image `{}` has another clearway than the one under test: `make test-image`", image());
    Ok(())
}

/// Takes out of the machine's kernel what killed containers have left there, as the documentation says.
pub fn clean_up(engine: &Engine) -> Result<()> {
    if !Namespace::host()?.ip(&["rule"])?.contains("proto 179") {
        return Ok(());
    }
    let options = ["--rm", "--network=host", "--cap-drop=ALL", "--cap-add=NET_ADMIN"];
    let output = Container::run_to_end(engine, "cleanup", &options, image(), &["cleanup"])?;
    ensure!(output.status.success(), "`clearway cleanup`: {}", complained(&output));
    Ok(())
}

/// The turn to use it. Containers in the machine's network are tested one at a time. Those with a network of their
/// own may run beside each other, but change the machine's routes when they come and go.
static TURN: RwLock<()> = RwLock::new(());

/// No other test uses the machine's network.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    TURN.write().unwrap_or_else(PoisonError::into_inner)
}

/// No test looks at the machine's network.
pub fn among_others() -> RwLockReadGuard<'static, ()> {
    TURN.read().unwrap_or_else(PoisonError::into_inner)
}
