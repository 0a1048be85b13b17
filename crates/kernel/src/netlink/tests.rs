use proptest::prelude::*;

use super::frame::{FrameContent, frames};
use super::*;

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn a_refusal_carries_the_words_of_the_kernel() {
    // -EEXIST, the capped header of the request, NLMSGERR_ATTR_MSG
    let mut payload = (-17i32).to_ne_bytes().to_vec();
    payload.extend([0; 16]);
    payload.extend(11u16.to_ne_bytes());
    payload.extend(1u16.to_ne_bytes());
    payload.extend(b"exists\0\0");
    let all = frames(&message(2, 0x300, 7, &payload)).unwrap();
    let [frame] = &all[..] else { panic!("{all:?}") };
    let FrameContent::Ended(outcome) = &frame.content else { panic!("{frame:?}") };
    assert_eq!(frame.sequence, 7);
    assert_eq!(outcome.errno, Some(Errno::EXIST));
    assert_eq!(outcome.words.as_deref(), Some("exists"));
}

#[test]
fn an_acknowledgement_is_no_error_and_noop_is_nothing() {
    let mut datagram = message(1, 0, 3, &[]);
    datagram.extend(message(2, 0x100, 4, &[0; 20]));
    datagram.extend(message(4, 0, 5, &[]));
    let all = frames(&datagram).unwrap();
    assert_eq!(all.len(), 2);
    assert!(matches!(&all[0].content, FrameContent::Ended(outcome) if outcome.errno.is_none()));
    assert!(matches!(&all[1].content, FrameContent::Overrun));
}

#[test]
fn an_interrupted_dump_is_noticed() {
    let all = frames(&message(24, 0x10, 1, b"abc")).unwrap();
    assert!(all[0].interrupted);
    assert!(
        matches!(&all[0].content, FrameContent::Data(reply) if reply.kind == 24 && reply.payload == b"abc")
    );
}

#[test]
fn a_message_longer_than_its_datagram_is_an_error() {
    let mut bytes = message(24, 0, 1, b"abcd");
    bytes.truncate(18);
    assert!(frames(&bytes).is_err());
}

#[test]
fn the_socket_is_close_on_exec() {
    for protocol in [Protocol::Route, Protocol::SockDiag] {
        let client = NetlinkClient::open(protocol).unwrap();
        let flags = rustix::io::fcntl_getfd(&client.socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "{protocol}");
    }
}

#[test]
fn numbers_that_are_no_errors_never_panic() {
    for number in [0_i32, 4096, -4096, 8192, 1 << 30, i32::MIN, i32::MAX] {
        let _ = frames(&message(2, 0, 1, &number.to_ne_bytes()));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = frames(&bytes);
    }

    #[test]
    fn random_payloads_never_panic(
        kind in 0u16..6,
        flags in any::<u16>(),
        payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = frames(&message(kind, flags, 1, &payload));
    }
}
