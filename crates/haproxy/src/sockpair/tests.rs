use super::*;
use std::io::{Read, Write};
use std::time::Instant;

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn what_one_dials_the_other_accepts() {
    let (ours, theirs) = pair().unwrap();
    let mut dialled = dial(&ours).unwrap();
    let mut accepted = accept(&theirs, LIMIT).unwrap();
    dialled.write_all(b"hello").unwrap();
    drop(dialled);
    let mut text = String::new();
    accepted.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert!(rustix::io::fcntl_getfd(&accepted).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn an_end_is_seen_at_once() {
    let (ours, theirs) = pair().unwrap();
    let mut waiting = dial(&ours).unwrap();
    drop(theirs);
    // What waited in the pair is dropped with it.
    assert_eq!(waiting.read(&mut [0]).unwrap(), 0);
    assert_eq!(dial(&ours).unwrap_err(), SockpairError::Ended);
    assert_eq!(accept(&ours, LIMIT).unwrap_err(), SockpairError::Ended);
}

#[test]
fn silence_and_nonsense_are_told_apart() {
    let (ours, theirs) = pair().unwrap();
    let start = Instant::now();
    let short = Duration::from_millis(30);
    assert_eq!(accept(&ours, short).unwrap_err(), SockpairError::TimedOut(short));
    assert!(start.elapsed() >= short);
    rustix::io::write(&theirs, b"xx").unwrap();
    assert_eq!(accept(&ours, LIMIT).unwrap_err(), SockpairError::NoConnection);
    let file = std::fs::File::open("/dev/null").unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(&theirs, &[IoSlice::new(&[0; 2])], &mut control, SendFlags::empty()).unwrap();
    assert_eq!(accept(&ours, LIMIT).unwrap_err(), SockpairError::NoConnection);
}

#[test]
fn a_haproxy_that_never_accepts_does_not_block_us() {
    let (ours, _theirs) = pair().unwrap();
    let error = (0..100_000).find_map(|_| dial(&ours).err()).unwrap();
    assert!(matches!(error, SockpairError::Io(Errno::AGAIN | Errno::TOOMANYREFS)), "{error}");
}
