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

/// eBPF programs of type BPF_PROG_TYPE_CGROUP_DEVICE, which decide on a cgroup's access to
/// devices. Source: linux/bpf.h, bpf(2), and the kernel's Documentation/bpf/instruction-set.
pub mod cgroup_device {
    use crate::sys::check;
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

    /// One instruction: code, registers (source in the high nibble), jump distance, constant.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[repr(C)]
    pub struct Insn {
        pub code: u8,
        pub registers: u8,
        pub distance: i16,
        pub constant: i32,
    }

    pub const R0: u8 = 0;
    /// At the start: points to `struct bpf_cgroup_dev_ctx`.
    pub const R1: u8 = 1;
    pub const R2: u8 = 2;
    pub const R3: u8 = 3;
    pub const R4: u8 = 4;
    pub const R5: u8 = 5;

    /// Offsets in `struct bpf_cgroup_dev_ctx`: the access (16 bits) above the type (16 bits).
    pub const CTX_ACCESS_TYPE: i16 = 0;
    pub const CTX_MAJOR: i16 = 4;
    pub const CTX_MINOR: i16 = 8;

    pub const TYPE_BLOCK: i32 = 1;
    pub const TYPE_CHAR: i32 = 2;
    pub const ACCESS_MKNOD: i32 = 1;
    pub const ACCESS_READ: i32 = 2;
    pub const ACCESS_WRITE: i32 = 4;

    const fn insn(code: u8, to: u8, from: u8, distance: i16, constant: i32) -> Insn {
        Insn { code, registers: to | from << 4, distance, constant }
    }

    /// `to` = the 32-bit word at `from` + `offset`.
    pub const fn load(to: u8, from: u8, offset: i16) -> Insn {
        insn(0x61, to, from, offset, 0)
    }

    pub const fn copy(to: u8, from: u8) -> Insn {
        insn(0xbc, to, from, 0, 0)
    }

    pub const fn set(to: u8, constant: i32) -> Insn {
        insn(0xb4, to, 0, 0, constant)
    }

    pub const fn and(to: u8, constant: i32) -> Insn {
        insn(0x54, to, 0, 0, constant)
    }

    pub const fn shift_right(to: u8, bits: i32) -> Insn {
        insn(0x74, to, 0, 0, bits)
    }

    /// Jumps over `distance` instructions where the register holds the constant.
    pub const fn jump_if_equal(register: u8, constant: i32, distance: i16) -> Insn {
        insn(0x16, register, 0, distance, constant)
    }

    pub const fn jump_if_not_equal(register: u8, constant: i32, distance: i16) -> Insn {
        insn(0x56, register, 0, distance, constant)
    }

    /// Ends with R0: 1 allows, 0 refuses.
    pub const fn exit() -> Insn {
        insn(0x95, 0, 0, 0, 0)
    }

    /// Loads the program into the kernel and attaches it to the cgroup (v2) behind `cgroup`, where
    /// it lives as long as the cgroup.
    ///
    /// Errors: those of bpf(2); EINVAL where the kernel has no CONFIG_CGROUP_BPF.
    pub fn attach(program: &[Insn], cgroup: BorrowedFd) -> io::Result<()> {
        const BPF_PROG_LOAD: i32 = 5;
        const BPF_PROG_ATTACH: i32 = 8;
        const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
        const BPF_CGROUP_DEVICE: u32 = 6;
        const BPF_F_ALLOW_MULTI: u32 = 2;

        #[repr(C)]
        struct Load {
            kind: u32,
            count: u32,
            insns: u64,
            license: u64,
            log_level: u32,
            log_size: u32,
            log_buf: u64,
            kern_version: u32,
            flags: u32,
        }
        #[repr(C)]
        struct Attach {
            target: u32,
            program: u32,
            kind: u32,
            flags: u32,
        }
        let load = Load {
            kind: BPF_PROG_TYPE_CGROUP_DEVICE,
            count: program.len() as u32,
            insns: program.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log_buf: 0,
            kern_version: 0,
            flags: 0,
        };
        // SAFETY: a live prefix of union bpf_attr with its size; `insns` points to `count`
        // instructions of the kernel's layout, `license` to a C string. The descriptor is new.
        let program = unsafe {
            let (at, size) = (&raw const load, size_of_val(&load));
            let fd = check(libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, at, size))?;
            OwnedFd::from_raw_fd(fd as i32)
        };
        let attach = Attach {
            target: cgroup.as_raw_fd() as u32,
            program: program.as_raw_fd() as u32,
            kind: BPF_CGROUP_DEVICE,
            flags: BPF_F_ALLOW_MULTI,
        };
        let (at, size) = (&raw const attach, size_of_val(&attach));
        // SAFETY: as above.
        check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, at, size) })?;
        Ok(())
    }
}
