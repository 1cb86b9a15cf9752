//! Files of a restore laid out and filled from packs (B-33, B-44, B-45).
//!
//! Several threads each read a pack, open it and write what is in it, chunk by chunk: what is read, opened and written at a time is bounded by their
//! number. Meanwhile the store hears of the packs that come next, and the disk gets what is written already, so that little is left to be waited for at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

use rustix::fs::{Mode, OFlags};

use crate::crew::{Brake, Crew, first, threads};
use crate::door::Door;
use crate::error::{BackupError, failed};
use crate::fetch::{PackReader, Stop, Wanted, find};
use crate::index::{Index, IndexedPack};
use crate::manifest::{self, Event, Piece};
use crate::meter::Meter;
use crate::name::{Id, Kind, Name};
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::stage::{Clock, Stage};
use crate::tree::{open_below, open_parent, sync_file_system};

/// Bytes written between two syncs beside the writing: enough that the journal's part of a sync is little, and as much as is left for the last one.
const AHEAD_BYTES: u64 = 64 << 20;
/// Packs between the one that is given to a thread and the one of which the store is told: 32 MiB in the kernel's cache.
const EXPECTED_PACKS: usize = 2;
/// Packs that are given before a thread is free for them: it finds one without asking.
const PACKS_GIVEN: usize = 1;

/// Files that are to be filled, and the chunks they need.
#[derive(Default)]
pub(crate) struct Plan {
    files: Vec<PathBuf>,
    wanted: BTreeMap<u32, Wanted>,
}

/// Makes folders, links and empty files, and notes which chunks go where.
pub(crate) fn lay_out(root: &OwnedFd, index: &Index, manifest: &[u8], snapshot: Id) -> Result<Plan, BackupError> {
    let mut plan = Plan::default();
    let counts = manifest::read::<Stop>(manifest, |path, event| {
        let made =
            match event {
                Event::Folder if path.as_os_str().is_empty() => Ok(()),
                Event::Folder => open_parent(root.as_fd(), path)
                    .and_then(|(folder, name)| rustix::fs::mkdirat(folder, name, Mode::RWXU)),
                Event::File(_, bytes) => {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                    let file = open_below(root.as_fd(), path, flags, Mode::RUSR | Mode::WUSR);
                    plan.files.push(path.to_path_buf());
                    file.and_then(|file| rustix::fs::ftruncate(file, bytes))
                }
                Event::Link(_, target) => open_parent(root.as_fd(), path)
                    .and_then(|(folder, name)| rustix::fs::symlinkat(target, folder, name)),
                Event::Piece(at, Piece::Chunk { id, bytes }) => {
                    let place = find(index, snapshot, &id, BlobKind::Data, bytes)?;
                    let file = (plan.files.len() as u32).saturating_sub(1);
                    plan.wanted.entry(place.pack).or_default().entry(place.blob).or_default().push((file, at));
                    Ok(())
                }
                Event::Piece(..) | Event::Leave(_) | Event::HardLink(_) => Ok(()),
            };
        made.map_err(|cause| Stop::Failed(failed("making", path)(cause)))
    });
    counts.map(|_| plan).map_err(|stop| stop.of(snapshot))
}

