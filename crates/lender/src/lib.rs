//! The lender of an Xnode: it keeps encrypted objects of guests, machines whose backups lie here (clauses B-70 to B-80 of `docs/spec/backup.md`).
//!
//! # What it owns
//! The listening end of the line between Xnodes, the rights of each guest's key, room, and the objects on the disk. It has no key of a repository and reads
//! nothing of what it keeps.
//!
//! ```text
//! agent ─ file of loans ─► lender ◄─ TLS, raw keys ─ guests
//!       ◄─ report ────────
//! ```
//!
//! # Why a process of its own
//! It answers strangers, which the agent (root) must not. The door must not do it either: it holds keys of domains, may not write to disks, and carries
//! traffic that no sync of sixteen megabytes should hold up. So it is a third one, with a user of its own, without any right, under landlock.
//!
//! # On failure
//! Killed at any moment it leaves whole objects and files that the next one takes away. It needs no agent: it goes on with the loans that it was told. Guests
//! send again what was cut.

pub mod account;
pub mod crowd;
pub mod days;
pub mod effects;
mod files;
pub mod house;
pub mod limits;
pub mod loans;
pub mod privileges;
pub mod report;
pub mod start;
pub mod talk;
pub mod vault;
