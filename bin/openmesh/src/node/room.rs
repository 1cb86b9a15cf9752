//! Room on the disks of a node's data, looked at each second.
//!
//! A full disk must not be met in the middle of a write: a node that runs out of room stops in order while its last block, its
//! tables and its log still fit, says so, and starts again by itself once there is room. Raw frames go first, because no other
//! node needs them. Where only what consensus does without is short (tables, chunks, raw frames on disks of their own), the node
//! goes on and says so.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openmesh_api::{FullDisk, NodeDisk};
use openmesh_content::BlockStore;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::Files;

/// Free bytes below which a node stops: the last blocks, the unflushed rows and the log of a drain take a few megabytes, and
/// what other programs write within the second between two looks must fit as well.
pub const STOP_BYTES: u64 = 64 << 20;
/// Free bytes from which a node starts again: more than [`STOP_BYTES`], so that it does not stop again at once.
pub const START_BYTES: u64 = 96 << 20;
/// Free bytes below which raw frames are given up: early enough that a node whose archive can shrink never stops.
const GIVE_UP_RAW_BYTES: u64 = 128 << 20;
/// Time between two looks, in milliseconds: a tenth of the time within which a full disk must be said.
const LOOK_MS: u64 = 1_000;

/// Folders of a node's data, and those without which consensus cannot go on.
const FOLDERS: [(&str, bool); 6] =
    [("ledger", true), ("consensus", true), ("content", false), ("raw", false), ("lake", false), ("archive", false)];

/// Labels of a folder's gauge.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FolderLabel {
    folder: &'static str,
}

/// A folder of a node's data.
#[derive(Debug)]
struct Folder {
    name: &'static str,
    path: PathBuf,
    /// Consensus cannot go on without it.
    needed: bool,
}

/// Room on a node's disks; clones share what was seen.
#[derive(Clone, Debug)]
pub struct Room {
    folders: Arc<[Folder]>,
    /// Free bytes by folder, in the order of [`FOLDERS`]; nothing where the system does not tell.
    seen: watch::Sender<Vec<Option<u64>>>,
    free: Family<FolderLabel, Gauge>,
    waiting: Gauge,
}

impl Room {
    /// The disks of a home; nothing has been looked at.
    pub fn of(files: &Files) -> Room {
        let folder = |(name, needed)| Folder { name, path: files.data(name), needed };
        Room {
            folders: FOLDERS.into_iter().map(folder).collect(),
            seen: watch::Sender::new(vec![None; FOLDERS.len()]),
            free: Family::default(),
            waiting: Gauge::default(),
        }
    }

