//! Bounds of X-51, each with its reason.

/// Bytes of a manifest, an index or a configuration: four times what the distribution specification asks registries to take.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Layers of an image: overlayfs takes 500, real images have fewer than 100, and each costs a folder and a mount option.
pub const LAYERS_MAX: usize = 128;
/// Manifests in an index: one for each platform and its attestation; the longest real ones have about 40.
pub const INDEX_ENTRIES_MAX: usize = 1_024;
/// Bytes of a blob: the largest layers of common images (with models for GPUs) have about 6 GiB.
pub const BLOB_BYTES_MAX: u64 = 8 << 30;
/// Bytes of all blobs of an image: what may be unpacked from it.
pub const IMAGE_BYTES_MAX: u64 = 64 << 30;
/// Seconds without a byte after which a registry counts as stalled: a busy mirror may need tens of seconds to begin.
pub const STALL_SECONDS_MAX: u64 = 60;
/// Bytes a second that a blob must have on the whole, so that one byte each 59 s does not hold a deployment for ever.
pub const RATE_BYTES_PER_SECOND_MIN: u64 = 4 << 10;
/// Blobs fetched at once: enough to fill a line, few enough for a small registry.
pub const BLOBS_AT_ONCE_MAX: usize = 3;
/// Requests for one thing that may fail in a row without a byte of progress.
pub const ATTEMPTS_MAX: u32 = 5;
/// Breaks of one blob that may be resumed, with progress between them: each gains at least a byte, so this is what ends it.
pub const RESUMES_MAX: u32 = 64;
/// Seconds of the longest pause between attempts, and the longest `Retry-After` that is waited for.
pub const PAUSE_SECONDS_MAX: u64 = 60;
/// Redirects that are followed for one request: a content delivery network needs two.
pub const REDIRECTS_MAX: u32 = 5;
/// Bytes of a token server's answer: real tokens have a few thousand.
pub const TOKEN_BYTES_MAX: u64 = 256 << 10;

/// Entries of a layer: the largest real ones (a Python or Node tree) have about 300,000.
pub const ENTRIES_MAX: u64 = 1_000_000;
/// Parts of a path: recursion over a tree is bounded by it.
pub const DEPTH_MAX: usize = 128;
/// Bytes of a path or of a link's target: the kernel's own limit less the final NUL.
pub const PATH_BYTES_MAX: usize = 4_095;
/// Bytes of one part of a path: the limit of every common file system.
pub const PART_BYTES_MAX: usize = 255;
/// Bytes of one extended header: a path, a target and extended attributes of 64 KiB fit many times.
pub const EXTENDED_BYTES_MAX: u64 = 1 << 20;
/// Extended headers in a row before the entry that they belong to: real archives have two.
pub const EXTENDED_IN_A_ROW_MAX: u32 = 8;
/// Bytes that a layer may unpack to, its headers included.
pub const UNPACKED_BYTES_MAX: u64 = 64 << 30;
/// Times that a layer may be larger unpacked than packed: text compresses to a fifth, executables to a third.
pub const RATIO_MAX: u64 = 16;
/// Bytes that a layer may unpack to whatever its ratio: the padding of a nearly empty archive alone compresses a hundredfold.
pub const RATIO_FREE_BYTES: u64 = 16 << 20;
/// Bytes of paths that the unpacker keeps in memory, to set times of folders at the end.
pub const REMEMBERED_BYTES_MAX: usize = 64 << 20;
/// Folders that a layer may use without naming them; honest archives name nearly all.
pub const IMPLIED_MAX: usize = 10_000;
/// Bytes of the paths of such folders in one layer: those of a tree of ten thousand packages, and what the report of one has to carry.
pub const IMPLIED_BYTES_MAX: usize = 4 << 20;
/// Bytes of the paths of such folders in all layers of an image, which are compared with one another in memory.
pub const IMPLIED_IMAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of the window that a zstd frame may ask for, as a power of two: 128 MiB, what `zstd --long` makes.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes of address space of an unpacker: the window, the paths and room for the program itself.
pub const UNPACKER_BYTES_MAX: u64 = 768 << 20;
/// Seconds of processor time of an unpacker: 64 GiB at 20 MB/s.
pub const UNPACKER_CPU_SECONDS_MAX: u64 = 3_600;
/// Bytes of an unpacker's report: the paths of [`IMPLIED_BYTES_MAX`] in hexadecimal, and the rest.
pub const REPORT_BYTES_MAX: u64 = 10 << 20;
/// Highest owner that an instance can have; a file of a higher one belongs to [`OVERFLOW_ID`], which is how the kernel shows it.
pub const OWNER_MAX: u64 = 65_535;
/// Owner of what has none: `nobody`.
pub const OVERFLOW_ID: u32 = 65_534;
/// Bytes of a file that a person puts into a volume: a database dump or a film; what is larger goes by the application's own protocol.
pub const FILE_BYTES_MAX: u64 = 16 << 30;
/// Entries of a folder in one answer: more than anybody reads, and few enough for one answer of 2 MiB.
pub const LISTED_MAX: usize = 5_000;
/// Names of a folder that are read to find the first of them: beyond it a folder is shown as it comes.
pub const NAMES_MAX: usize = 1_000_000;
/// Files and folders that one removal takes: a tree of packages has a third of it.
pub const REMOVED_MAX: u64 = 1_000_000;

/// Bytes that a layer of this packed size may unpack to.
pub fn unpacked_bytes_max(packed: u64) -> u64 {
    RATIO_FREE_BYTES.max(packed.saturating_mul(RATIO_MAX)).min(UNPACKED_BYTES_MAX)
}
