//! Docker's default profile: what a container may call, by its capabilities.
//!
//! Source: `seccomp/default.json` of moby's profiles, as of 2026-06, for an x86_64 kernel. Every
//! kernel that coracle runs on is newer than 4.8, so the calls that the profile ties to that
//! version (ptrace and its kin) are in the common list.

use super::{Action, Arch, Arg, Operator, Rule, Seccomp};
use crate::sys::bpf::verdict;
use std::borrow::Cow;

const ARCHES: [Arch; 3] = [Arch::X86_64, Arch::X86, Arch::X32];

/// The profile for a container with these capabilities (a bit each) in its bounding set.
pub fn default_profile(caps: u64) -> Seccomp {
    let rule = |names: &'static str, answer, args: &[Arg]| Rule {
        names: names.split_ascii_whitespace().map(Cow::Borrowed).collect(),
        action: match answer {
            Answer::Allow => Action::Allow,
            Answer::NoSuchCall => Action::Errno,
        },
        errno_ret: match answer {
            Answer::Allow => None,
            Answer::NoSuchCall => Some(verdict::ENOSYS),
        },
        args: args.to_vec(),
    };
    let conditional = rules(caps).map(|r| rule(r.names, r.answer, r.args));
    Seccomp {
        default_action: Action::Errno,
        default_errno_ret: Some(verdict::EPERM),
        architectures: ARCHES.to_vec(),
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls: [rule(ALWAYS, Answer::Allow, &[])].into_iter().chain(conditional).collect(),
    }
}

fn rules(caps: u64) -> impl Iterator<Item = &'static Conditional> {
    CONDITIONAL.iter().filter(move |rule| match rule.when {
        When::Always => true,
        When::Has(cap) => caps & (1 << cap) != 0,
        When::Lacks(cap) => caps & (1 << cap) == 0,
    })
}

struct Conditional {
    when: When,
    /// Divided by spaces.
    names: &'static str,
    answer: Answer,
    args: &'static [Arg],
}

/// Capabilities by their numbers (linux/capability.h).
enum When {
    Always,
    Has(u8),
    Lacks(u8),
}

#[derive(Clone, Copy)]
enum Answer {
    Allow,
    /// ENOSYS: so that libc tries the older call.
    NoSuchCall,
}

const CAP_DAC_READ_SEARCH: u8 = 2;
const CAP_SYS_MODULE: u8 = 16;
const CAP_SYS_RAWIO: u8 = 17;
const CAP_SYS_CHROOT: u8 = 18;
const CAP_SYS_PTRACE: u8 = 19;
const CAP_SYS_PACCT: u8 = 20;
const CAP_SYS_ADMIN: u8 = 21;
const CAP_SYS_BOOT: u8 = 22;
const CAP_SYS_NICE: u8 = 23;
const CAP_SYS_TIME: u8 = 25;
const CAP_SYS_TTY_CONFIG: u8 = 26;
const CAP_SYSLOG: u8 = 34;
const CAP_PERFMON: u8 = 38;
const CAP_BPF: u8 = 39;

const fn arg(index: u32, op: Operator, value: u64, value_two: u64) -> Arg {
    Arg { index, value, value_two, op }
}

const fn allow(when: When, names: &'static str, args: &'static [Arg]) -> Conditional {
    Conditional { when, names, answer: Answer::Allow, args }
}

const fn with(cap: u8, names: &'static str) -> Conditional {
    allow(When::Has(cap), names, &[])
}

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

static CONDITIONAL: [Conditional; 24] = [
    // Every address family but AF_ALG (38) and AF_VSOCK (40).
    allow(When::Always, "socket", &[arg(0, Operator::Less, 38, 0)]),
    allow(When::Always, "socket", &[arg(0, Operator::Equal, 39, 0)]),
    allow(When::Always, "socket", &[arg(0, Operator::Greater, 40, 0)]),
    // PER_LINUX, PER_LINUX32, UNAME26, both, and the question.
    allow(When::Always, "personality", &[arg(0, Operator::Equal, 0, 0)]),
    allow(When::Always, "personality", &[arg(0, Operator::Equal, 8, 0)]),
    allow(When::Always, "personality", &[arg(0, Operator::Equal, 0x2_0000, 0)]),
    allow(When::Always, "personality", &[arg(0, Operator::Equal, 0x2_0008, 0)]),
    allow(When::Always, "personality", &[arg(0, Operator::Equal, 0xffff_ffff, 0)]),
    allow(
        When::Lacks(CAP_SYS_ADMIN),
        "clone",
        &[arg(0, Operator::MaskedEqual, CLONE_NAMESPACES, 0)],
    ),
    // Its flags lie in memory, where a filter cannot look.
    Conditional {
        when: When::Lacks(CAP_SYS_ADMIN),
        names: "clone3",
        answer: Answer::NoSuchCall,
        args: &[],
    },
    with(CAP_DAC_READ_SEARCH, "open_by_handle_at"),
    with(
        CAP_SYS_ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    with(CAP_SYS_BOOT, "reboot"),
    with(CAP_SYS_CHROOT, "chroot"),
    with(CAP_SYS_MODULE, "delete_module init_module finit_module"),
    with(CAP_SYS_PACCT, "acct"),
    with(CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"),
    with(CAP_SYS_RAWIO, "iopl ioperm"),
    with(CAP_SYS_TIME, "settimeofday stime clock_settime clock_settime64"),
    with(CAP_SYS_TTY_CONFIG, "vhangup"),
    with(CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    with(CAP_SYSLOG, "syslog"),
    with(CAP_BPF, "bpf"),
    with(CAP_PERFMON, "perf_event_open"),
];

const ALWAYS: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget \
    capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres \
    clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 \
    close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 \
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 \
    execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate \
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 \
    fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 \
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait \
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents \
    getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 \
    getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid \
    getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid \
    gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init \
    inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents \
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr \
    link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr \
    lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir \
    mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr \
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 \
    mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap \
    name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open \
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 \
    prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev \
    pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat \
    readv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat \
    rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending \
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min \
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
    semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list \
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid \
    setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid \
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd \
    signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 \
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime \
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write \
    writev \
";
