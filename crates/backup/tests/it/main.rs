//! Tests of backups as callers see them.

mod bench;
mod concurrent;
mod crash;
mod flips;
mod golden;
mod life;
mod odd;
mod prune;
mod world;
