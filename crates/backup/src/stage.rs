//! Stages of backups and restores, and the time that each takes (B-49): for whoever makes them faster, and looks first.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Stages of a backup or a restore. Several run at the same time, in several threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Files of a tree are read for a backup.
    ReadTree,
    /// Their contents are cut into chunks.
    Cut,
    /// The keyed hash of a chunk is taken, of a backup or of what came out of a pack.
    Identify,
    /// A chunk is compressed, or found to be none that gets smaller.
    Compress,
    /// A chunk is sealed.
    Seal,
    /// A full pack is padded, gets its header and its name.
    FinishPack,
    /// A pack is stored, and durable.
    StorePack,
    /// A pack is read whole.
    ReadPack,
    /// Its bytes are held against its name.
    CheckPack,
    /// A chunk's seal is opened.
    Open,
    /// A chunk is decompressed.
    Decompress,
    /// A chunk is written to a restored file.
    Write,
    /// The file system of the target is synced beside the writing.
    SyncAhead,
    /// Hard links are made and attributes given.
    Attributes,
    /// The file system of the target is synced for the last time.
    Sync,
    /// A chunk of a restored file is read back.
    ReadBack,
    /// It is held against the manifest by its keyed hash.
    CheckBack,
}

impl Stage {
    /// All stages: those of a backup, then those of a restore.
    pub const ALL: [Stage; 17] = [
        Stage::ReadTree,
        Stage::Cut,
        Stage::Identify,
        Stage::Compress,
        Stage::Seal,
        Stage::FinishPack,
        Stage::StorePack,
        Stage::ReadPack,
        Stage::CheckPack,
        Stage::Open,
        Stage::Decompress,
        Stage::Write,
        Stage::SyncAhead,
        Stage::Attributes,
        Stage::Sync,
        Stage::ReadBack,
        Stage::CheckBack,
    ];

    /// Its name in figures.
    pub fn word(self) -> &'static str {
        match self {
            Stage::ReadTree => "read_tree",
            Stage::Cut => "cut",
            Stage::Identify => "identify",
            Stage::Compress => "compress",
            Stage::Seal => "seal",
            Stage::FinishPack => "finish_pack",
            Stage::StorePack => "store_pack",
            Stage::ReadPack => "read_pack",
            Stage::CheckPack => "check_pack",
            Stage::Open => "open",
            Stage::Decompress => "decompress",
            Stage::Write => "write",
            Stage::SyncAhead => "sync_ahead",
            Stage::Attributes => "attributes",
            Stage::Sync => "sync",
            Stage::ReadBack => "read_back",
            Stage::CheckBack => "check_back",
        }
    }
}

/// A listener that is told of each stage as it ends. It is called by several threads, between two steps of the act: it should return at once.
pub trait Watch: Send + Sync + fmt::Debug {
    /// Takes note that a stage took so long for so many bytes, in one thread.
    fn note(&self, stage: Stage, took: Duration, bytes: u64);
}

/// Time, bytes and times of a stage, over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time, of all threads together.
    pub time: Duration,
    /// Bytes.
    pub bytes: u64,
    /// Number of times.
    pub times: u64,
}

#[derive(Debug, Default)]
struct Sum {
    nanos: AtomicU64,
    bytes: AtomicU64,
    times: AtomicU64,
}

/// Sums of all stages.
#[derive(Debug, Default)]
pub struct Stages([Sum; Stage::ALL.len()]);

impl Stages {
    /// The sum of a stage up to now.
    pub fn spent(&self, stage: Stage) -> Spent {
        let sum = &self.0[stage as usize];
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Spent { time: Duration::from_nanos(read(&sum.nanos)), bytes: read(&sum.bytes), times: read(&sum.times) }
    }
}

impl Watch for Stages {
    fn note(&self, stage: Stage, took: Duration, bytes: u64) {
        let sum = &self.0[stage as usize];
        sum.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        sum.bytes.fetch_add(bytes, Ordering::Relaxed);
        sum.times.fetch_add(1, Ordering::Relaxed);
    }
}

/// A clock for stages: where nobody watches, it reads no time.
#[derive(Clone, Copy)]
pub(crate) struct Clock<'a>(Option<&'a dyn Watch>);

impl<'a> Clock<'a> {
    /// The clock of a watch.
    pub(crate) fn new(watch: Option<&'a dyn Watch>) -> Clock<'a> {
        Clock(watch)
    }

    /// The begin of a stage; none where nobody watches.
    pub(crate) fn begin(self) -> Option<Instant> {
        self.0.map(|_| Instant::now())
    }

    /// Tells of a stage that begun then, and dealt with so many bytes.
    pub(crate) fn end(self, stage: Stage, begun: Option<Instant>, bytes: usize) {
        if let Some((watch, begun)) = self.0.zip(begun) {
            watch.note(stage, begun.elapsed(), bytes as u64);
        }
    }

    /// Does something as a stage.
    pub(crate) fn time<T>(self, stage: Stage, bytes: usize, act: impl FnOnce() -> T) -> T {
        let begun = self.begin();
        let result = act();
        self.end(stage, begun, bytes);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_summed_each_on_its_own() {
        let stages = Stages::default();
        for (number, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, number, "the place in the list is the place of its sum");
            stages.note(stage, Duration::from_millis(number as u64), 10);
            stages.note(stage, Duration::from_millis(1), 5);
        }
        for (number, stage) in Stage::ALL.into_iter().enumerate() {
            let want = Spent { time: Duration::from_millis(number as u64 + 1), bytes: 15, times: 2 };
            assert_eq!(stages.spent(stage), want, "{}", stage.word());
        }
        let words: std::collections::BTreeSet<&str> = Stage::ALL.into_iter().map(Stage::word).collect();
        assert_eq!(words.len(), Stage::ALL.len());
    }

    #[test]
    fn a_clock_that_nobody_watches_tells_nothing() {
        let stages = Stages::default();
        assert_eq!(Clock::new(None).time(Stage::Cut, 3, || 7), 7);
        assert!(Clock::new(None).begin().is_none());
        assert_eq!(stages.spent(Stage::Cut), Spent::default());
        assert_eq!(Clock::new(Some(&stages)).time(Stage::Cut, 3, || 7), 7);
        assert_eq!((stages.spent(Stage::Cut).bytes, stages.spent(Stage::Cut).times), (3, 1));
    }
}
