//! Any words as a command line of HAProxy, and as the value of `-S`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::{ChildFd, GenerationFiles, Invocation, InvocationPurpose};
use crate::master_cli::address::{MasterCliAddress, listed};

/// One word a line.
pub(crate) fn command_line(data: &[u8]) {
    let words: Vec<OsString> =
        data.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec())).collect();
    words.iter().filter_map(|word| word.to_str()).for_each(address_of_a_master_cli);
    let _ = listed(&words);
    let Ok(invocation) = Invocation::parse(words.clone()) else { return };
    assert!(words.ends_with(&invocation.arguments));
    invocation.handled.iter().for_each(|handled| drop(handled.to_string()));
    if invocation.purpose == InvocationPurpose::Supervise {
        a_generation_reads_the_same(&invocation, None);
        a_generation_reads_the_same(&invocation, Some(vec!["/proc/self/fd/3".into(), "-f".into()]));
    }
}

/// The arguments of a generation are read as those of the user, with what Clearway adds.
fn a_generation_reads_the_same(invocation: &Invocation, copies: Option<Vec<PathBuf>>) {
    let overlay = ChildFd(9).path();
    let files = GenerationFiles {
        overlay: overlay.clone(),
        master_cli: Some(ChildFd(7)),
        sockets_from: Some(ChildFd(8)),
        told: Some(4711),
        pid_file: Some(ChildFd(6)),
        copies: copies.clone(),
    };
    let arguments = invocation.supervised_arguments(&files);
    let read = Invocation::parse(arguments.clone());
    assert!(read.is_ok(), "{read:?}: {arguments:?}");
    let Ok(read) = read else { return };
    let mut wanted = copies.unwrap_or_else(|| invocation.configuration.clone());
    wanted.push(overlay);
    assert_eq!(read.configuration, wanted, "{arguments:?}");
    assert_eq!(read.purpose, InvocationPurpose::Supervise);
    assert_eq!(read.working_directory, invocation.working_directory);
    assert_eq!(read.local_peer, invocation.local_peer);
    assert_eq!(read.frontend_maxconn, invocation.frontend_maxconn);
    assert_eq!(read.master_cli, ["sockpair@7"]);
    assert_eq!(read.pid_file, Some(ChildFd(6).path()));
    // `-W -db -sf PID -x SOCKET`, and nothing of what was taken out.
    assert_eq!(read.handled.len(), 4, "{:?}", read.handled);
}

/// An address is listed so that it is read as the same.
fn address_of_a_master_cli(text: &str) {
    match MasterCliAddress::parse(text) {
        Ok(address) => {
            if let Some(listed) = address.listed() {
                let read = MasterCliAddress::parse(&listed).map(|read| read.endpoint);
                assert_eq!(read.as_ref(), Ok(&address.endpoint), "{listed}");
            }
        }
        Err(error) => drop(error.to_string()),
    }
}
