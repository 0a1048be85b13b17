//! Clearway's own log, on standard error. Standard output belongs to HAProxy (`log stdout`).

use clearway_core::settings::LogSetting;

use crate::ground::notice;
use crate::tell::{output, rendered};

/// Sets the log up, once.
pub fn init(setting: LogSetting) {
    rendered::choose(setting.format);
    notice::listen(setting.level, |notice| output::to_stderr(rendered::rendered(notice).as_bytes()));
}
