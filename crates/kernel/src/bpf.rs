//! Classic BPF, as far as two of our programs speak it: instructions of `linux/bpf_common.h`.

/// `BPF_LD | BPF_W | BPF_ABS`: four bytes, or what the kernel knows besides ([`known`]).
pub(crate) const LOAD: u16 = 0x20;
/// `BPF_LD | BPF_B | BPF_ABS`: one byte.
pub(crate) const LOAD_BYTE: u16 = 0x30;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub(crate) const IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
pub(crate) const RETURN: u16 = 0x06;

/// `SKF_AD_OFF` and what of it: where [`LOAD`] finds what the kernel knows besides the bytes.
pub(crate) const fn known(what: i32) -> u32 {
    (-0x1000_i32 + what).cast_unsigned()
}
