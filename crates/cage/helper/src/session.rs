//! A process beside the first one, served: input from the asker, output to it, and its end.
//!
//! One thread and `poll`: nothing here waits for the process or for its reader while the other one has something to say. What the process does not
//! read is kept to a bound, and then no more is taken from the asker; what the asker does not read is kept to a bound too, and then the process stops in
//! its `write`. The end of the process is taken whatever the asker does: as long as it is not, the kernel lets the instance's first process not end either.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::console;
use crate::frames::{self, FRAME_BYTES_MAX, Frame, Frames, from_asker, to_asker};

/// Input that the process has not read, bytes; then no more is taken.
const PENDING_BYTES_MAX: usize = 256 << 10;
/// Words that the asker has not taken, bytes; then no more is taken from the process: what a pipe holds, once more.
const SAYING_BYTES_MAX: usize = 64 << 10;
/// Most that is read of one stream after the process' end, bytes: the largest pipe of an unprivileged process. What its children say later is nobody's.
const REST_BYTES_MAX: usize = 1 << 20;
/// Time between the asking signal and SIGKILL when whoever asked has gone, milliseconds: a shell writes its history.
const ENDING_MS: u64 = 2_000;
/// Added to the number of a signal that ended the process, as a shell does.
const SIGNALLED_CODE: i32 = 128;

/// A process that runs, with its streams.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    handle: OwnedFd,
    input: Option<File>,
    outputs: Vec<(u8, Option<File>)>,
    terminal: Option<File>,
}

impl Running {
    /// A process at a terminal, by the far end of it.
    ///
    /// # Errors
    /// The kernel's word.
    pub fn at_terminal(pid: Pid, master: File) -> io::Result<Running> {
        ioctl_fionbio(&master, true)?;
        let (input, output) = (master.try_clone()?, master.try_clone()?);
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let outputs = vec![(to_asker::OUTPUT, Some(output))];
        Ok(Running { pid, handle, input: Some(input), outputs, terminal: Some(master) })
    }

    /// A process with the pipes that a child was given.
    ///
    /// # Errors
    /// The kernel's word.
    pub fn with_pipes(pid: Pid, mut child: Child) -> io::Result<Running> {
        let input = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let output = child.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let error = child.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        for pipe in [&input, &output, &error].into_iter().flatten() {
            ioctl_fionbio(pipe, true)?;
        }
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let outputs = vec![(to_asker::OUTPUT, output), (to_asker::ERROR_OUTPUT, error)];
        Ok(Running { pid, handle, input, outputs, terminal: None })
    }

