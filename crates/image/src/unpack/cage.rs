//! The second wall: landlock for paths and sockets, seccomp for everything else.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde::{Deserialize, Serialize};

use super::Refused;
use crate::limits::{BLOB_BYTES_MAX, UNPACKED_BYTES_MAX, UNPACKER_BYTES_MAX, UNPACKER_CPU_SECONDS_MAX};

/// Descriptors that an unpacker may have: standard streams, the folder, and one for each level while a tree is read.
const DESCRIPTORS_MAX: u64 = 512;
/// Number of the argument of `mknodat` that is the device.
const MKNODAT_DEVICE: u8 = 3;

/// System calls of the unpacker: files below its folder, its memory, its end.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_getdents64,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Something that the cage should forbid, tried from within.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The deed.
    pub deed: String,
    /// Error number of the system; `None` where it was let through.
    pub errno: Option<i32>,
}

/// Gives up everything but a folder and what unpacking needs, for the rest of this process's life.
pub(super) fn close(folder: BorrowedFd<'_>) -> Result<(), Refused> {
    // The parent's death is the end of what it asked for.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|cause| Refused::Cage(format!("limits: {cause}")))?;
    let allowed = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::MakeChar
        | AccessFs::Refer
        | AccessFs::Truncate;
    close_with(folder, allowed, UNPACKED_BYTES_MAX.max(BLOB_BYTES_MAX), true, &[])
}

/// Gives up everything but these rights to a folder, files of at most so many bytes, pipes and whiteouts where it `makes_nodes`, and the calls of [`CALLS`] with `more`.
pub(crate) fn close_with(
    folder: BorrowedFd<'_>,
    allowed: BitFlags<AccessFs>,
    file_bytes_max: u64,
    makes_nodes: bool,
    more: &[libc::c_long],
) -> Result<(), Refused> {
    limits(file_bytes_max).map_err(|cause| Refused::Cage(format!("limits: {cause}")))?;
    landlock(folder, allowed)?;
    let filter = filter(makes_nodes, more).map_err(|cause| Refused::Cage(format!("seccomp: {cause}")))?;
    seccompiler::apply_filter(&filter).map_err(|cause| Refused::Cage(format!("seccomp: {cause}")))
}

fn limits(largest: u64) -> rustix::io::Result<()> {
    for (resource, most) in [
        (Resource::As, UNPACKER_BYTES_MAX),
        (Resource::Cpu, UNPACKER_CPU_SECONDS_MAX),
        (Resource::Fsize, largest),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Returns true where the kernel has landlock, without which nothing is unpacked.
pub fn has_landlock() -> bool {
    let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    asked.handle_access(AccessFs::from_all(ABI::V1)).is_ok()
}

fn landlock(folder: BorrowedFd<'_>, allowed: BitFlags<AccessFs>) -> Result<(), Refused> {
    let closed = || -> Result<RulesetStatus, landlock::RulesetError> {
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::from_all(ABI::V5))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .add_rule(PathBeneath::new(folder.as_fd(), allowed))?;
        Ok(rules.restrict_self()?.ruleset)
    };
    match closed() {
        Ok(RulesetStatus::NotEnforced) => Err(Refused::Cage("landlock: not in this kernel".into())),
        Ok(_) => Ok(()),
        Err(cause) => Err(Refused::Cage(format!("landlock: {cause}"))),
    }
}

fn filter(makes_nodes: bool, more: &[libc::c_long]) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().chain(more).map(|call| (*call, Vec::new())).collect();
    if makes_nodes {
        // A whiteout is device 0/0 and a pipe has none: no other device can be made.
        let none = SeccompCondition::new(MKNODAT_DEVICE, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?;
        rules.insert(libc::SYS_mknodat, vec![SeccompRule::new(vec![none])?]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, machine)?.try_into()
}

/// Tries what should not work in the cage.
pub(super) fn probe(folder: BorrowedFd<'_>) -> Vec<Attempt> {
    let number = |cause: std::io::Error| cause.raw_os_error().unwrap_or(libc::EIO);
    let attempt = |deed: &str, errno: Option<i32>| Attempt { deed: deed.into(), errno };
    let make = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let outside = rustix::fs::openat(folder, "../planted", make, Mode::RUSR).err().map(rustix::io::Errno::raw_os_error);
    let device = rustix::fs::makedev(1, 1);
    let device = rustix::fs::mknodat(folder, "memory", FileType::CharacterDevice, Mode::RUSR, device);
    let inside = rustix::fs::openat(folder, "inside", make, Mode::RUSR).err().map(rustix::io::Errno::raw_os_error);
    vec![
        attempt("make a file in the folder", inside),
        attempt("make a file beside the folder", outside),
        attempt("read /etc/passwd", std::fs::read("/etc/passwd").err().map(number)),
        attempt("make a device", device.err().map(rustix::io::Errno::raw_os_error)),
        attempt("open a socket", std::net::UdpSocket::bind("127.0.0.1:0").err().map(number)),
        attempt("start a program", std::process::Command::new("/bin/true").status().err().map(number)),
    ]
}
