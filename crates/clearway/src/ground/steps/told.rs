//! The conversation with the test.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The path of the test's socket.
const VARIABLE: &str = "CLEARWAY_TEST_STEPS";

/// How long a test may take over one step. After that the loop runs on as if there were none.
const PATIENCE: Duration = Duration::from_mins(1);

/// Says what comes next, and waits for the word to go on. One thread at a time: meanwhile the others wait before
/// their own next step.
pub fn at(verb: &str, step: &dyn Debug) {
    static TEST: LazyLock<Option<Mutex<UnixStream>>> = LazyLock::new(connect);
    let Some(test) = &*TEST else { return };
    let mut test = test.lock().unwrap_or_else(PoisonError::into_inner);
    let line = format!("{verb} {step:?}\n");
    if test.write_all(line.as_bytes()).and_then(|()| test.read_exact(&mut [0])).is_err() {
        // It has ended or hangs. Every later step fails at its first byte, without waiting.
        let _ = test.shutdown(Shutdown::Both);
    }
}

fn connect() -> Option<Mutex<UnixStream>> {
    let path = std::env::var_os(VARIABLE)?;
    let connected = UnixStream::connect(&path).and_then(|test| {
        test.set_read_timeout(Some(PATIENCE))?;
        test.set_write_timeout(Some(PATIENCE))?;
        Ok(Mutex::new(test))
    });
    connected.inspect_err(|error| crate::complain!("{VARIABLE}={}: {error}", path.display())).ok()
}