    fn signal(&self, signal: Signal) {
        // It may have ended: then there is nobody to hear it.
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// Signals the process and all of its session: a shell gives each of its jobs a process group. Its number, and with it the session's, is its own as long as it
    /// is not waited for.
    fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|pid| *pid != self.pid && self.is_of_session(*pid)) else { continue };
            // What gets the signal is the process that is looked at then.
            if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
                && self.is_of_session(pid)
            {
                let _ = pidfd_send_signal(&handle, signal);
            }
        }
    }

    /// Returns true where a process is of the session of this one.
    fn is_of_session(&self, pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        let session = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(3)?.parse().ok());
        session == Some(self.pid.as_raw_nonzero().get())
    }

    /// Waits for its end, which has come, and returns its code.
    fn code(&self) -> io::Result<i32> {
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    let by_signal = status.terminating_signal().map(|signal| SIGNALLED_CODE + signal);
                    return Ok(status.exit_status().or(by_signal).unwrap_or(SIGNALLED_CODE));
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Thing that is ready.
#[derive(Clone, Copy)]
enum Source {
    End,
    /// The asker takes more words.
    Words,
    Asker {
        full: bool,
    },
    Output(usize),
    Input,
}

/// A process being served.
pub struct Session {
    running: Running,
    asker: Option<File>,
    frames: Frames,
    pending: VecDeque<u8>,
    saying: VecDeque<u8>,
    /// The asker takes no more words, with the system's.
    gone: Option<io::Error>,
    input_ends: bool,
    kill_at: Option<Instant>,
}

impl Session {
    /// Serves a process; `frames` holds what came after the request.
    pub fn new(running: Running, asker: File, frames: Frames) -> Session {
        Session {
            running,
            asker: Some(asker),
            frames,
            pending: VecDeque::new(),
            saying: VecDeque::new(),
            gone: None,
            input_ends: false,
            kill_at: None,
        }
    }

    /// Serves it until it has ended, and says how.
    ///
    /// # Errors
    /// The asker has gone; the process has ended all the same.
    pub fn serve(mut self, to: &mut File) -> io::Result<()> {
        ioctl_fionbio(&*to, true)?;
        let number = self.running.pid.as_raw_nonzero().get();
        self.say(to_asker::STARTED, &number.to_be_bytes());
        self.tell(to);
        self.take_frames();
        loop {
            for source in self.wait(to)? {
                match source {
                    Source::End => return self.finish(to),
                    Source::Words => self.tell(to),
                    Source::Asker { full: true } => self.end(),
                    Source::Asker { full: false } => self.hear(),
                    Source::Input => self.feed(),
                    Source::Output(index) => {
                        self.pass(index);
                        self.tell(to);
                    }
                }
            }
            if self.kill_at.is_some_and(|at| Instant::now() >= at) {
                self.running.signal_all(Signal::KILL);
                self.kill_at = Some(Instant::now() + Duration::from_millis(ENDING_MS));
            }
        }
    }

    /// Takes the end of the process, and then tells the asker whatever he has not taken yet.
    fn finish(mut self, to: &mut File) -> io::Result<()> {
        if self.kill_at.is_some() {
            // Nobody is left for what it leaves behind.
            self.running.signal_all(Signal::KILL);
        }
        self.rest();
        let code = self.running.code()?;
        self.say(to_asker::ENDED, &code.to_be_bytes());
        if let Some(cause) = self.gone {
            return Err(cause);
        }
        // By now nothing of the instance waits for the asker.
        ioctl_fionbio(&*to, false)?;
        let (first, second) = self.saying.as_slices();
        to.write_all(first)?;
        to.write_all(second)
    }

    /// Keeps a word for the asker.
    fn say(&mut self, kind: u8, payload: &[u8]) {
        // Memory takes everything.
        let _ = frames::write(&mut self.saying, kind, payload);
    }

    /// Tells the asker as much as he takes.
    fn tell(&mut self, to: &mut File) {
        loop {
            let (part, _) = self.saying.as_slices();
            if part.is_empty() {
                return;
            }
            match to.write(part) {
                Ok(count) => drop(self.saying.drain(..count)),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                Err(cause) => {
                    self.gone = Some(cause);
                    self.saying.clear();
                    return self.end();
                }
            }
        }
    }

    /// Waits until something is ready.
    fn wait(&self, to: &File) -> io::Result<Vec<Source>> {
        let mut sources = vec![Source::End];
        let mut found = vec![PollFd::from_borrowed_fd(self.running.handle.as_fd(), PollFlags::IN)];
        if !self.saying.is_empty() {
            sources.push(Source::Words);
            found.push(PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT));
        }
        if let Some(asker) = &self.asker {
            // With much pending nothing is taken, but its end is still told.
            let full = self.pending.len() >= PENDING_BYTES_MAX;
            sources.push(Source::Asker { full });
            found.push(PollFd::from_borrowed_fd(asker.as_fd(), if full { PollFlags::empty() } else { PollFlags::IN }));
        }
        let has_room = self.saying.len() < SAYING_BYTES_MAX;
        for (index, (_, output)) in self.running.outputs.iter().enumerate() {
            if let Some(output) = output.as_ref().filter(|_| has_room) {
                sources.push(Source::Output(index));
                found.push(PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN));
            }
        }
        if let Some(input) = self.running.input.as_ref().filter(|_| !self.pending.is_empty()) {
            sources.push(Source::Input);
            found.push(PollFd::from_borrowed_fd(input.as_fd(), PollFlags::OUT));
        }
        let left = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let limit =
            left.map(|left| Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) });
        match poll(&mut found, limit.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        let ready = sources.into_iter().zip(&found).filter(|(_, entry)| !entry.revents().is_empty());
        let mut ready: Vec<Source> = ready.map(|(source, _)| source).collect();
        // The end comes last: what was said before it is passed on first.
        ready.reverse();
        Ok(ready)
    }

    /// Reads what the asker has sent.
    fn hear(&mut self) {
        let mut part = vec![0; FRAME_BYTES_MAX];
        let read = self.asker.as_mut().map(|asker| asker.read(&mut part));
        match read {
            Some(Ok(count)) if count > 0 => {
                self.frames.add(part.get(..count).unwrap_or_default());
                self.take_frames();
            }
            Some(Err(cause)) if matches!(cause.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            _ => self.end(),
        }
    }

    fn take_frames(&mut self) {
        loop {
            match self.frames.take() {
                Ok(Some(frame)) => self.follow(&frame),
                Ok(None) => return,
                // Whatever comes after it means nothing.
                Err(_) => return self.end(),
            }
        }
    }

    fn follow(&mut self, frame: &Frame) {
        match (frame.kind, frame.payload.as_slice()) {
            (from_asker::INPUT, bytes) if self.running.input.is_some() && !self.input_ends => {
                self.pending.extend(bytes);
                self.feed();
            }
            (from_asker::END_OF_INPUT, _) => {
                self.input_ends = true;
                self.feed();
            }
            (from_asker::WINDOW, [a, b, c, d]) => {
                let size = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                if let Some(terminal) = &self.running.terminal {
                    let _ = console::resize(terminal, size);
                }
            }
            (from_asker::SIGNAL, [number]) => {
                if let Some(signal) = Signal::from_named_raw(i32::from(*number)) {
                    self.running.signal(signal);
                }
            }
            _ => {}
        }
    }

    /// Writes what is pending as far as the process takes it. A terminal stays open at the end of the input, since its far end is the output too.
    fn feed(&mut self) {
        while let Some(input) = &mut self.running.input {
            let (part, _) = self.pending.as_slices();
            if part.is_empty() {
                break;
            }
            match input.write(part) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                // It reads no more.
                Err(_) => {
                    self.running.input = None;
                    self.pending.clear();
                }
            }
        }
        if self.input_ends && self.pending.is_empty() && self.running.terminal.is_none() {
            self.running.input = None;
        }
    }

    /// Keeps a piece of output for the asker; returns its length.
    fn pass(&mut self, index: usize) -> usize {
        let Some((kind, output)) = self.running.outputs.get_mut(index) else { return 0 };
        let Some(file) = output else { return 0 };
        let mut part = vec![0; FRAME_BYTES_MAX];
        match file.read(&mut part) {
            Ok(count) if count > 0 => {
                // Memory takes everything.
                let _ = frames::write(&mut self.saying, *kind, part.get(..count).unwrap_or_default());
                count
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => 0,
            // The end of a pipe, or EIO: nobody has the terminal any more.
            _ => {
                *output = None;
                0
            }
        }
    }

    /// Keeps what is left of the output when the process has ended.
    fn rest(&mut self) {
        for index in 0..self.running.outputs.len() {
            let mut passed = 0;
            while passed < REST_BYTES_MAX {
                match self.pass(index) {
                    0 => break,
                    count => passed += count,
                }
            }
        }
    }

    /// Lets the process end, since whoever asked for it has gone: its streams are closed, it is asked, and killed later.
    fn end(&mut self) {
        if self.kill_at.is_some() {
            return;
        }
        self.asker = None;
        self.running.input = None;
        self.running.terminal = None;
        self.pending.clear();
        for (_, output) in &mut self.running.outputs {
            *output = None;
        }
        self.running.signal_all(Signal::HUP);
        self.kill_at = Some(Instant::now() + Duration::from_millis(ENDING_MS));
    }
}
