//! Use of processors, memory, disk and network over time: a day fine and a month coarse, in files of fixed size.
//!
//! A file is a ring of records of one length; the place of a record is its time divided by the period, so nothing has to be remembered, and whatever is
//! torn or old is told by the record's own time and check. Series are those of an application's instance numbers: a new version goes on in the series of the one
//! before, and counters that begin anew are seen as such.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openmesh_primitives::{Timestamp, sha256};
use openmesh_xnode::usage::{Condition, Figures, Sampled, conditions, permille};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use crate::api::blocking;
use crate::error::AgentError;
use crate::service::Service;

/// Time between two samples, seconds.
pub const FINE_S: u64 = 10;
/// Samples that are kept: those of a day.
pub const FINE_SLOTS: u64 = 8_640;
/// Period of the coarse series, seconds.
pub const COARSE_S: u64 = 300;
/// Periods that are kept: those of 31 days.
pub const COARSE_SLOTS: u64 = 8_928;
/// Points of an answer at most: more than a screen has columns.
pub const POINTS_MAX: u64 = 2_000;
/// Periods that may lie between two samples of which a rate is made: beyond them nobody looked.
const GAP_PERIODS_MAX: u64 = 3;
/// Time over which waiting for a processor is told, seconds.
const THROTTLED_S: u64 = 60;
/// Time for which a kill for want of memory is told, seconds.
const OOM_S: u64 = 3_600;
/// Age of a sample that still tells how an application does, seconds.
const FRESH_S: u64 = 60;
/// Series that were not written for so long are removed, seconds: nothing of them is within the coarse series.
const STALE_S: u64 = COARSE_S * COARSE_SLOTS;
/// Time between two removals of such series.
const SWEEP: Duration = Duration::from_secs(86_400);
/// Numbers of a record.
const NUMBERS: usize = 16;
/// Bytes of a record: a check, a version, its numbers.
const RECORD_BYTES: usize = 8 + 8 * NUMBERS;
/// Version of a record.
const RECORD_VERSION: u32 = 1;
/// Records that are read at once: an answer over a month takes no more memory for it than one over an hour.
const READ_RECORDS: u64 = 512;

/// Use in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsagePoint {
    /// Begin of the step.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Thousandths of a processor.
    pub processors_milli: u64,
    /// Time that was waited by the limit of processors, thousandths of the step; several threads wait each on its own.
    pub throttled_permille: u64,
    /// Highest memory that cannot be taken back, bytes.
    pub memory_bytes: u64,
    /// Limit of memory, bytes; 0 without one.
    pub memory_limit_bytes: u64,
    /// Highest number of processes and threads.
    pub processes: u64,
    /// Time in which some work waited for a processor, thousandths of the step.
    pub pressure_cpu_permille: u64,
    /// The same for memory.
    pub pressure_memory_permille: u64,
    /// The same for a disk.
    pub pressure_io_permille: u64,
    /// Bytes of volumes and of the writable root that are used.
    pub disk_used_bytes: u64,
    /// Bytes that they have.
    pub disk_bytes: u64,
    /// Use of the fullest of them, thousandths.
    pub disk_fullest_permille: u64,
    /// Received, bits a second.
    pub received_bits: u64,
    /// Sent, bits a second.
    pub sent_bits: u64,
    /// Processes that were killed for want of memory.
    pub oom_kills: u64,
}

/// A sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its moment, seconds since 1970.
    pub at_s: u64,
    /// The instance, as a number: another one's counters are others.
    pub key: u64,
    /// Figures.
    pub figures: Figures,
}

impl Record {
    fn numbers(&self) -> [u64; NUMBERS] {
        let f = &self.figures;
        [
            self.at_s,
            self.key,
            f.cpu_us,
            f.throttled_us,
            f.memory_bytes,
            f.memory_limit_bytes,
            f.oom_kills,
            f.processes,
            f.pressure_cpu_us,
            f.pressure_memory_us,
            f.pressure_io_us,
            f.disk_used_bytes,
            f.disk_bytes,
            f.disk_fullest_permille,
            f.received_bytes,
            f.sent_bytes,
        ]
    }

