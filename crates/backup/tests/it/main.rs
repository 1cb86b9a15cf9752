//! Tests of backups as callers see them.

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
