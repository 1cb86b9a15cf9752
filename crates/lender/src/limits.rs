//! Bounds of the lender, each with the reason for its number.

use std::time::Duration;

/// Connections of guests at once, beside those that every loan keeps: each has a thread, 64 KiB of an object, and some files.
pub const SEATS_MAX: usize = 64;
/// Connections of one loan: a guest uses one for each of its acts, and keeps four that rest.
pub const SEATS_OF_LOAN_MAX: usize = 12;
/// Connections that each loan gets however many others have: without them guests could keep each other out.
pub const SEATS_KEPT: usize = 2;
/// Connections that have shown no key of a loan: those that greet, and strangers.
pub const WAITING_MAX: usize = 48;
/// The same of one address of IPv4 or /64 of IPv6: several guests behind one router, and never all places for one stranger.
pub const WAITING_OF_ADDRESS_MAX: usize = 16;
/// Time for the request of a key that is in no loan, which is told so then.
pub const STRANGER: Duration = Duration::from_secs(10);
/// Time between two requests of a guest's connection, after which it ends.
pub const IDLE: Duration = Duration::from_secs(60);
/// Time for an answer to be taken.
pub const ANSWER: Duration = Duration::from_secs(60);

/// Loans of one lender: a person names each of them.
pub const LOANS_MAX: usize = 64;
/// Keys of one loan: a guest's machine, the one that takes its place, and some more.
pub const KEYS_MAX: usize = 8;
/// Days for which removed objects are withheld, at most.
pub const HELD_DAYS_MAX: u32 = 365;
/// Room that an object takes is a multiple of this, bytes: the block of a file system, so that millions of tiny objects are not free.
pub const BLOCK_BYTES: u64 = 4 << 10;
/// Files that the disk of guests can still have when nothing more is taken: a machine whose file system has no number left for another file stands still.
pub const INODES_KEPT: u64 = 20_000;

/// A day of a lender, milliseconds: time in which it runs.
pub const DAY_MS: u64 = 86_400_000;
/// Time between two looks at the configuration, and while an object comes at its loan: a loan that ends does so within it.
pub const LOOK: Duration = Duration::from_secs(1);
/// Time for which removed objects are brought back before it is looked again: a million of them take hours.
pub const SLICE: Duration = Duration::from_millis(500);
/// Time between two notes of the time in which it has run.
pub const NOTE: Duration = Duration::from_secs(60);
/// Time for requests that are under way when it leaves.
pub const LEAVE: Duration = Duration::from_secs(30);
/// Time for the lender before to give up its lock.
pub const LOCK: Duration = Duration::from_secs(40);
/// Largest file of the agent that is read, bytes: some hundred keys.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
