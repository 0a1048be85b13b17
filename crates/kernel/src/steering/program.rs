//! The programs: classic BPF, a few instructions each.

use std::io;
use std::os::fd::BorrowedFd;

use nix::libc::{c_ushort, sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use socket2::{SockFilter, SockRef};

use crate::bpf::{self, IF_EQUAL, LOAD, LOAD_BYTE, RETURN};

/// `BPF_ALU | BPF_MOD | BPF_K`.
const MODULO: u16 = 0x94;
/// `BPF_JMP | BPF_JSET | BPF_K`.
const IF_ANY_BIT: u16 = 0x45;
/// `SKF_AD_OFF + SKF_AD_RANDOM`: a random number (Linux 3.15). `SKF_AD_RXHASH` is 0 for every packet of a device
/// that gives no hash.
const RANDOM: u32 = bpf::known(56);
/// No index: every group is smaller, so the kernel chooses by its hash.
const NONE: u32 = u32::MAX;
/// `BPF_MAXINSNS`.
const LONGEST: usize = 4096;

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub code: u16,
    pub if_true: u8,
    pub if_false: u8,
    pub k: u32,
}

const fn instruction(code: u16, if_true: u8, if_false: u8, k: u32) -> Instruction {
    Instruction { code, if_true, if_false, k }
}

/// Returns one of the indices, each with the same probability; none of them: leaves it to the kernel.
pub(super) fn choose(indices: &[u16]) -> Vec<Instruction> {
    let (last, others) = match indices {
        [] => return vec![instruction(RETURN, 0, 0, NONE)],
        [others @ .., last] => (*last, others),
    };
    let mut program = Vec::with_capacity(3 + 2 * others.len());
    if !others.is_empty() {
        program.push(instruction(LOAD, 0, 0, RANDOM));
        program.push(instruction(MODULO, 0, 0, u32::try_from(indices.len()).unwrap_or(NONE)));
    }
    for (number, index) in (0_u32..).zip(others) {
        program.push(instruction(IF_EQUAL, 0, 1, number));
        program.push(instruction(RETURN, 0, 0, (*index).into()));
    }
    program.push(instruction(RETURN, 0, 0, last.into()));
    program
}

/// Drops what begins a connection, and lets everything else pass. A filter of TCP sees the packet from the TCP
/// header on; byte 13 has the flags, bit 1 of it is SYN.
pub(super) const NO_SYN: [Instruction; 4] = [
    instruction(LOAD_BYTE, 0, 0, 13),
    instruction(IF_ANY_BIT, 0, 1, 0x02),
    instruction(RETURN, 0, 0, 0),
    instruction(RETURN, 0, 0, u32::MAX),
];

/// `SO_ATTACH_REUSEPORT_CBPF` (Linux 4.5), to the whole group that the socket is in.
pub(super) fn attach(via: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    if program.len() > LONGEST {
        return Err(io::ErrorKind::ArgumentListTooLong.into());
    }
    let convert = |i: &Instruction| sock_filter { code: i.code, jt: i.if_true, jf: i.if_false, k: i.k };
    let mut filters: Vec<sock_filter> = program.iter().map(convert).collect();
    // The kernel copies the program within the call.
    let program =
        sock_fprog { len: c_ushort::try_from(filters.len()).unwrap_or(0), filter: filters.as_mut_ptr() };
    Ok(setsockopt(&via, AttachReusePortCbpf, &program)?)
}

/// `SO_ATTACH_FILTER`, to one socket.
pub(super) fn filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let convert = |i: &Instruction| SockFilter::new(i.code, i.if_true, i.if_false, i.k);
    SockRef::from(&socket).attach_filter(&program.iter().map(convert).collect::<Vec<_>>())
}
