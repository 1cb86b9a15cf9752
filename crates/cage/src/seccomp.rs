//! Filter of system calls.
//!
//! Three answers. What the OCI default set allows without any capability is allowed, less the calls that X-40 names. What it refuses on purpose gets
//! EPERM, as there. Everything else gets ENOSYS, not EPERM: a C library that is newer than this table tries a new call first and falls back to the
//! old one on ENOSYS alone. So a name that libseccomp does not know yet is safe in either table.
//!
//! `clone3` passes its flags in memory, where no filter can look, so it is in no table: ENOSYS makes the C library use `clone`, of which new namespaces
//! are refused. A rule for it would have the default's answer, which libseccomp takes for a mistake.

use crate::config::{Argument, Seccomp, Syscalls};
use crate::instance::Machine;

/// "Operation not permitted".
pub const EPERM: u32 = 1;
/// "Function not implemented".
pub const ENOSYS: u32 = 38;

/// Flags of `clone` are below this: `CLONE_NEWCGROUP`, the lowest bit of the new namespaces but for `CLONE_NEWNS`, which only a capability that no
/// instance has makes possible. Of the flags that programs use `CLONE_IO` alone is above.
///
/// The OCI default set compares under a mask instead (`SCMP_CMP_MASKED_EQ`). libcontainer 0.7 takes mask and value for each other there, so that its
/// filter lets every new user namespace through; a plain comparison is the same to both drivers.
const CLONE_FLAGS_END: u64 = 0x0200_0000;
/// Families of sockets are below this: `AF_VSOCK`, sockets of virtual machines, which reach the host past every network namespace. Those above it (kernel
/// connections, Qualcomm's router, SMC, XDP, MCTP) no program in a container of its own uses.
///
/// The kernel takes an `int`, a filter compares 64 bits: "not 40" would let 40 with any bit above the 32nd through.
const FAMILIES_END: u64 = 40;
/// Execution domains that are no way around address space randomisation: Linux and 32-bit Linux, `UNAME26` with either, and the question.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// Allowed on every machine.
const ALLOWED: &[&str] = &[
    // Files.
    "access",
    "cachestat",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "close",
    "close_range",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futimesat",
    "getcwd",
    "getdents",
    "getdents64",
    "getxattr",
    "getxattrat",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "ioctl",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "listxattrat",
    "llistxattr",
    "_llseek",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "name_to_handle_at",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pipe",
    "pipe2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "removexattr",
    "removexattrat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "sendfile64",
    "setxattr",
    "setxattrat",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "tee",
    "truncate",
    "truncate64",
    "umask",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vmsplice",
    "write",
    "writev",
    // Landlock only takes away.
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    // Memory.
    "brk",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mremap",
    "mseal",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "process_mrelease",
    "remap_file_pages",
    // Processes, users and limits.
    "alarm",
    "capget",
    "capset",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fork",
    "getcpu",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "getuid",
    "getuid32",
    "ioprio_get",
    "ioprio_set",
    "kill",
    "nice",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "prctl",
    "prlimit64",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "restart_syscall",
    "rseq",
    "seccomp",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "setsid",
    "setuid",
    "setuid32",
    "set_robust_list",
    "get_robust_list",
    "set_thread_area",
    "get_thread_area",
    "set_tid_address",
    "sysinfo",
    "tgkill",
    "times",
    "tkill",
    "ugetrlimit",
    "uname",
    "vfork",
    "wait4",
    "waitid",
    "waitpid",
    // Signals.
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sigaction",
    "sigaltstack",
    "signal",
    "signalfd",
    "signalfd4",
    "sigpending",
    "sigprocmask",
    "sigreturn",
    "sigsuspend",
    // Scheduling.
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    // Clocks and timers.
    "adjtimex",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "gettimeofday",
    "nanosleep",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    // Waiting.
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "_newselect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "pselect6",
    "pselect6_time64",
    "select",
    // Asynchronous input and output of the old kind.
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "io_setup",
    "io_submit",
    // Sockets; `socket` has a rule of its own. `socketcall` of 32-bit machines takes its arguments in memory, where no filter can look.
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socketpair",
    // Messages between processes.
    "ipc",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "getrandom",
];

/// Allowed on 64-bit x86.
const ALLOWED_X86_64: &[&str] = &["arch_prctl", "modify_ldt"];
/// Allowed on 64-bit ARM, with its 32-bit calls.
const ALLOWED_AARCH64: &[&str] =
    &["arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls", "sync_file_range2"];