impl Repository<'_> {
    /// Fills the files of a plan below a folder, which has a path for messages.
    ///
    /// # Errors
    /// The first pack that is damaged or missing, or the system; then nothing more is written.
    pub(crate) fn fill(
        &self,
        (root, path): (&OwnedFd, &Path),
        index: &Index,
        plan: &Plan,
        door: Door<'_>,
    ) -> Result<(), BackupError> {
        let packs = plan.wanted.iter();
        let packs = packs.filter_map(|(number, wanted)| Some((index.packs.get(*number as usize)?, wanted)));
        let packs: Vec<(&IndexedPack, &Wanted)> = packs.collect();
        let (packs, clock) = (packs.as_slice(), self.clock());
        let (brake, written) = (Brake::default(), AtomicU64::new(0));
        let (wake, woken) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let (brake, written) = (&brake, &written);
            let ahead = scope.spawn(move || sync_ahead((root, path), &woken, clock, brake));
            let asks = &wake;
            let make = move || {
                let writer = Writer { root, plan, clock, meter: &self.meter, brake, asks, written, open: None };
                let mut thread = (PackReader::new(self), writer);
                move |at: usize| packs.get(at).map_or(Ok(()), |(pack, wanted)| fill_from(&mut thread, pack, wanted))
            };
            let jobs = (0..packs.len()).inspect(|at| {
                if let Some((later, _)) = packs.get(at + EXPECTED_PACKS) {
                    self.store.expect(Name::Object(Kind::Pack, later.id));
                }
            });
            let threads = threads().min(packs.len());
            let crew = Crew { door, name: "write contents", threads, waiting: PACKS_GIVEN, brake };
            let filled = crew.work(jobs, make, |()| Ok(()));
            // Nobody asks for a sync any more: that thread ends.
            drop(wake);
            let synced = ahead.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            first([synced, filled])
        })
    }
}

/// Syncs whenever it is asked, until nobody can ask any more. This is no effect of its own: the kernel may write what is written at any time.
fn sync_ahead(
    (root, path): (&OwnedFd, &Path),
    woken: &Receiver<()>,
    clock: Clock<'_>,
    brake: &Brake,
) -> Result<(), BackupError> {
    let sync = |()| clock.time(Stage::SyncAhead, 0, || sync_file_system(root)).map_err(failed("syncing", path));
    let synced = woken.iter().try_for_each(sync);
    if synced.is_err() {
        brake.pull();
    }
    synced
}

/// Writes what is wanted of a pack into the files that need it.
fn fill_from(
    (reader, writer): &mut (PackReader<'_>, Writer<'_>),
    pack: &IndexedPack,
    wanted: &Wanted,
) -> Result<(), BackupError> {
    let places = |blob: u32| wanted.get(&blob).map(Vec::as_slice).unwrap_or_default();
    reader.read(pack, |blob| wanted.contains_key(&blob), |blob, content| writer.write(places(blob), content))
}

/// A writer of files, for one thread.
struct Writer<'w> {
    root: &'w OwnedFd,
    plan: &'w Plan,
    clock: Clock<'w>,
    meter: &'w Meter,
    brake: &'w Brake,
    /// Asks for a sync.
    asks: &'w SyncSender<()>,
    /// Bytes that were written, by all threads.
    written: &'w AtomicU64,
    /// The last file stays open: chunks of a file lie side by side.
    open: Option<(u32, File)>,
}

impl Writer<'_> {
    /// Writes a chunk to its places: numbers of files, and offsets in them.
    fn write(&mut self, places: &[(u32, u64)], content: &[u8]) -> Result<(), BackupError> {
        for (number, at) in places {
            self.brake.check()?;
            let path = self.plan.files.get(*number as usize).map_or(Path::new(""), PathBuf::as_path);
            let file = match self.open.take().filter(|(open, _)| open == number) {
                Some((_, file)) => file,
                None => open_below(self.root.as_fd(), path, OFlags::WRONLY, Mode::empty())
                    .map(File::from)
                    .map_err(failed("opening", path))?,
            };
            let begun = self.clock.begin();
            file.write_all_at(content, *at).map_err(BackupError::io("writing", path))?;
            self.clock.end(Stage::Write, begun, content.len());
            self.open = Some((*number, file));
            self.count(content.len() as u64)?;
        }
        Ok(())
    }

    fn count(&self, bytes: u64) -> Result<(), BackupError> {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / AHEAD_BYTES != (before + bytes) / AHEAD_BYTES {
            // Where one is asked for already, it does for this as well.
            let _ = self.asks.try_send(());
        }
        self.meter.add(bytes)
    }
}
