//! Data of applications: volumes, their lines of data, and what may become of them (clauses X-60 to X-65 of `docs/spec/xnode.md`).
//!
//! # What it owns
//! A folder of the host, below it one folder for each volume: the image, the mount point, the marks. It knows no application, process, control group or
//! network: callers stop or pause writers, and say which generations are kept.
//!
//! ```text
//! made/ID                       a volume with this id was made here
//! ID/openmesh-NAME-ID.img       a file system of its own, all of its room reserved
//! ID/volume.json                record: kind, size, names
//! ID/lines/N.json               marks of line N: parent, reason, time, keeper, state, traffic admitted
//! ID/in-use                     number of the line in use
//! ID/removed.json  ID/freezing  marks of a removal and of a freeze
//! ID/backed-up.json             moment of the last whole backup
//! ID/mount/volume.json          marker in the file system
//! ID/mount/lines/N/             data of line N
//! ID/mount/scratch/             stills of backups, and restored data before they are a line
//! .making-ID/  .gone-ID/        what was broken off
//! ```
//!
//! # Why a file system in a file
//! It is the limit, the snapshot and the failure domain in one, on whatever file system the host has. Its room is reserved in full (module `image`):
//! a sparse one is smaller, and loses what applications believe written when the host is full.
//!
//! # Why the marks lie beside it
//! An application can fill its own file system, and then nothing could be marked or switched in it any more. Beside it, they can also be read while it is
//! not mounted. Each is one whole file, so that the pointer and every mark change at once.
//!
//! # Life of a line
//! Marked as being made, cloned into a folder that nobody mounts, synced, renamed, marked as whole. Dropping is the same way back. Whatever
//! breaks off between two of these is brought to an end by [`Volumes::repair`]: forward where all data are there, else back. The mark that traffic was
//! admitted is written before the line is pointed at, and never taken back: no machine removes such a line (X-64).
//!
//! # On failure
//! Each act can be called again and goes on. Missing image, wrong file system, missing marker, a line without data: held ([`Remedy::Hold`]), and never
//! started empty. A file system that stopped after an error of the disk is unmounted and mounted again, which replays its journal, as soon as nobody
//! uses it.
//!
//! # Known limits
//! Extended attributes of links need `/proc`. Flags of `chattr` are not cloned. On a host that copies on write whatever is told to it (ZFS), reserved
//! room is a promise of the host's. Loop devices are known by the paths of their images: two agents in two containers of one kernel, with the same paths,
//! the same name and a copy of the same volume, see each other's; give them different names. A volume's folder may be a mount point, and no link.
//! Writers that were not stopped are noticed by the times of files; a write within the same tick of the kernel's clock as the begin of the clone can be missed.

mod door;
mod durable;
mod error;
mod freeze;
mod id;
mod image;
mod lines;
pub mod loops;
mod make;
mod mounting;
pub mod mounts;
mod observe;
mod program;
mod record;
mod removal;
mod repair;
pub mod rules;
mod scratch;
pub mod superblock;
mod surroundings;
mod tree;
mod volumes;

pub use door::{Door, open};
pub use error::VolumeError;
pub use freeze::{FREEZE_S_MAX, Frozen};
pub use id::{BadId, Id, Kind, VOLUME_BYTES_MAX, VOLUME_BYTES_MIN, XFS_BYTES_MIN};
pub use lines::{NewLine, Writers};
pub use make::{NewVolume, Owner};
pub use observe::{Finding, Found, FoundVolume, Remedy, Usage};
pub use record::{Fate, Keeper, Line, LineState, Record, Removal};
pub use rules::Asker;
pub use scratch::{RestoredLine, Still, StillOf};
pub use volumes::{LINES_MAX, TEXT_BYTES_MAX, Volumes};
