//! The parent of one instance's first process (clauses of `docs/spec/xnode.md`).
//!
//! # What it owns
//! One instance: the pipes of its first process and their log, the exit of that process, restarts by policy, and a socket on which any agent
//! finds all of it. It knows no image, network, volume or limit: helper programs that it is given make, start and remove the container.
//!
//! # Why a process of its own, and a loop without a runtime
//! Whoever holds an application's pipes and is its parent cannot be stopped, replaced or upgraded without it. So that process does as
//! little as possible, and its private memory, which each instance pays, stays far below a megabyte. It has one thread: what a slow reader, a
//! full disk or a storm of dying children may hold up is bounded by what one turn of [`serve`] does for each.
//!
//! # Why the helper is not the parent
//! A container's library forks without executing, and runc is a program of megabytes. Either lives for a moment below the shim, which is
//! the subreaper of everything below it: the first process becomes its child when the helper ends (or at once, where the helper makes it a
//! sibling). `docs/spec/shim.md` says how helpers are called.
//!
//! # Life, as a rule
//! [`Machine`] is the whole of an instance's life as a pure function from inputs to effects; [`restart`] is the rule of pauses and crash loops.
//! Only the loop touches processes, pipes and sockets.
//!
//! # On failure
//! - An agent that ends, hangs or reads slowly holds up nothing: the shim never waits for a connection.
//! - A full disk drops lines, counts them, and writes the count as soon as there is room. Neither state nor log that cannot be written stops
//!   an instance.
//! - A shim that is asked to end (SIGTERM) ends its instance first, in its own words. One that is killed leaves an orphan, unless the helper gave the
//!   first process a parent-death signal: [`state::look`] and [`state::end_orphan`] are the agent's side of it, and the next shim of the instance does
//!   the same before it begins.
//!
//! # Known limits
//! Writing a log can take as long as the disk makes a write take; while a disk hangs, so do the instance's writes and the shim's answers. After a
//! power cut the last seconds of a log can be missing. Real-time signals cannot be sent. Descriptors that whoever starts a shim leaves open across
//! `exec` are held for as long as it lives (container runtimes close them for the instance): an agent opens everything close-on-exec, as Rust does.

pub mod client;
mod config;
mod instance;
pub mod log;
pub mod machine;
mod peers;
mod process;
pub mod protocol;
mod pump;
pub mod restart;
mod serve;
pub mod signal;
pub mod start;
pub mod state;

pub use config::{
    CONFIG_BYTES_MAX, CONFIG_VERSION, Config, ConfigError, GRACE_MS_MAX, HELPER_MS_MAX, Helpers, LOG_BYTES_MIN, Logs,
    SOCKET_PATH_BYTES_MAX, Stop,
};
pub use machine::Machine;
pub use peers::{PEERS_MAX, STALL_MS_MAX};
pub use serve::{ServeError, serve};
pub use state::StateError;