    fn bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let numbers = self.numbers().into_iter().flat_map(u64::to_le_bytes);
        let body = RECORD_VERSION.to_le_bytes().into_iter().chain(numbers);
        bytes.iter_mut().skip(4).zip(body).for_each(|(to, from)| *to = from);
        let check = check(bytes.get(4..).unwrap_or_default());
        bytes.iter_mut().zip(check.to_le_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a record; none where there is none, or it is torn or of another version.
    fn parse(bytes: &[u8]) -> Option<Record> {
        let (head, body) = bytes.split_first_chunk::<4>()?;
        let (version, numbers) = body.split_first_chunk::<4>()?;
        // Most places of a young file have no record: their version is told at once, and their check is not worth its time.
        if u32::from_le_bytes(*version) != RECORD_VERSION || check(body) != u32::from_le_bytes(*head) {
            return None;
        }
        let mut numbers = numbers.chunks_exact(8).filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let mut next = || numbers.next();
        Some(Record {
            at_s: next()?,
            key: next()?,
            figures: Figures {
                cpu_us: next()?,
                throttled_us: next()?,
                memory_bytes: next()?,
                memory_limit_bytes: next()?,
                oom_kills: next()?,
                processes: next()?,
                pressure_cpu_us: next()?,
                pressure_memory_us: next()?,
                pressure_io_us: next()?,
                disk_used_bytes: next()?,
                disk_bytes: next()?,
                disk_fullest_permille: next()?,
                received_bytes: next()?,
                sent_bytes: next()?,
            },
        })
    }
}

/// Check of bytes: FNV-1a, 32 bits. It finds what a power cut tears, and is no protection from anybody.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A ring of records in a file.
#[derive(Clone, Debug)]
struct Ring {
    path: PathBuf,
    period_s: u64,
    slots: u64,
}

impl Ring {
    fn offset(&self, at_s: u64) -> u64 {
        at_s / self.period_s % self.slots * RECORD_BYTES as u64
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&self.path)
    }

    /// The record of a period, where it has one.
    fn find(&self, file: &File, at_s: u64) -> Option<Record> {
        let mut bytes = [0; RECORD_BYTES];
        file.read_exact_at(&mut bytes, self.offset(at_s)).ok()?;
        Record::parse(&bytes).filter(|record| record.at_s / self.period_s == at_s / self.period_s)
    }

    /// Writes a record in the place of its period. Of several in one period the last counters and the highest levels are kept.
    fn note(&self, record: &Record) -> io::Result<()> {
        let file = self.open()?;
        let mut kept = *record;
        if let Some(before) = self.find(&file, record.at_s).filter(|before| before.key == record.key) {
            let (to, from) = (&mut kept.figures, &before.figures);
            to.memory_bytes = to.memory_bytes.max(from.memory_bytes);
            to.processes = to.processes.max(from.processes);
            to.disk_fullest_permille = to.disk_fullest_permille.max(from.disk_fullest_permille);
        }
        file.write_all_at(&kept.bytes(), self.offset(record.at_s))
    }

    /// Records from a moment to another one, in their order. Nothing but their places is read.
    fn read(&self, from_s: u64, to_s: u64) -> io::Result<Vec<Record>> {
        let file = match File::open(&self.path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let (mut found, mut bytes) = (Vec::new(), Vec::<u8>::new());
        for (mut place, end) in self.places(from_s, to_s) {
            while place < end {
                let wanted = usize::try_from(READ_RECORDS.min(end - place)).unwrap_or(0) * RECORD_BYTES;
                bytes.resize(wanted, 0);
                let read = read_at(&file, &mut bytes, place * RECORD_BYTES as u64)?;
                let whole = bytes.chunks_exact(RECORD_BYTES).take(read / RECORD_BYTES);
                found.extend(whole.filter_map(Record::parse));
                // The file ends here: what is behind was never written.
                place = if read < wanted { end } else { place + READ_RECORDS };
            }
        }
        found.retain(|record| (from_s..=to_s).contains(&record.at_s));
        found.sort_by_key(|record| record.at_s);
        Ok(found)
    }

    /// Places of the periods from a moment to another one: each begin with its end, which is the first place behind.
    fn places(&self, from_s: u64, to_s: u64) -> Vec<(u64, u64)> {
        let (first, last) = (from_s / self.period_s, to_s / self.period_s);
        let Some(more) = last.checked_sub(first) else { return Vec::new() };
        if more >= self.slots {
            return vec![(0, self.slots)];
        }
        let (begin, count) = (first % self.slots, more + 1);
        let until_end = count.min(self.slots - begin);
        vec![(begin, begin + until_end), (0, count - until_end)]
    }
}

/// Fills a buffer from a place of a file on; returns the bytes that there were.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(filled)
}