/// Refused on purpose: whatever the OCI default set ties to a capability that an instance never has, and the calls that X-40 names.
const REFUSED: &[&str] = &[
    //
    "add_key",
    "bpf",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "keyctl",
    "perf_event_open",
    "request_key",
    "userfaultfd",
    // Namespaces and mounts.
    "chroot",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "listmount",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "pivot_root",
    "setns",
    "statmount",
    "umount",
    "umount2",
    "unshare",
    // The machine.
    "acct",
    "clock_settime",
    "clock_settime64",
    "delete_module",
    "finit_module",
    "init_module",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "setdomainname",
    "sethostname",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "vhangup",
    // Other processes, and files past their paths.
    "fanotify_init",
    "get_mempolicy",
    "kcmp",
    "lookup_dcookie",
    "mbind",
    "migrate_pages",
    "move_pages",
    "open_by_handle_at",
    "pidfd_getfd",
    "process_madvise",
    "set_mempolicy",
    "set_mempolicy_home_node",
    // Not kept up by the kernel.
    "bdflush",
    "nfsservctl",
    "sysfs",
    "_sysctl",
    "uselib",
    "ustat",
    "vm86",
    "vm86old",
];

/// Filter for a machine.
pub fn profile(machine: Machine) -> Seccomp {
    let (own, architectures): (_, &[&str]) = match machine {
        Machine::X86_64 => (ALLOWED_X86_64, &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        Machine::Aarch64 => (ALLOWED_AARCH64, &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
    };
    let mut syscalls = vec![allow(ALLOWED.iter().chain(own), Vec::new())];
    let condition = |value, op: &str| vec![Argument { index: 0, value, op: op.into() }];
    syscalls.push(allow(&["socket"], condition(FAMILIES_END, "SCMP_CMP_LT")));
    syscalls.push(allow(&["clone"], condition(CLONE_FLAGS_END, "SCMP_CMP_LT")));
    for domain in PERSONALITIES {
        syscalls.push(allow(&["personality"], condition(domain, "SCMP_CMP_EQ")));
    }
    syscalls.push(refuse(REFUSED, EPERM));
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        default_errno_ret: ENOSYS,
        architectures: architectures.iter().map(ToString::to_string).collect(),
        syscalls,
    }
}

fn allow<'a>(names: impl IntoIterator<Item = &'a &'a str>, args: Vec<Argument>) -> Syscalls {
    let mut names: Vec<String> = names.into_iter().map(ToString::to_string).collect();
    names.sort_unstable();
    Syscalls { names, action: "SCMP_ACT_ALLOW".into(), errno_ret: None, args }
}

fn refuse(names: &[&str], number: u32) -> Syscalls {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    Syscalls { names, action: "SCMP_ACT_ERRNO".into(), errno_ret: Some(number), args: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_in_two_tables_or_twice() {
        let all = || ALLOWED.iter().chain(ALLOWED_X86_64).chain(ALLOWED_AARCH64).chain(REFUSED);
        let more = ["socket", "clone", "personality"];
        let different: BTreeSet<&str> = all().copied().chain(more).collect();
        assert_eq!(different.len(), all().count() + more.len());
        assert!(all().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')));
    }

    #[test]
    fn what_the_specification_names_is_allowed_nowhere() {
        let named = [
            "keyctl",
            "add_key",
            "request_key",
            "userfaultfd",
            "bpf",
            "perf_event_open",
            "io_uring_setup",
            "io_uring_enter",
        ];
        for machine in [Machine::X86_64, Machine::Aarch64] {
            for rule in profile(machine).syscalls {
                let allows = rule.action == "SCMP_ACT_ALLOW";
                assert!(!allows || rule.names.iter().all(|name| !named.contains(&name.as_str())), "{rule:?}");
            }
        }
    }

    #[test]
    fn no_socket_passes_by_its_family() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let rules = profile(machine).syscalls;
            let names =
                |name: &str| rules.iter().filter(|rule| rule.names.iter().any(|n| n == name)).collect::<Vec<_>>();
            assert!(names("socketcall").is_empty(), "its family stands in memory");
            let [rule] = names("socket")[..] else { panic!("one rule") };
            let [argument] = &rule.args[..] else { panic!("one condition") };
            assert_eq!((argument.index, argument.op.as_str()), (0, "SCMP_CMP_LT"));
            let allowed = |family: u64| family < argument.value;
            // Unix, IPv4, IPv6, netlink; virtual machines, also where the kernel drops the upper half.
            assert!([1, 2, 10, 16].into_iter().all(allowed));
            assert!(![40, 0x1_0000_0028, 0xFFFF_FFFF_0000_0028].into_iter().any(allowed));
        }
    }

    #[test]
    fn clone_makes_processes_and_threads_and_no_namespaces() {
        let (fork, vfork, thread) = (0x0120_0011, 0x4111, 0x003D_0F00);
        assert!([fork, vfork, thread].iter().all(|flags| *flags < CLONE_FLAGS_END));
        let kinds = [0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
        assert!(kinds.iter().all(|kind| *kind >= CLONE_FLAGS_END));
    }
}
