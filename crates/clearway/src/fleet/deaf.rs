//! A HAProxy that starts, binds and answers us, and takes nothing from clients: for a trial (`clearway reload --dry-run`).
//!
//! It shares the listening sockets of the generation that serves, and nothing of its own keeps it from accepting on them.
//! So a filter of system calls (seccomp), which it inherits over its exec, answers for the kernel:
//!
//! | call | is answered | so that |
//! |---|---|---|
//! | `accept`, `accept4` | "no client waits" (`EAGAIN`) | each client is served by the generation that serves |
//! | `listen` | done | an address that it binds, also beside a socket of ours, gets no client |
//! | `rename`, `link` and their kin | done | a Unix socket that it binds does not take the place of another one |
//!
//! Our own questions come over socket pairs, by `recvmsg`. What it would really do to bind (the port is free, the right is
//! there) it does. Datagrams need no `accept`: what would take them is not tried.

use std::io;

use nix::libc::{self, sock_filter, sock_fprog};

/// Whether a generation takes anything from clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// As every HAProxy does.
    Clients,
    /// It is only tried.
    Nothing,
}

/// "Go on with this number as the error"; with 0 the call was done.
const ANSWER: u32 = libc::SECCOMP_RET_ERRNO;

/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K`.
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// The calls that are answered as done.
#[cfg(target_arch = "x86_64")]
const DONE: [libc::c_long; 6] = [
    libc::SYS_listen,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_rename,
    libc::SYS_link,
];
#[cfg(not(target_arch = "x86_64"))]
const DONE: [libc::c_long; 3] = [libc::SYS_listen, libc::SYS_renameat2, libc::SYS_linkat];

/// The calls that are answered with "no client waits".
const NO_CLIENT: [libc::c_long; 2] = [libc::SYS_accept, libc::SYS_accept4];

const LENGTH: usize = 2 * (DONE.len() + NO_CLIENT.len()) + 2;

/// The filter: each call with its answer, and the rest is let through.
#[derive(Clone, Copy, Debug)]
pub struct Filter([sock_filter; LENGTH]);

impl Filter {
    /// Made before the fork: nothing is allocated behind it.
    pub fn new() -> Self {
        let one = |code, jf, k| sock_filter { code, jt: 0, jf, k };
        let done = DONE.map(|number| (number, ANSWER));
        let no_client = NO_CLIENT.map(|number| (number, ANSWER | libc::EAGAIN.unsigned_abs()));
        // The number of the call is the first word.
        let mut filter = [one(LOAD, 0, 0); LENGTH];
        let answers = done.into_iter().chain(no_client).flat_map(|(number, answer)| {
            // Numbers of calls are small.
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            [one(IF_EQUAL, 1, number), one(RETURN, 0, answer)]
        });
        let program = answers.chain([one(RETURN, 0, libc::SECCOMP_RET_ALLOW)]);
        filter.iter_mut().skip(1).zip(program).for_each(|(slot, instruction)| *slot = instruction);
        Self(filter)
    }

    /// Puts it on this process for good. Between fork and exec: plain system calls only.
    pub fn install(&mut self) -> io::Result<()> {
        rustix::thread::set_no_new_privs(true)?;
        let len = u16::try_from(self.0.len()).map_err(io::Error::other)?;
        let program = sock_fprog { len, filter: self.0.as_mut_ptr() };
        // SAFETY: `program` and the instructions that it points to live until the call returns, which copies them.
        let done =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_ends_with_letting_through() {
        let Filter(filter) = Filter::new();
        assert_eq!((filter[0].code, filter[0].k), (LOAD, 0));
        let last = filter[LENGTH - 1];
        assert_eq!((last.code, last.k), (RETURN, libc::SECCOMP_RET_ALLOW));
        assert!(filter[1..LENGTH - 1].chunks(2).all(|pair| pair[0].code == IF_EQUAL && pair[0].jf == 1));
    }
}
