//! The way of a notice to the log, from every room. What writes it (`tell::log`) listens here.

use std::sync::OnceLock;

use clearway_core::notice::Notice;
use clearway_core::settings::LogLevel;

static LOG: OnceLock<Log> = OnceLock::new();

/// What writes notices, and down to which level.
struct Log {
    level: LogLevel,
    write: fn(&dyn Notice),
}

clearway_core::notices! {
    /// What is said about things that every room needs.
    pub enum GroundNotice {
        /// A thread could not be started, so that `what` is left out.
        Warn "process.no-thread" NoThread { what: String, error: String, hints: Vec<String> }
            => "{what}: no thread can be started: {error}";
    }
}

/// From now on, notices of this level and of more urgent ones are written; the first one counts that is named.
pub fn listen(level: LogLevel, write: fn(&dyn Notice)) {
    LOG.get_or_init(|| Log { level, write });
}

/// Writes a notice to the log.
pub fn tell(notice: &dyn Notice) {
    if let Some(Log { level, write }) = LOG.get()
        && notice.level() <= *level
    {
        write(notice);
    }
}
