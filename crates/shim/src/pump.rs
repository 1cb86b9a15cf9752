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
/// Most that is read of a pipe which is given up, bytes: what an application can make its pipe hold. Source: `fs.pipe-max-size` of Linux.
const PIPE_BYTES_MAX: usize = 1 << 20;
/// Bytes of an instance's output that become records in a second. A shim works outside of its instance's limits, so what it does for it is bounded: beyond this
/// its output is still read, which costs the instance more than the shim, and dropped. Above the 50 MB/s that the busiest applications write.
const RATE_BYTES_MAX: u64 = 64 << 20;
/// Time for which the newest bytes beyond the rate wait for newer ones in their place, milliseconds: the last words of an application are kept.
const SURPLUS_MS: u64 = 100;
/// Pause between tries to write down what was dropped, milliseconds: soon for people, seldom for a disk that stays full.
const RETRY_MS: u64 = 500;

/// Time now, microseconds since 1970.
pub fn unix_us() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// Bytes that may become records now; it fills up within a second.
#[derive(Debug)]
struct Budget {
    rate: u64,
    left: u64,
    filled_at: u64,
}

impl Budget {
    fn take(&mut self, bytes: usize, now: u64) -> bool {
        let gained = now.saturating_sub(self.filled_at).saturating_mul(self.rate) / 1_000;
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(self.rate);
            self.filled_at = now;
        }
        let rest = self.left.checked_sub(bytes as u64);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

#[derive(Debug)]
struct Channel {
    stream: Stream,
    pipe: OwnedFd,
    splitter: Splitter,
    /// Time at which the beginning of a line came that is held, milliseconds of the shim's clock.
    held_since: Option<u64>,
    /// Newest bytes beyond the rate.
    surplus: Vec<u8>,
    /// Time at which they are written although they are beyond it, since nothing newer has come.
    surplus_due: Option<u64>,
    open: bool,
}

/// Yield of one reading of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulled {
    Bytes(usize),
    Nothing,
    End,
}

impl Channel {
    fn new(stream: Stream, pipe: OwnedFd) -> Self {
        let (splitter, surplus) = (Splitter::default(), Vec::new());
        Self { stream, pipe, splitter, held_since: None, surplus, surplus_due: None, open: true }
    }

    /// Reads the pipe once.
    fn pull(&mut self, buffer: &mut [u8], budget: &mut Budget, log: &mut LogWriter, now: u64) -> Pulled {
        match rustix::io::read(&self.pipe, &mut *buffer) {
            Ok(count @ 1..) => {
                self.take(&buffer[..count], budget, log, now);
                Pulled::Bytes(count)
            }
            Err(Errno::AGAIN | Errno::INTR) => Pulled::Nothing,
            Ok(_) | Err(_) => Pulled::End,
        }
    }

    /// Takes bytes within the rate; of those beyond it only the newest are kept.
    fn take(&mut self, bytes: &[u8], budget: &mut Budget, log: &mut LogWriter, now: u64) {
        if budget.take(self.surplus.len() + bytes.len(), now) {
            self.give_surplus(log, now);
            self.feed(bytes, log, now);
            return;
        }
        if !self.surplus.is_empty() {
            let (time, stream) = (unix_us(), self.stream);
            // The rest of what it holds is among the dropped.
            self.splitter.finish(|text, goes_on| log.append(time, stream, goes_on, text));
            self.held_since = None;
            log.drop_text(&self.surplus, &format!("the instance writes more than {} bytes a second", budget.rate));
        }
        self.surplus.clear();
        self.surplus.extend_from_slice(bytes);
        self.surplus_due = Some(now + SURPLUS_MS);
    }

    fn give_surplus(&mut self, log: &mut LogWriter, now: u64) {
        let surplus = std::mem::take(&mut self.surplus);
        self.surplus_due = None;
        if !surplus.is_empty() {
            self.feed(&surplus, log, now);
        }
    }

    fn feed(&mut self, bytes: &[u8], log: &mut LogWriter, now: u64) {
        let (time, stream) = (unix_us(), self.stream);
        let mut ended = false;
        self.splitter.feed(bytes, |text, goes_on| {
            ended = true;
            log.append(time, stream, goes_on, text);
        });
        if ended || self.held_since.is_none() {
            self.held_since = Some(now);
        }
        if !self.splitter.holds() {
            self.held_since = None;
        }
    }

    /// Writes everything that is held: nothing more comes.
    fn finish(&mut self, log: &mut LogWriter, now: u64) {
        self.give_surplus(log, now);
        let (time, stream) = (unix_us(), self.stream);
        self.splitter.finish(|text, goes_on| log.append(time, stream, goes_on, text));
        self.open = false;
    }
}

/// Reading ends of an instance's pipes, and its log.
#[derive(Debug)]
pub struct Pump {
    channels: Vec<Channel>,
    buffer: Vec<u8>,
    retry_at: Option<u64>,
    budget: Budget,
    log: LogWriter,
}

