//! Clearway's own log, on standard error. Standard output belongs to HAProxy (`log stdout`).

use clearway_core::settings::LogSetting;

use crate::ground::notice;
use crate::tell::events::{self, Events};
use crate::tell::{output, rendered};

/// Sets the log up, once. What is said is kept for followers, too, whatever the level of the log is, if there are to be any.
pub fn init(setting: LogSetting, followed: Option<Events>) {
    rendered::choose(setting.format);
    let level = if followed.is_some() { setting.level.max(events::LEVEL) } else { setting.level };
    notice::listen(level, move |notice| {
        if let Some(events) = &followed {
            events.keep(notice);
        }
        if notice.level() <= setting.level {
            output::to_stderr(rendered::rendered(notice).as_bytes());
        }
    });
}