/// Series of an agent's applications.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store below an agent's state.
    pub fn new(state: &Path) -> Store {
        Store { folder: state.join("usage") }
    }

    fn ring(&self, application: &str, index: u32, is_fine: bool) -> Ring {
        let (end, period_s, slots) =
            if is_fine { ("fine", FINE_S, FINE_SLOTS) } else { ("coarse", COARSE_S, COARSE_SLOTS) };
        Ring { path: self.folder.join(application).join(format!("{index}.{end}")), period_s, slots }
    }

    /// Notes a sample of an application's instance number.
    ///
    /// # Errors
    /// The disk's word.
    pub fn note(&self, application: &str, index: u32, record: &Record) -> io::Result<()> {
        let note = || {
            self.ring(application, index, true).note(record)?;
            self.ring(application, index, false).note(record)
        };
        match note() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.folder.join(application))?;
                note()
            }
            noted => noted,
        }
    }

    /// Instance numbers of an application of which there are series.
    pub fn indexes(&self, application: &str) -> Vec<u32> {
        let entries = fs::read_dir(self.folder.join(application)).into_iter().flatten().flatten();
        let mut found: Vec<u32> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".fine")?.parse().ok()).collect();
        found.sort_unstable();
        found
    }

    /// Samples of an instance number between two moments: fine ones where a step is finer than the coarse series and the time is within a day.
    ///
    /// # Errors
    /// The disk's word.
    pub fn read(&self, application: &str, index: u32, span: &Span, now_s: u64) -> io::Result<Vec<Record>> {
        let is_fine = span.step_s < COARSE_S && span.from_s + FINE_S * FINE_SLOTS > now_s;
        let ring = self.ring(application, index, is_fine);
        // One before the first, so that the first has a rate.
        ring.read(span.from_s.saturating_sub(ring.period_s * GAP_PERIODS_MAX), span.to_s)
    }

    /// Conditions of an application at a moment, each with the number of its instance.
    ///
    /// # Errors
    /// The disk's word.
    pub fn conditions(&self, application: &str, now_s: u64) -> io::Result<Vec<(u32, Condition)>> {
        let mut found = Vec::new();
        for index in self.indexes(application) {
            let records = self.ring(application, index, true).read(now_s.saturating_sub(OOM_S), now_s)?;
            found.extend(conditions_of(&records, now_s).into_iter().map(|condition| (index, condition)));
        }
        Ok(found)
    }

    /// Removes series that were not written for a month.
    fn sweep(&self, now: std::time::SystemTime) {
        for application in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            for file in fs::read_dir(application.path()).into_iter().flatten().flatten() {
                let written = file.metadata().and_then(|about| about.modified()).ok();
                let age = written.and_then(|written| now.duration_since(written).ok());
                if age.is_some_and(|age| age.as_secs() > STALE_S) {
                    let _ = fs::remove_file(file.path());
                }
            }
            // One with series stays.
            let _ = fs::remove_dir(application.path());
        }
    }
}

/// Times that are asked for, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First moment.
    pub from_s: u64,
    /// Last moment.
    pub to_s: u64,
    /// Time of one point.
    pub step_s: u64,
}

fn grown(before: u64, after: u64) -> u64 {
    if after >= before { after - before } else { after }
}

