//! Backups of trees: encrypted, deduplicated, proved by restoring (clauses B-1 to B-49 and B-70 to B-84 of `docs/spec/backup.md`).
//!
//! # What it owns
//! The format of a repository and every act on it: backup, restore, check, retention, mark and sweep, drills. It knows no application, schedule, network or
//! volume: callers hand in a snapshot of a volume or a stopped application's tree, a store, keys, and the time.
//!
//! ```text
//! tree ─ reading ─► chunks ─ pipeline (hash, known?, zstd, seal) ─► packs ─► index ─► snapshot        backup
//! snapshot ─► manifest (checked whole) ─► packs, each once ─► files ─► attributes ─► read back ─► rename   restore
//! ```
//!
//! # Why a format of our own
//! restic and borg are programs, rustic's crate changes with each release, and none of the three prunes beside running writers without a lock. Stores are asked
//! four things only, so that another machine can hold backups without being trusted, and is told no size of a chunk.
//!
//! # Invariants
//! A visible snapshot is whole: all it needs was durable before it. No object changes; its name is the hash of its bytes. Nothing is removed because of one
//! clock, nor while it is not known what is needed. Bytes leave a restore only through a seal and a keyed hash. Every effect passes the caller's door.
//!
//! # On failure
//! A backup that breaks off leaves packs that the next one uses, and a session that the next one of the same name ends. A restore that breaks off leaves a
//! hidden folder beside the target, which the next one removes. A damaged index object is made good from the packs. Damage of a pack is named with the
//! snapshots that need it.
//!
//! # Known limits
//! Index and manifest are held in memory (B-40). Every backup reads the whole tree: times of files are not trusted, because volumes are handed in as clones.

mod again;
mod age;
mod backup;
mod bech32;
mod blob;
mod check;
mod crew;
mod cut;
mod door;
mod drill;
mod error;
mod fetch;
mod fill;
mod folder;
mod index;
mod manifest;
mod mend;
mod meter;
mod name;
mod object;
mod pack;
pub mod peer;
mod pipeline;
mod pool;
mod prune;
mod reading;
mod repository;
mod restore;
pub mod retention;
mod s3;
mod secret;
mod session;
mod snapshot;
mod stage;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

pub use age::{FILE_BYTES_MAX as KEY_FILE_BYTES_MAX, Identity, PAYLOAD_BYTES_MAX, Recipient, open_file, seal_file};
pub use backup::{Order, Report, StoredSum};
pub use check::{Checked, Data};
pub use cut::{CHUNK_BYTES_MAX, CHUNK_BYTES_MEAN, CHUNK_BYTES_MIN};
pub use door::{Door, open};
pub use drill::Drill;
pub use error::{BackupError, StoreError};
pub use folder::{Folder, Handed, Writer};
pub use index::Finding;
pub use manifest::{DEPTH_MAX, RECORD_BYTES_MAX};
pub use mend::Mended;
pub use meter::Meter;
pub use name::{BadId, Id, IdHasher, Kind, Name, RepositoryId};
pub use object::SEALED_BYTES_MAX;
pub use pack::{PACK_BLOBS_MAX, PACK_BYTES, PACK_BYTES_MAX, PACK_BYTES_MIN};
pub use peer::{BadKey, NodeKey, NodePublicKey, Peer, PeerSettings, Refusal};
pub use prune::{GRACE_MS, Marked, Swept};
pub use reading::{LEFT_OUT_MAX, Special};
pub use repository::{Repository, Snapshots};
pub use restore::{Owners, Restoration, Restored};
pub use s3::{S3, S3Settings};
pub use session::SESSION_MS_MAX;
pub use snapshot::{LABEL_BYTES_MAX, LABELS_MAX, MANIFEST_BYTES_MAX, Snapshot};
pub use stage::{Spent, Stage, Stages, Watch};
pub use store::{Listed, Room, Store};
