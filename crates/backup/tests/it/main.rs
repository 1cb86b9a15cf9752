//! Tests of backups as callers see them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bucket;
mod concurrent;
mod conformance;
mod crash;
mod fill;
mod flips;
mod folder;
mod golden;
mod life;
mod meter;
mod odd;
mod prune;
mod s3;
mod world;
