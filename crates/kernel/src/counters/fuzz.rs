//! Any text as `/proc/net/snmp` and `/proc/net/netstat`.

use super::{parse, value};

pub(crate) fn counted(text: &str) {
    let _ = parse(text);
    if let Some(number) = value(text, "Tcp", "RetransSegs") {
        assert!(text.contains("Tcp:") && text.contains(number.to_string().trim_end_matches('0')));
    }
}