/// Conditions that the samples of the last hour show at a moment.
pub fn conditions_of(records: &[Record], now_s: u64) -> Vec<Condition> {
    let Some(last) = records.last().filter(|last| last.at_s + FRESH_S >= now_s) else { return Vec::new() };
    let kills = records.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    let kills = kills.map(|(before, after)| match before.key == after.key {
        true => grown(before.figures.oom_kills, after.figures.oom_kills),
        false => after.figures.oom_kills,
    });
    let recent = records.iter().find(|record| record.key == last.key && record.at_s + THROTTLED_S >= last.at_s);
    let first = recent.unwrap_or(last);
    let before = Figures { oom_kills: 0, ..first.figures };
    let after = Figures { oom_kills: kills.sum(), ..last.figures };
    // Without two samples there is no time over which anything could have been waited for.
    let over_ms = (last.at_s - first.at_s).saturating_mul(1_000);
    conditions(&before, &after, over_ms)
}

/// Sums of one point.
#[derive(Default)]
struct Sums {
    time_us: u64,
    cpu_us: u64,
    throttled_us: u64,
    pressure_cpu_us: u64,
    pressure_memory_us: u64,
    pressure_io_us: u64,
    received: u64,
    sent: u64,
    oom_kills: u64,
    levels: Option<Figures>,
}

impl Sums {
    fn add_rate(&mut self, before: &Record, after: &Record) {
        let (a, b) = (&before.figures, &after.figures);
        self.time_us += (after.at_s - before.at_s) * 1_000_000;
        self.cpu_us += grown(a.cpu_us, b.cpu_us);
        self.throttled_us += grown(a.throttled_us, b.throttled_us);
        self.pressure_cpu_us += grown(a.pressure_cpu_us, b.pressure_cpu_us);
        self.pressure_memory_us += grown(a.pressure_memory_us, b.pressure_memory_us);
        self.pressure_io_us += grown(a.pressure_io_us, b.pressure_io_us);
        self.received += grown(a.received_bytes, b.received_bytes);
        self.sent += grown(a.sent_bytes, b.sent_bytes);
        self.oom_kills += grown(a.oom_kills, b.oom_kills);
    }

    fn add_levels(&mut self, figures: &Figures) {
        let before = self.levels.unwrap_or_default();
        self.levels = Some(Figures {
            memory_bytes: before.memory_bytes.max(figures.memory_bytes),
            processes: before.processes.max(figures.processes),
            disk_fullest_permille: before.disk_fullest_permille.max(figures.disk_fullest_permille),
            ..*figures
        });
    }

    fn point(&self, at_s: u64) -> UsagePoint {
        let levels = self.levels.unwrap_or_default();
        let share = |part: u64| permille(part, self.time_us);
        let bits = |bytes: u64| {
            let rate = u128::from(bytes) * 8_000_000;
            rate.checked_div(u128::from(self.time_us)).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
        };
        UsagePoint {
            at: Timestamp::from_millis(i64::try_from(at_s.saturating_mul(1_000)).unwrap_or(i64::MAX)),
            processors_milli: share(self.cpu_us),
            throttled_permille: share(self.throttled_us),
            memory_bytes: levels.memory_bytes,
            memory_limit_bytes: levels.memory_limit_bytes,
            processes: levels.processes,
            pressure_cpu_permille: share(self.pressure_cpu_us),
            pressure_memory_permille: share(self.pressure_memory_us),
            pressure_io_permille: share(self.pressure_io_us),
            disk_used_bytes: levels.disk_used_bytes,
            disk_bytes: levels.disk_bytes,
            disk_fullest_permille: levels.disk_fullest_permille,
            received_bits: bits(self.received),
            sent_bits: bits(self.sent),
            oom_kills: self.oom_kills,
        }
    }
}

