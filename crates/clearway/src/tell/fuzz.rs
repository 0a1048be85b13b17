//! Any text as a name that systemd keeps with a socket.

use crate::tell::systemd::stored;

/// Names with colons between, as in `LISTEN_FDNAMES`. A name of ours is written as it is read.
pub(crate) fn names_of_sockets(text: &str) {
    for name in text.split([':', '\n']) {
        if let Some(names) = stored::parse(name)
            && let Some(written) = stored::name(7, &names)
        {
            assert_eq!(stored::parse(&written).as_ref(), Some(&names), "{name} {written}");
        }
    }
}
