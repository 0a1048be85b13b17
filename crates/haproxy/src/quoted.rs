//! A path as one word of a configuration (configuration manual 2.2): quotes, escapes and blanks are escaped, byte by byte.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The word. Outside quotes `$` means itself, and a backslash before it would stay.
pub(crate) fn quoted(path: &Path) -> Vec<u8> {
    let mut word = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\\' | b'#' | b'"' | b'\'' => word.extend([b'\\', *byte]),
            b'\t' => word.extend(b"\\t"),
            b'\n' => word.extend(b"\\n"),
            b'\r' => word.extend(b"\\r"),
            0x0b | 0x0c => word.extend(format!("\\x{byte:02x}").bytes()),
            byte => word.push(*byte),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::quoted;
    use std::path::Path;

    #[test]
    fn a_path_is_one_word_and_dollars_stay() {
        assert_eq!(quoted(Path::new("/a b/$c/#d'e\"f\\g")), br#"/a\ b/$c/\#d\'e\"f\\g"#);
        assert_eq!(quoted(Path::new("/a\nb\tc")), br"/a\nb\tc");
    }
}
