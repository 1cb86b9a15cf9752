//! The manifest: which files are the lake, and what they hold.
//!
//! A sequence of commits, each an immutable object `_manifest/<version>.json` that adds and removes files and names the
//! chunks (keys) whose rows came with them. A commit exists or does not, so files and keys become true together: after
//! a crash a file without a commit is garbage, and a key without a commit is missing. One big list, rewritten each time,
//! would be simpler still, but its cost grows with everything ever stored.
//!
//! Every [`COMMITS_PER_CHECKPOINT`] commits the state is written as a checkpoint, with the keys since the last one in a sorted
//! segment beside it ([`crate::keys`]), and older commits are deleted. A process that dies between any two of these steps
//! leaves something that [`load`] understands.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Found};
use crate::error::LakeError;
use crate::files::{FileEntry, FileLists};
use crate::keys::{Key, Merge, Segment, Segments};

/// Format of commits and checkpoints. In format 1 segments of keys were not sorted.
const FORMAT: u32 = 2;
/// Folder of the manifest.
pub(crate) const FOLDER: &str = "_manifest";
/// Commits after which a checkpoint is written: opening replays at most so many.
const COMMITS_PER_CHECKPOINT: u64 = 64;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    format: u32,
    version: u64,
    add: Vec<FileEntry>,
    remove: Vec<String>,
    /// Hexadecimal.
    keys: Vec<String>,
    ledger_height: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    format: u32,
    version: u64,
    files: Vec<FileEntry>,
    key_segments: Vec<String>,
    ledger_height: Option<u64>,
}

/// Everything that is durable.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    version: u64,
    checkpoint: u64,
    files: BTreeMap<String, Arc<FileEntry>>,
    /// The same files by table, as queries see them. Made anew by each commit, shared by all queries until the next.
    lists: Arc<FileLists>,
    /// Keys that no segment holds yet: those of the commits since the checkpoint.
    recent_keys: HashSet<Key>,
    segments: Segments,
    ledger_height: Option<u64>,
}

/// A change that becomes true as a whole.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub add: Vec<FileEntry>,
    pub remove: Vec<String>,
    pub keys: Vec<Key>,
    pub ledger_height: Option<u64>,
}

impl Manifest {
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<FileEntry>> + Clone {
        self.files.values()
    }

    /// The files by table.
    pub(crate) fn lists(&self) -> Arc<FileLists> {
        Arc::clone(&self.lists)
    }

    /// Returns true if a commit since the last checkpoint holds a key.
    pub(crate) fn has_recent_key(&self, key: &Key) -> bool {
        self.recent_keys.contains(key)
    }

    /// Segments with all other keys: to be searched without the lake's lock, since that reads from the disk.
    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.segments)
    }

    pub(crate) fn keys_len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len()).sum::<u64>() + self.recent_keys.len() as u64
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) const fn ledger_height(&self) -> Option<u64> {
        self.ledger_height
    }

    /// Returns the files that are no longer part of the lake, for readers may still be in them.
    fn apply(&mut self, version: u64, change: Change) -> Vec<Arc<FileEntry>> {
        let removed = change.remove.iter().filter_map(|path| self.files.remove(path)).collect();
        self.files.extend(change.add.into_iter().map(|file| (file.path.clone(), Arc::new(file))));
        self.lists = Arc::new(FileLists::of(self.files.values()));
        self.recent_keys.extend(change.keys);
        self.ledger_height = change.ledger_height.or(self.ledger_height);
        self.version = version;
        removed
    }
}

fn commit_path(version: u64) -> String {
    format!("{FOLDER}/{version:020}.json")
}

fn checkpoint_path(version: u64) -> String {
    format!("{FOLDER}/checkpoint-{version:020}.json")
}

fn keys_path(version: u64) -> String {
    format!("{FOLDER}/keys-{version:020}.bin")
}

fn json<T: Serialize>(value: &T, what: &str) -> Result<Vec<u8>, LakeError> {
    serde_json::to_vec(value).map_err(|e| LakeError::encoding(what, e))
}

