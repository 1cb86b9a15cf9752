//! Walls of the process: rights to one folder, and the system calls of its act.

use std::os::fd::BorrowedFd;

use landlock::{AccessFs, BitFlags};

use super::Fault;
use crate::limits::FILE_BYTES_MAX;
use crate::unpack::cage::close_with;

/// System calls beside the unpacker's: whole files in the place of others, and their way to the disk.
const CALLS: &[libc::c_long] = &[libc::SYS_renameat2, libc::SYS_fsync];

/// Gives up everything but a folder, and every change of it where the act only reads, for the rest of this process's life.
pub(super) fn close(folder: BorrowedFd<'_>, only_reads: bool) -> Result<(), Fault> {
    let reads: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let changes = AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        // Renaming makes what is renamed anew, of whatever kind it is.
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::MakeSock
        | AccessFs::Refer
        | AccessFs::Truncate;
    let (allowed, calls) = if only_reads { (reads, &[][..]) } else { (reads | changes, CALLS) };
    close_with(folder, allowed, FILE_BYTES_MAX, false, calls).map_err(|refused| Fault::Cage(refused.to_string()))
}