    /// Shows free bytes, and whether the node waits, under `disk_` in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("disk");
        registry.register("free_bytes", "Free bytes on the disk of a folder of data", self.free.clone());
        registry.register("waiting", "1 while the node waits for room on its disk", self.waiting.clone());
    }

    /// Notes whether the node waits for room.
    pub fn waits(&self, waits: bool) {
        self.waiting.set(i64::from(waits));
    }

    /// Looks at all disks.
    pub async fn look(&self) {
        let folders = Arc::clone(&self.folders);
        let measure = move || folders.iter().map(|folder| free_bytes(&folder.path)).collect();
        let Ok(found) = tokio::task::spawn_blocking(measure).await else { return };
        let before = self.short(STOP_BYTES);
        for (folder, free) in self.folders.iter().zip::<&Vec<Option<u64>>>(&found) {
            let label = FolderLabel { folder: folder.name };
            self.free.get_or_create(&label).set(i64::try_from(free.unwrap_or(0)).unwrap_or(i64::MAX));
        }
        self.seen.send_replace(found);
        let now = self.short(STOP_BYTES);
        let names = |list: &[FullDisk]| list.iter().map(|disk| disk.folder.clone()).collect::<Vec<_>>();
        if names(&before) != names(&now) {
            for FullDisk { folder, free_bytes, .. } in &now {
                tracing::error!(folder, free_bytes, "the disk is full: make room; nothing that was accepted is lost");
            }
            if now.is_empty() {
                tracing::info!("there is room on the disk again");
            }
        }
    }

    /// Folders with less free bytes than these on their disk, as last seen.
    fn short(&self, least_bytes: u64) -> Vec<FullDisk> {
        let seen = self.seen.borrow();
        let short = self.folders.iter().zip(seen.iter()).filter_map(|(folder, free)| {
            let free_bytes = free.filter(|free| *free < least_bytes)?;
            Some(FullDisk { folder: folder.path.display().to_string(), free_bytes, least_bytes })
        });
        short.collect()
    }

    /// The first folder that consensus needs and that has less free bytes than these, as last seen.
    pub fn lacking(&self, least_bytes: u64) -> Option<FullDisk> {
        let needed = |disk: &FullDisk| {
            let of = |folder: &Folder| folder.needed && folder.path.display().to_string() == disk.folder;
            self.folders.iter().any(of)
        };
        self.short(least_bytes).into_iter().find(needed)
    }

    /// Folders that are short of room now, for the status.
    pub fn full(&self) -> Vec<FullDisk> {
        self.short(STOP_BYTES)
    }

    /// Free bytes of each disk that data lies on, by the first folder on it; by the folder of all data where there is one disk. Reads from the
    /// system.
    pub fn disks(&self) -> Vec<NodeDisk> {
        let mut devices: Vec<(u64, &Folder)> = Vec::new();
        for folder in self.folders.iter() {
            let there = folder.path.ancestors().find_map(|path| std::fs::metadata(path).ok());
            let Some(device) = there.map(|meta| meta.dev()) else { continue };
            if !devices.iter().any(|(known, _)| *known == device) {
                devices.push((device, folder));
            }
        }
        let is_one = devices.len() == 1;
        let disk = |folder: &Folder| {
            let name = folder.path.parent().filter(|_| is_one).unwrap_or(&folder.path);
            Some(NodeDisk { folder: name.display().to_string(), free_bytes: free_bytes(&folder.path)? })
        };
        devices.iter().filter_map(|&(_, folder)| disk(folder)).collect()
    }

    /// Waits until consensus has no room to go on. Somebody else must look.
    pub async fn runs_out(&self) -> FullDisk {
        let mut seen = self.seen.subscribe();
        loop {
            if let Some(disk) = self.lacking(STOP_BYTES) {
                return disk;
            }
            if seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Looks again and again until it is told to stop, and gives up raw frames where room becomes short.
    pub async fn watch(self, raw: Arc<BlockStore>, stop: CancellationToken) {
        let pause = Duration::from_millis(LOOK_MS);
        loop {
            self.look().await;
            self.give_up(&raw).await;
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn give_up(&self, raw: &Arc<BlockStore>) {
        let least = self.short(GIVE_UP_RAW_BYTES).iter().map(|disk| disk.free_bytes).min();
        let Some(free) = least.filter(|_| !raw.is_empty()) else { return };
        let raw = Arc::clone(raw);
        match tokio::task::spawn_blocking(move || raw.make_room(GIVE_UP_RAW_BYTES - free)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(bytes)) => tracing::warn!(bytes, free, "raw frames were given up: the disk is nearly full"),
            Ok(Err(error)) => tracing::warn!(%error, "raw frames could not be given up"),
        }
    }

    /// Looks again and again until consensus has room to start.
    pub async fn until_room(&self, mut said: impl FnMut(FullDisk)) {
        loop {
            self.look().await;
            let Some(disk) = self.lacking(START_BYTES) else { return };
            said(disk);
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }
}

/// Free bytes on the disk of a path, or of the folder in which it will be made.
fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(free: [u64; FOLDERS.len()]) -> Room {
        let room = Room::of(&Files::of(Path::new("/nowhere")));
        room.seen.send_replace(free.map(Some).to_vec());
        room
    }

    #[test]
    fn only_a_disk_that_consensus_needs_stops_the_node() {
        let much = START_BYTES;
        let tables = room([much, much, much, much, STOP_BYTES - 1, much]);
        assert_eq!(tables.full().len(), 1);
        assert!(tables.full()[0].folder.ends_with("data/lake"));
        assert_eq!(tables.lacking(START_BYTES), None);
        let log = room([much, STOP_BYTES - 1, much, much, much, much]);
        assert!(log.lacking(STOP_BYTES).is_some_and(|disk| disk.folder.ends_with("data/consensus")));
        let enough_to_go_on = room([STOP_BYTES, STOP_BYTES, 0, 0, 0, 0]);
        assert_eq!(enough_to_go_on.lacking(STOP_BYTES), None);
        assert!(enough_to_go_on.lacking(START_BYTES).is_some(), "and too little to start");
    }

    #[tokio::test]
    async fn running_out_is_noticed_when_it_is_seen() {
        let room = room([START_BYTES; FOLDERS.len()]);
        let noticed = tokio::spawn({
            let room = room.clone();
            async move { room.runs_out().await }
        });
        tokio::task::yield_now().await;
        assert!(!noticed.is_finished());
        room.seen.send_replace(vec![Some(7); FOLDERS.len()]);
        assert_eq!(noticed.await.unwrap().free_bytes, 7);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_made_yet_has_the_room_of_its_disk() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::of(&Files::of(dir.path()));
        room.look().await;
        let disks = room.disks();
        assert!(disks.len() == 1 && disks[0].folder.ends_with("/data") && disks[0].free_bytes > 0, "{disks:?}");
        let seen = room.seen.borrow().clone();
        assert!(seen.iter().all(|free| free.is_some_and(|free| free > 0)), "{seen:?}");
    }
}
