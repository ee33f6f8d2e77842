//! Classic BPF: the instructions of seccomp filters.
//!
//! Source: linux/filter.h, linux/bpf_common.h, linux/seccomp.h and seccomp(2). A filter reads one
//! `struct seccomp_data` and returns a verdict. Jumps go forward only, conditional ones by at
//! most 255 instructions.

pub type Insn = libc::sock_filter;

/// The most instructions of one program (BPF_MAXINSNS).
pub const MAX_INSNS: usize = 4096;

/// The comparisons a conditional jump can make between the accumulator and a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// Offsets in `struct seccomp_data`.
pub const DATA_NR: u32 = 0;
pub const DATA_ARCH: u32 = 4;

/// The offset of the low (`half` 0) or high (`half` 1) word of argument `index`.
pub const fn data_arg(index: u32, half: u32) -> u32 {
    let half = if cfg!(target_endian = "big") { 1 - half } else { half };
    16 + 8 * index + 4 * half
}

/// Loads a word of `struct seccomp_data` into the accumulator.
pub fn load(offset: u32) -> Insn {
    insn(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

pub fn and(mask: u32) -> Insn {
    insn(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask)
}

pub fn jump(distance: u32) -> Insn {
    insn(libc::BPF_JMP | libc::BPF_JA, 0, 0, distance)
}

/// Jumps over `yes` instructions where the test holds, else over `no`.
pub fn jump_if(test: Test, constant: u32, yes: u8, no: u8) -> Insn {
    let test = match test {
        Test::Equal => libc::BPF_JEQ,
        Test::Greater => libc::BPF_JGT,
        Test::GreaterOrEqual => libc::BPF_JGE,
    };
    insn(libc::BPF_JMP | test | libc::BPF_K, yes, no, constant)
}

/// Ends with a verdict (`verdict`).
pub fn ret(value: u32) -> Insn {
    insn(libc::BPF_RET | libc::BPF_K, 0, 0, value)
}

fn insn(code: u32, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code: code as u16, jt, jf, k }
}

/// What a seccomp filter returns: SECCOMP_RET_*, to be joined with 16 bits of data.
pub mod verdict {
    pub const KILL_THREAD: u32 = libc::SECCOMP_RET_KILL_THREAD;
    pub const KILL_PROCESS: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    pub const TRAP: u32 = libc::SECCOMP_RET_TRAP;
    pub const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;
    pub const TRACE: u32 = libc::SECCOMP_RET_TRACE;
    pub const LOG: u32 = libc::SECCOMP_RET_LOG;
    pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    pub const EPERM: u32 = libc::EPERM as u32;
    pub const ENOSYS: u32 = libc::ENOSYS as u32;
}

/// The calling conventions, as `struct seccomp_data` names them (AUDIT_ARCH_*, linux/audit.h).
pub mod arch {
    pub const X86_64: u32 = 0xc000_003e;
    pub const I386: u32 = 0x4000_0003;
    /// Set in the numbers of x32 calls, which have the architecture of x86_64.
    pub const X32_BIT: u32 = 0x4000_0000;
}
