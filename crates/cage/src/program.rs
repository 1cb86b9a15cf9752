//! A program that is waited for, with a limit.

use std::io;
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

/// Bytes that are read at once.
const READ_BYTES: usize = 4 << 10;

/// Waits for the end of a program, and reads one of its pipes meanwhile: at most so many bytes are kept, the rest is read and dropped, since a program that
/// cannot write does not end. One that takes longer than given is killed.
///
/// Returns its end, none where it was killed here, and what it has said.
///
/// # Errors
/// The system's word; the program may run on then.
pub(crate) fn finish(
    child: &mut Child,
    mut pipe: Option<impl io::Read + AsFd>,
    bytes_max: usize,
    ms_max: u64,
) -> io::Result<(Option<ExitStatus>, String)> {
    let until = Instant::now() + Duration::from_millis(ms_max);
    let handle = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut said = Vec::new();
    if let Some(pipe) = &pipe {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let status = loop {
        let mut descriptors = vec![PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)];
        descriptors.extend(pipe.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        let left = until.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let ready = match rustix::event::poll(&mut descriptors, Some(&limit)) {
            Err(Errno::INTR) => continue,
            other => other? > 0,
        };
        let ended = !descriptors[0].revents().is_empty();
        drop(descriptors);
        let open = pipe.as_mut().is_some_and(|pipe| take(pipe, &mut said, bytes_max));
        if !open {
            pipe = None;
        }
        if ended {
            break Some(child.wait()?);
        }
        if !ready {
            child.kill()?;
            child.wait()?;
            break None;
        }
    };
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

/// Reads what a pipe has; returns true where more can come.
fn take(pipe: &mut impl io::Read, said: &mut Vec<u8>, bytes_max: usize) -> bool {
    let mut piece = [0; READ_BYTES];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => said.extend_from_slice(&piece[..count.min(bytes_max - said.len())]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn run(script: &str, ms_max: u64) -> (Option<ExitStatus>, String) {
        let mut command = Command::new("/bin/sh");
        let mut child = command.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let pipe = child.stdout.take();
        finish(&mut child, pipe, 8, ms_max).unwrap()
    }

    #[test]
    fn words_and_end_of_a_program_are_taken() {
        let (status, said) = run("echo good; exit 3", 60_000);
        assert_eq!((status.unwrap().code(), said.as_str()), (Some(3), "good\n"));
        let (status, said) = run("yes | head -c 1000000", 60_000);
        assert!(status.unwrap().success());
        assert_eq!(said, "y\ny\ny\ny\n", "the rest was read and dropped");
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_a_pipe_that_stays_open_holds_nobody_up() {
        // Also a machine that is busy with other tests has a shell say its word within this time.
        let (status, said) = run("echo on; exec sleep 1000", 5_000);
        assert_eq!((status, said.as_str()), (None, "on\n"));
        let begun = Instant::now();
        let (status, _) = run("sleep 30 2> /dev/null & exit 0", 120_000);
        assert!(status.unwrap().success() && begun.elapsed() < Duration::from_secs(30));
    }
}
