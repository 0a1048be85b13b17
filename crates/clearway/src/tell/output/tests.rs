use std::io::Read;
use std::os::fd::AsFd;

use super::*;

#[test]
fn a_pipe_that_is_not_read_any_more_is_no_reason_to_fail() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    write(writer.as_fd(), b"into the void");
}

#[test]
fn a_full_disk_is_no_reason_to_fail() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    write(full.as_fd(), b"no room");
}

#[test]
fn a_non_blocking_descriptor_gets_everything_in_the_end() {
    let (mut reader, writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let bytes = vec![b'x'; 1 << 20];
    let thread = std::thread::spawn(move || write(writer.as_fd(), &bytes));
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    thread.join().unwrap();
    assert_eq!(read.len(), 1 << 20);
}

#[test]
fn without_a_thread_what_fits_is_written_and_nothing_waits() {
    let (mut reader, writer) = io::pipe().unwrap();
    assert!(write_what_fits(writer.as_fd(), b"why it leaves"));
    let mut read = [0; 13];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"why it leaves");
    // It would wait for a reader for ever.
    while write_what_fits(writer.as_fd(), &[b'x'; PIPE_BUF]) {}
    assert!(!write_what_fits(writer.as_fd(), b"no room"));
}