impl Pump {
    /// A pump into a log.
    pub fn new(log: LogWriter) -> Self {
        Self::with_rate(log, RATE_BYTES_MAX)
    }

    /// A pump with another rate, bytes a second.
    fn with_rate(log: LogWriter, rate: u64) -> Self {
        let budget = Budget { rate, left: rate, filled_at: 0 };
        Self { channels: Vec::new(), buffer: vec![0; READ_BYTES], retry_at: None, budget, log }
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
        self.channels.push(Channel::new(stream, pipe));
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
            if channel.pull(&mut self.buffer, &mut self.budget, &mut self.log, now) == Pulled::End {
                channel.finish(&mut self.log, now);
            }
        }
        self.channels.retain(|channel| channel.open);
        self.flush(now);
    }

    /// Gives up pipes that somebody outside the instance still holds, after what is in them by now.
    pub fn close(&mut self, now: u64) {
        for mut channel in std::mem::take(&mut self.channels) {
            let mut left = PIPE_BYTES_MAX;
            while let Pulled::Bytes(count) = channel.pull(&mut self.buffer, &mut self.budget, &mut self.log, now)
                && left > 0
            {
                left = left.saturating_sub(count);
            }
            channel.finish(&mut self.log, now);
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
        let surplus = self.channels.iter().filter_map(|channel| channel.surplus_due);
        parts.chain(surplus).chain(self.retry_at).min()
    }

    /// Hands out beginnings of lines that have waited long enough, and tries again to write down losses.
    pub fn tick(&mut self, now: u64) {
        for channel in &mut self.channels {
            if channel.surplus_due.is_some_and(|due| due <= now) {
                channel.give_surplus(&mut self.log, now);
            }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::log::{Filter, LogReader, Owned, Position};

    fn records(directory: &std::path::Path) -> Vec<Owned> {
        let mut reader = LogReader::new(directory, Position::Oldest, Filter::default());
        let mut found = Vec::new();
        loop {
            let batch = reader.read().unwrap();
            found.extend(batch.records);
            if batch.at_end {
                return found;
            }
        }
    }

    #[test]
    fn a_flood_is_read_and_dropped_with_a_count_and_its_last_words_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogWriter::open(directory.path(), 8 << 20).unwrap();
        let mut pump = Pump::with_rate(log, 100_000);
        let mut writer = std::fs::File::from(pump.pipe(Stream::Stdout).unwrap());
        let mut number = 0u64;
        let mut chunk = || {
            let lines = (0..500).map(|_| {
                number += 1;
                format!("line {number:094}\n")
            });
            lines.collect::<String>()
        };
        for _ in 0..20 {
            // 50,000 bytes in no time.
            writer.write_all(chunk().as_bytes()).unwrap();
            pump.read(&[true], 5);
        }
        assert_eq!(pump.deadline(), Some(5 + SURPLUS_MS));
        drop(writer);
        pump.read(&[true], 6);
        assert!(!pump.is_open());
        let found = records(directory.path());
        let last = String::from_utf8(found.last().unwrap().text.clone()).unwrap();
        assert_eq!(last, format!("line {:094}", 10_000));
        let word = found.iter().find(|record| record.stream == Stream::Shim).unwrap();
        let word = String::from_utf8(word.text.clone()).unwrap();
        assert!(
            word.starts_with(
                "dropped 8500 lines (841500 bytes), sequences 1001 to 9500: the instance writes more than 100000"
            ),
            "{word}"
        );
        assert_eq!((pump.log().dropped(), found.len()), ((8_500, 841_500), 1_000 + 1 + 500));
        assert_eq!(pump.log().next(), 10_002, "every line has a sequence, and so has the word");
    }

    #[test]
    fn what_is_beyond_the_rate_is_written_when_nothing_newer_comes() {
        let directory = tempfile::tempdir().unwrap();
        let mut pump = Pump::with_rate(LogWriter::open(directory.path(), 8 << 20).unwrap(), 1_000);
        let mut writer = std::fs::File::from(pump.pipe(Stream::Stdout).unwrap());
        writer.write_all(&[&b"x".repeat(1_999)[..], b"\n"].concat()).unwrap();
        pump.read(&[true], 0);
        assert_eq!(pump.log().next(), 1);
        pump.tick(SURPLUS_MS);
        assert_eq!((pump.log().next(), pump.log().dropped()), (2, (0, 0)));
        assert_eq!(pump.deadline(), None);
    }

    #[test]
    fn a_pipe_that_is_given_up_is_read_before() {
        let directory = tempfile::tempdir().unwrap();
        let mut pump = Pump::new(LogWriter::open(directory.path(), 8 << 20).unwrap());
        let mut writer = std::fs::File::from(pump.pipe(Stream::Stdout).unwrap());
        let text = "a line of the last moment\n".repeat(5_000);
        writer.write_all(text.as_bytes()).unwrap();
        // Somebody holds the other end, and nobody has polled.
        pump.close(0);
        assert_eq!((pump.log().next(), pump.log().dropped()), (5_001, (0, 0)));
        drop(writer);
    }
}