/// Makes a commit durable. The manifest in memory is untouched: the caller applies the returned change under its lock.
pub(crate) async fn commit(disk: &Disk, version: u64, change: Change) -> Result<Committed, LakeError> {
    let commit = Commit {
        format: FORMAT,
        version,
        add: change.add,
        remove: change.remove,
        keys: change.keys.iter().map(hex::encode).collect(),
        ledger_height: change.ledger_height,
    };
    disk.put_all(vec![(commit_path(version), json(&commit, "a commit")?)]).await?;
    let Commit { add, remove, ledger_height, .. } = commit;
    Ok(Committed { version, change: Change { add, remove, keys: change.keys, ledger_height } })
}

/// A change that is durable and waits to be applied in memory.
pub(crate) struct Committed {
    version: u64,
    change: Change,
}

impl Committed {
    pub(crate) fn apply(self, manifest: &mut Manifest) -> Vec<Arc<FileEntry>> {
        manifest.apply(self.version, self.change)
    }
}

/// A checkpoint to be written, and the objects that it makes superfluous. Made under the lock, written without it.
pub(crate) struct CheckpointPlan {
    merge: Option<Merge>,
    last: (String, Vec<u8>),
    stale: Vec<String>,
    version: u64,
}

pub(crate) fn plan_checkpoint(manifest: &Manifest) -> Result<Option<CheckpointPlan>, LakeError> {
    let Manifest { version, checkpoint, .. } = *manifest;
    if version < checkpoint + COMMITS_PER_CHECKPOINT {
        return Ok(None);
    }
    let mut stale: Vec<String> = (checkpoint + 1..=version).map(commit_path).collect();
    stale.push(checkpoint_path(checkpoint));
    let added = || manifest.recent_keys.iter().copied().collect();
    let merge =
        (!manifest.recent_keys.is_empty()).then(|| Merge::plan(&manifest.segments, keys_path(version), added()));
    let key_segments = match &merge {
        Some(merge) => merge.paths(),
        None => manifest.segments.iter().map(|segment| segment.path.clone()).collect(),
    };
    stale.extend(merge.iter().flat_map(Merge::replaced).map(str::to_string));
    let value = Checkpoint {
        format: FORMAT,
        version,
        files: manifest.files.values().map(|f| (**f).clone()).collect(),
        key_segments,
        ledger_height: manifest.ledger_height,
    };
    let last = (checkpoint_path(version), json(&value, "a checkpoint")?);
    Ok(Some(CheckpointPlan { merge, last, stale, version }))
}

/// A checkpoint that is durable and waits to be applied in memory.
pub(crate) struct Checkpointed {
    version: u64,
    /// `None` where there was no new key.
    segments: Option<Segments>,
}

impl CheckpointPlan {
    /// Writes the segment first, then the checkpoint that names it, then deletes: any prefix of that is a sound manifest.
    pub(crate) async fn write(self, disk: &Disk) -> Result<Checkpointed, LakeError> {
        let CheckpointPlan { merge, last, stale, version } = self;
        let segments = match merge {
            None => None,
            Some(merge) => {
                let path = merge.path.clone();
                let merge = Arc::new(merge);
                let writing = Arc::clone(&merge);
                disk.write_file(&path, move |out| writing.write(out)).await?;
                Some(merge.done(disk.root())?)
            }
        };
        disk.put_all(vec![last]).await?;
        for path in &stale {
            disk.delete(path).await?;
        }
        Ok(Checkpointed { version, segments })
    }
}

impl Checkpointed {
    /// Nothing was committed since the plan was made: commits and checkpoints are written by one writer.
    pub(crate) fn apply(self, manifest: &mut Manifest) {
        manifest.checkpoint = self.version;
        if let Some(segments) = self.segments {
            manifest.segments = segments;
            manifest.recent_keys.clear();
        }
    }
}

