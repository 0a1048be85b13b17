//! The payload of a message: one record per descriptor.

use super::{GetsocksError, OfferedSocket};

/// The longest record: two names of 255 bytes and what is around them.
pub(super) const LONGEST: usize = 1 + 255 + 1 + 255 + 4;

/// Namespace and interface of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) namespace: String,
    pub(super) interface: String,
}

/// Takes one record off the beginning; none while it is not complete.
pub(super) fn take(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (namespace, rest) = name(bytes)?;
    let (interface, rest) = name(rest)?;
    // Listener options before 2.3, zero since.
    let (_options, rest) = rest.split_first_chunk::<4>()?;
    Some((Record { namespace, interface }, rest))
}

fn name(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((String::from_utf8_lossy(name).into_owned(), rest))
}

/// Writes the records of one message.
pub(super) fn write(sockets: &[OfferedSocket<'_>]) -> Result<Vec<u8>, GetsocksError> {
    let mut bytes = Vec::with_capacity(sockets.len() * 6);
    for socket in sockets {
        for name in [socket.namespace, socket.interface] {
            let length = u8::try_from(name.len()).map_err(|_| GetsocksError::LongName(name.to_owned()))?;
            bytes.push(length);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&[0; 4]);
    }
    Ok(bytes)
}
