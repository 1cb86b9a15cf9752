//! Pipes of an instance on their way into its log.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::log::{LogWriter, PARTIAL_MS_MAX, Splitter, Stream};

/// Bytes that are read from a pipe at once.
const READ_BYTES: usize = 64 << 10;
/// Wished size of a pipe, bytes: what an application can write while the shim waits for a processor. The kernel may refuse it.
const PIPE_BYTES: usize = 256 << 10;
/// Pause between tries to write down what was dropped, milliseconds: soon for people, seldom for a disk that stays full.
const RETRY_MS: u64 = 500;

/// Time now, microseconds since 1970.
pub fn unix_us() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug)]
struct Channel {
    stream: Stream,
    pipe: OwnedFd,
    splitter: Splitter,
    /// Time at which the beginning of a line came that is held, milliseconds of the shim's clock.
    held_since: Option<u64>,
    open: bool,
}

/// Reading ends of an instance's pipes, and its log.
#[derive(Debug)]
pub struct Pump {
    channels: Vec<Channel>,
    buffer: Vec<u8>,
    retry_at: Option<u64>,
    log: LogWriter,
}

impl Pump {
    /// A pump into a log.
    pub fn new(log: LogWriter) -> Self {
        Self { channels: Vec::new(), buffer: vec![0; READ_BYTES], retry_at: None, log }
    }

    /// The log.
    pub fn log(&self) -> &LogWriter {
        &self.log
    }

    /// Makes a pipe into the log and returns the end to write.
    ///
    /// # Errors
    /// The system's word: no descriptors are left.
    pub fn pipe(&mut self, stream: Stream) -> std::io::Result<OwnedFd> {
        let (pipe, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
        self.channels.push(Channel { stream, pipe, splitter: Splitter::default(), held_since: None, open: true });
        Ok(writer)
    }

    /// Pipes that can still give something, in an order that holds until the next reading.
    pub fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.channels.iter().map(|channel| channel.pipe.as_fd())
    }

    /// Returns true while a pipe can give something.
    pub fn is_open(&self) -> bool {
        !self.channels.is_empty()
    }

    /// Reads the pipes of which the poll has said that they are ready, in the order of [`Pump::pipes`].
    pub fn read(&mut self, ready: &[bool], now: u64) {
        for (channel, _) in self.channels.iter_mut().zip(ready).filter(|(_, ready)| **ready) {
            let count = match rustix::io::read(&channel.pipe, &mut self.buffer[..]) {
                Ok(count) => count,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(_) => 0,
            };
            let (time, stream, log) = (unix_us(), channel.stream, &mut self.log);
            if count == 0 {
                channel.open = false;
                channel.splitter.finish(|text, goes_on| log.append(time, stream, goes_on, text));
                continue;
            }
            let mut ended = false;
            channel.splitter.feed(&self.buffer[..count], |text, goes_on| {
                ended = true;
                log.append(time, stream, goes_on, text);
            });
            if ended || channel.held_since.is_none() {
                channel.held_since = Some(now);
            }
            if !channel.splitter.holds() {
                channel.held_since = None;
            }
        }
        self.channels.retain(|channel| channel.open);
        self.flush(now);
    }

    /// Gives up pipes that somebody outside the instance still holds.
    pub fn close(&mut self, now: u64) {
        for mut channel in std::mem::take(&mut self.channels) {
            let (time, stream, log) = (unix_us(), channel.stream, &mut self.log);
            channel.splitter.finish(|text, goes_on| log.append(time, stream, goes_on, text));
        }
        self.flush(now);
    }

    /// Writes words of the shim into the log.
    pub fn say(&mut self, text: &str, now: u64) {
        self.log.say(unix_us(), text);
        self.flush(now);
    }

    /// Time at which a tick is due, if any.
    pub fn deadline(&self) -> Option<u64> {
        let parts = self.channels.iter().filter_map(|channel| channel.held_since.map(|since| since + PARTIAL_MS_MAX));
        parts.chain(self.retry_at).min()
    }

    /// Hands out beginnings of lines that have waited long enough, and tries again to write down losses.
    pub fn tick(&mut self, now: u64) {
        for channel in &mut self.channels {
            if channel.held_since.is_some_and(|since| since + PARTIAL_MS_MAX <= now) {
                let (time, stream, log) = (unix_us(), channel.stream, &mut self.log);
                channel.splitter.part(|text, goes_on| log.append(time, stream, goes_on, text));
                channel.held_since = None;
            }
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.log.retry(unix_us());
        }
        self.flush(now);
    }

    fn flush(&mut self, now: u64) {
        self.log.flush();
        self.retry_at = match (self.log.pending(), self.retry_at) {
            (None, _) => None,
            (Some(_), Some(at)) => Some(at),
            (Some(_), None) => Some(now + RETRY_MS),
        };
    }
}
