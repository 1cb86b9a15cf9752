//! Shims with real processes: `/bin/sh` is the container, made by a helper that does nothing but leave it behind. No root is needed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod agents;
mod disk;
mod lives;
mod logs;
mod world;
