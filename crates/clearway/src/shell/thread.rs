//! Threads beside the loop. None is worth the life of PID 1: where the limit of processes is reached, what a thread
//! was to do is left out, and said.

use tracing::warn;

/// Does something beside the loop; false if there can be no thread.
pub fn spawn(what: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let spawned = std::thread::Builder::new().name("clearway-aside".to_owned()).spawn(work);
    if let Err(error) = &spawned {
        warn!(
            "{what}: no thread can be started: {error}; raise the limit of processes (`--pids-limit`, TasksMax=)"
        );
    }
    spawned.is_ok()
}
