//! Volumes on real loop devices. Root, loop devices, e2fsprogs, xfsprogs and util-linux are needed; a test that lacks one says so and is skipped.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod findings;
mod freeze;
mod host;
mod life;
mod scratch;
mod together;
mod trees;
mod world;
