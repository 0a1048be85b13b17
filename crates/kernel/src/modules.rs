//! Modules that the kernel could not load for us: what helps, in words.
//!
//! Nothing here loads one. The kernel does that by itself when nftables asks for what it does not have,
//! whatever capabilities the asker has; it cannot where the module is not installed, or where loading is
//! locked until the next boot.

use std::path::Path;

/// 1 once modules may not be loaded any more, not even by root. Absent without loadable modules.
const LOCK: &str = "/proc/sys/kernel/modules_disabled";

/// Why a module may be missing: the end of an error's text.
pub(crate) fn missing(module: &str) -> String {
    reason(module, is_locked(Path::new(LOCK)))
}

/// What helps then.
pub(crate) fn hint(module: &str) -> String {
    remedy(module, is_locked(Path::new(LOCK)))
}

fn is_locked(lock: &Path) -> bool {
    std::fs::read_to_string(lock).is_ok_and(|value| value.trim() == "1")
}

fn reason(module: &str, locked: bool) -> String {
    if locked {
        format!(
            ": the module `{module}` is not loaded, and this kernel loads none until it is rebooted \
             (`kernel.modules_disabled` is 1)"
        )
    } else {
        format!(": the module `{module}` is not loaded, and could not be")
    }
}

fn remedy(module: &str, locked: bool) -> String {
    let file = format!("a line `{module}` in a file below /etc/modules-load.d");
    if locked {
        format!("let the host load `{module}` at boot, before loading is locked ({file}), and reboot it")
    } else {
        format!(
            "load it on the host (`modprobe {module}`, and {file}; it may be in the package `kernel-modules-extra`); \
             containers need no `SYS_MODULE` for that"
        )
    }
}

#[cfg(test)]
mod tests;
