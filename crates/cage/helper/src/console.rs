//! Terminals of processes beside the first one: pairs in the instance's own folder of terminals, so that they have a name there.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Magic number of the file system of terminals. Source: `statfs(2)`.
const DEVPTS_MAGIC: u64 = 0x1cd1;

/// Sets the size of a terminal; its foreground processes hear of it.
///
/// # Errors
/// The kernel's word.
pub fn resize(master: &File, (columns, rows): (u16, u16)) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(master, size)?)
}

/// A pair of ends.
#[derive(Debug)]
pub struct Console {
    /// End of whoever sits at the terminal.
    pub master: File,
    /// End of the process.
    pub slave: File,
}

impl Console {
    /// Opens a pair in the folder of terminals of a process' root, and gives the process' end to a user of the host.
    ///
    /// # Errors
    /// The instance has no such folder, or too many terminals are open in it.
    pub fn open(pid: i32, owner: u32, size: (u16, u16)) -> io::Result<Console> {
        let root = File::open(PathBuf::from(format!("/proc/{pid}/root")))?;
        // The folder is a mount of the kernel's own, which the instance cannot replace; links on the way are not followed.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let master: OwnedFd = openat2(&root, "dev/pts/ptmx", flags, Mode::empty(), resolve)?;
        let about = fstatfs(&master)?;
        if u64::try_from(about.f_type) != Ok(DEVPTS_MAGIC) {
            return Err(io::Error::other("/dev/pts of the instance is no folder of terminals"));
        }
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        std::os::unix::fs::fchown(&slave, Some(owner), None)?;
        let console = Console { master: master.into(), slave: slave.into() };
        resize(&console.master, size)?;
        Ok(console)
    }
}

/// Takes the end that a driver sends to a socket. It was sent before the driver ended, so nothing is waited for.
///
/// # Errors
/// Nothing was sent.
pub fn receive(socket: &UnixListener) -> io::Result<File> {
    socket.set_nonblocking(true)?;
    let (stream, _) = socket.accept()?;
    stream.set_nonblocking(true)?;
    let mut name = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut sent) = message
            && let Some(master) = sent.next()
        {
            return Ok(master.into());
        }
    }
    Err(io::Error::other("the driver sent no terminal"))
}
