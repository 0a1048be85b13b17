//! Words that can be said at the runtime API as they are.

use std::net::SocketAddr;

/// Whether a word means the same at the runtime API and in a file: nothing in it separates, escapes or quotes there.
pub(super) fn speakable(word: &str) -> bool {
    let odd = |byte: u8| matches!(byte, b'"' | b'\'' | b'\\' | b';' | b'#' | b'<' | b'$');
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !odd(byte))
}

/// Whether names can be said as `BACKEND/SERVER`.
pub(super) fn speakable_names(backend: &str, server: &str) -> bool {
    let name = |word: &str| speakable(word) && !word.contains('/') && !word.starts_with('#');
    name(backend) && name(server)
}

/// An address that nothing has to be asked about: an IP address with its own port.
pub(super) fn literal(address: &str) -> Option<SocketAddr> {
    let bare = ["ipv4@", "ipv6@"].iter().find_map(|prefix| address.strip_prefix(prefix)).unwrap_or(address);
    let address: SocketAddr = bare.parse().ok()?;
    (!address.ip().is_unspecified() && address.port() > 0).then_some(address)
}

/// Digits, as HAProxy prints them again.
pub(super) fn number(word: &str, most: u32) -> Option<u32> {
    let number: u32 = word.parse().ok()?;
    (number <= most && word == number.to_string()).then_some(number)
}