/// Points of samples, one for each step in which there are some. Rates are made of samples of one instance that follow one another; levels are the highest.
pub fn points(records: &[Record], span: &Span) -> Vec<UsagePoint> {
    let step = span.step_s.max(1);
    let gap = step.max(COARSE_S) * GAP_PERIODS_MAX;
    let mut found: BTreeMap<u64, Sums> = BTreeMap::new();
    let mut before: Option<&Record> = None;
    for record in records {
        if record.at_s >= span.from_s {
            let sums = found.entry(record.at_s / step * step).or_default();
            sums.add_levels(&record.figures);
            if let Some(before) = before.filter(|before| before.key == record.key && record.at_s - before.at_s <= gap) {
                sums.add_rate(before, record);
            }
        }
        before = Some(record);
    }
    found.into_iter().map(|(at_s, sums)| sums.point(at_s)).collect()
}

/// Starts the sampler. It ends after its present sample once the sender of `stays` is gone.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut samples = tokio::time::interval(Duration::from_secs(FINE_S));
        let mut sweeps = tokio::time::interval(SWEEP);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            let sweeps_now = tokio::select! {
                _ = samples.tick() => false,
                _ = sweeps.tick() => true,
                left = stays.changed() => if left.is_err() { return } else { false },
            };
            let done = blocking(&service, move |service| sample(service, sweeps_now)).await;
            if let Err(error) = &done
                && !told
            {
                tracing::warn!(%error, "the use of processors, memory, disk and network cannot be noted");
            }
            told = done.is_err();
        }
    })
}

/// Notes one sample of each instance. Of two versions in a switch the one with traffic goes on in the series.
fn sample(service: &Service, sweeps: bool) -> Result<(), AgentError> {
    let store = Store::new(&service.settings().state);
    let now = Timestamp::now().nanos().div_euclid(1_000_000_000);
    let at_s = u64::try_from(now).unwrap_or(0);
    let mut chosen: BTreeMap<(String, u32), Sampled> = BTreeMap::new();
    for sampled in service.agent().sample()? {
        let key = (sampled.application.to_string(), sampled.instance.index);
        if sampled.is_admitted || !chosen.contains_key(&key) {
            chosen.insert(key, sampled);
        }
    }
    let failed = |cause| AgentError::file("writing", &store.folder)(cause);
    for ((application, index), sampled) in chosen {
        let record = Record { at_s, key: key_of(&sampled), figures: sampled.figures };
        store.note(&application, index, &record).map_err(failed)?;
    }
    if sweeps {
        store.sweep(std::time::SystemTime::now());
    }
    Ok(())
}