/// Reads the manifest, checks that every file it names is there in full, and deletes what no commit names.
pub(crate) async fn load(disk: &Disk) -> Result<Manifest, LakeError> {
    let found = disk.list().await?;
    let mut manifest = load_checkpoint(disk, &found).await?;
    replay(disk, &found, &mut manifest).await?;
    let sizes: BTreeMap<&str, u64> = found.iter().map(|o| (o.path.as_str(), o.bytes)).collect();
    for file in manifest.files.values() {
        match sizes.get(file.path.as_str()) {
            Some(bytes) if *bytes == file.bytes => {}
            Some(bytes) => {
                let reason = format!("it has {bytes} bytes, the manifest says {}", file.bytes);
                return Err(LakeError::corrupt(&file.path, reason));
            }
            None => return Err(LakeError::corrupt(&file.path, "the manifest names it, but it is missing")),
        }
    }
    sweep(disk, &found, &manifest).await?;
    Ok(manifest)
}

fn version_of(path: &str, before: &str, after: &str) -> Option<u64> {
    path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

async fn load_checkpoint(disk: &Disk, found: &[Found]) -> Result<Manifest, LakeError> {
    let newest = found.iter().filter_map(|o| version_of(&o.path, "checkpoint-", ".json")).max();
    let Some(version) = newest else { return Ok(Manifest::default()) };
    let path = checkpoint_path(version);
    let checkpoint: Checkpoint = parse(&path, &disk.get(&path).await?)?;
    if checkpoint.version != version {
        return Err(LakeError::corrupt(&path, "it is of another version than its name"));
    }
    let segments: Result<Segments, LakeError> =
        checkpoint.key_segments.iter().map(|path| Segment::open(disk.root(), path).map(Arc::new)).collect();
    let files: BTreeMap<String, Arc<FileEntry>> =
        checkpoint.files.into_iter().map(|f| (f.path.clone(), Arc::new(f))).collect();
    Ok(Manifest {
        version,
        checkpoint: version,
        lists: Arc::new(FileLists::of(files.values())),
        files,
        recent_keys: HashSet::new(),
        segments: segments?,
        ledger_height: checkpoint.ledger_height,
    })
}

async fn replay(disk: &Disk, found: &[Found], manifest: &mut Manifest) -> Result<(), LakeError> {
    let versions: BTreeSet<u64> = found.iter().filter_map(|o| version_of(&o.path, "", ".json")).collect();
    for version in versions.range(manifest.version + 1..) {
        let path = commit_path(*version);
        if *version != manifest.version + 1 {
            return Err(LakeError::corrupt(commit_path(manifest.version + 1), "a commit is missing before later ones"));
        }
        let commit: Commit = parse(&path, &disk.get(&path).await?)?;
        let keys: Option<Vec<Key>> = commit.keys.iter().map(|k| unhex(k)).collect();
        let keys = keys.ok_or_else(|| LakeError::corrupt(&path, "a key is not 64 hexadecimal digits"))?;
        let change = Change { add: commit.add, remove: commit.remove, keys, ledger_height: commit.ledger_height };
        manifest.apply(*version, change);
    }
    Ok(())
}

/// Deletes files of an unfinished flush, of a compaction that was not followed by its deletions, and old manifests.
async fn sweep(disk: &Disk, found: &[Found], manifest: &Manifest) -> Result<(), LakeError> {
    let segments: BTreeSet<&str> = manifest.segments.iter().map(|segment| segment.path.as_str()).collect();
    for object in found {
        let path = object.path.as_str();
        let keep = match path.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/')) {
            Some(_) => {
                version_of(path, "checkpoint-", ".json").is_some_and(|v| v == manifest.checkpoint)
                    || version_of(path, "", ".json").is_some_and(|v| v > manifest.checkpoint)
                    || segments.contains(path)
            }
            None => manifest.files.contains_key(path),
        };
        if !keep {
            tracing::info!(path, "deleting what no commit of the lake names");
            disk.delete(path).await?;
        }
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, LakeError> {
    #[derive(Deserialize)]
    struct Probe {
        format: u32,
    }
    let probe: Probe = serde_json::from_slice(bytes).map_err(|e| LakeError::corrupt(path, e))?;
    if probe.format != FORMAT {
        return Err(LakeError::Format { found: probe.format, known: FORMAT });
    }
    serde_json::from_slice(bytes).map_err(|e| LakeError::corrupt(path, e))
}

fn unhex(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).ok()?;
    Some(key)
}
