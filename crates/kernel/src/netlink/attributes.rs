//! Attributes of messages that no crate knows how to read, as far as they can be read: what is cut short ends the list.

use std::ffi::CStr;

use netlink_packet_core::NlasIterator;

/// `NLA_TYPE_MASK`: without the flag for nested attributes.
const TYPE: u16 = 0x3fff;
/// `NLA_HDRLEN`.
const ATTRIBUTE: usize = 4;

/// Attributes and their values, as far as they can be read.
pub(crate) fn nested(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map_while(|nla| {
        let (kind, length) = (nla.kind() & TYPE, usize::from(nla.length()));
        Some((kind, nla.into_inner().get(ATTRIBUTE..length)?))
    })
}

/// The value of the first attribute of this kind.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    nested(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Up to the first zero byte.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let text = CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes);
    std::str::from_utf8(text).ok().map(str::to_owned)
}