/// An instance as a number.
fn key_of(sampled: &Sampled) -> u64 {
    let digest = sha256(&[sampled.instance.to_string().as_bytes()]).to_string();
    digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(at_s: u64, cpu_us: u64) -> Record {
        let figures = Figures { cpu_us, memory_bytes: at_s % 7, ..Figures::default() };
        Record { at_s, key: 1, figures }
    }

    #[test]
    fn rates_are_those_of_samples_that_follow_one_another() {
        // Half a processor, then nobody looked for long, then another instance.
        let mut records: Vec<Record> = (0..=6).map(|n| record(1_000 + n * 10, n * 5_000_000)).collect();
        records.push(record(9_000, 40_000_000));
        records.push(Record { key: 2, ..record(9_010, 1_000_000) });
        records.push(Record { key: 2, ..record(9_020, 3_000_000) });
        let span = Span { from_s: 1_010, to_s: 10_000, step_s: 30 };
        let found: Vec<(u64, u64)> = points(&records, &span)
            .iter()
            .map(|point| (u64::try_from(point.at.nanos() / 1_000_000_000).unwrap(), point.processors_milli))
            .collect();
        assert_eq!(found, [(990, 500), (1_020, 500), (1_050, 500), (9_000, 200)]);
    }

    #[test]
    fn files_stay_of_one_size_and_forget_what_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let day = FINE_S * FINE_SLOTS;
        for at_s in [0, 10, day - 10, day, day + 10] {
            store.note("web", 0, &record(at_s, at_s)).unwrap();
        }
        let fine = store.ring("web", 0, true);
        let times: Vec<u64> = fine.read(0, u64::MAX).unwrap().iter().map(|record| record.at_s).collect();
        assert_eq!(times, [day - 10, day, day + 10], "the first ones had the places of the last");
        assert_eq!(fs::metadata(&fine.path).unwrap().len(), FINE_SLOTS * RECORD_BYTES as u64);
        assert_eq!(store.indexes("web"), [0]);
        // The coarse one keeps the last counters and the highest levels of a period.
        let coarse = store.ring("web", 0, false).read(0, 299).unwrap();
        assert_eq!(coarse.len(), 1);
        assert_eq!((coarse[0].at_s, coarse[0].figures.cpu_us, coarse[0].figures.memory_bytes), (10, 10, 3));
        // Torn bytes are no record.
        let file = fine.open().unwrap();
        file.write_all_at(&[0xff; 3], fine.offset(day) + 40).unwrap();
        let times: Vec<u64> = fine.read(0, u64::MAX).unwrap().iter().map(|record| record.at_s).collect();
        assert_eq!(times, [day - 10, day + 10]);
    }

    /// Bytes that this thread has read so far; none where the kernel does not count them.
    fn bytes_read() -> Option<u64> {
        let text = fs::read_to_string("/proc/thread-self/io").ok()?;
        text.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
    }

    /// The conditions of each application are asked for again and again: of a file of a day its last hour is read.
    #[test]
    fn no_more_is_read_than_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let day = FINE_S * FINE_SLOTS;
        for at_s in [day - FINE_S, day + OOM_S] {
            store.note("web", 0, &record(at_s, at_s)).unwrap();
        }
        let Some(before) = bytes_read() else { return println!("skipped: the kernel does not count what is read") };
        store.conditions("web", day + OOM_S).unwrap();
        let read = bytes_read().unwrap() - before;
        let hour = OOM_S / FINE_S * RECORD_BYTES as u64;
        assert!(read < 2 * hour, "{read} bytes were read for an hour of {hour}");
    }

    #[test]
    fn conditions_are_told_as_long_as_they_are_fresh() {
        let at = |at_s: u64, oom_kills: u64, throttled_us: u64| Record {
            at_s,
            key: 1,
            figures: Figures { oom_kills, throttled_us, ..Figures::default() },
        };
        let records = [at(100, 0, 0), at(3_000, 1, 0), at(3_010, 0, 1_000_000), at(3_060, 0, 31_000_000)];
        let found = conditions_of(&records, 3_065);
        let throttled = Condition::Throttled { permille: 516, over_ms: 60_000 };
        let killed = Condition::OutOfMemory { kills: 1, memory_bytes: 0, limit_bytes: 0 };
        assert_eq!(found, [throttled, killed]);
        assert_eq!(conditions_of(&records, 3_060 + FRESH_S + 1), []);
        assert_eq!(conditions_of(&[], 5), []);
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(numbers in prop::collection::vec(any::<u64>(), 5)) {
            let figures = Figures { cpu_us: numbers[2], sent_bytes: numbers[3], disk_bytes: numbers[4], ..Figures::default() };
            let written = Record { at_s: numbers[0], key: numbers[1], figures };
            prop_assert_eq!(Record::parse(&written.bytes()), Some(written));
        }

        /// Whatever the places of the records are, those of the asked time are found, and no others.
        #[test]
        fn reading_some_places_finds_what_reading_all_does(
            times in prop::collection::btree_set(0_u64..3 * FINE_S * FINE_SLOTS, 0..20),
            from_s in 0_u64..3 * FINE_S * FINE_SLOTS,
            long_s in 0_u64..2 * FINE_S * FINE_SLOTS,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path());
            for at_s in &times {
                store.note("web", 0, &record(*at_s, 1)).unwrap();
            }
            let ring = store.ring("web", 0, true);
            let all = ring.read(0, u64::MAX).unwrap();
            let to_s = from_s + long_s;
            let wanted: Vec<Record> = all.into_iter().filter(|one| (from_s..=to_s).contains(&one.at_s)).collect();
            prop_assert_eq!(ring.read(from_s, to_s).unwrap(), wanted);
            prop_assert_eq!(ring.read(to_s + 1, to_s).unwrap(), vec![]);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::parse(&bytes);
        }
    }
}
