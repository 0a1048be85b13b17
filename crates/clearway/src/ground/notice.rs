//! The way of a notice to the log, from every room. What writes it (`tell::log`) listens here.

use std::sync::OnceLock;

use clearway_core::notice::Notice;
use clearway_core::settings::LogLevel;

static LOG: OnceLock<Log> = OnceLock::new();

/// What is done with a notice.
type WriteNotice = dyn Fn(&dyn Notice) + Send + Sync;

/// What writes notices, and down to which level.
struct Log {
    level: LogLevel,
    write: Box<WriteNotice>,
}

clearway_core::notices! {
    /// What is said about things that every room needs.
    pub enum GroundNotice {
        /// A thread could not be started, so that `what` is left out.
        Warn "process.no-thread" NoThread { what: String, error: String, hints: Vec<String> }
            => "{what}: no thread can be started: {error}";
        /// With the level `debug`: a detail.
        Debug "log.debug" Detail { detail: String } => "{detail}";
    }
}

/// From now on, notices of this level and of more urgent ones are written; the first one counts that is named.
pub fn listen(level: LogLevel, write: impl Fn(&dyn Notice) + Send + Sync + 'static) {
    LOG.get_or_init(|| Log { level, write: Box::new(write) });
}

/// Writes a notice to the log.
pub fn tell(notice: &dyn Notice) {
    if let Some(log) = LOG.get().filter(|log| notice.level() <= log.level) {
        (log.write)(notice);
    }
}

/// Whether notices of this level are written.
pub fn is_heard(level: LogLevel) -> bool {
    LOG.get().is_some_and(|log| level <= log.level)
}

/// A sentence with the level `debug`, for finding a fault.
#[macro_export]
macro_rules! debug {
    ($($words:tt)*) => {
        if $crate::ground::notice::is_heard(clearway_core::settings::LogLevel::Debug) {
            $crate::ground::notice::tell(&$crate::ground::notice::GroundNotice::Detail { detail: format!($($words)*) });
        }
    };
}
