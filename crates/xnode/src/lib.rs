//! The agent of an Xnode: from a generation to a machine that is as it says (clauses of `docs/spec/xnode.md`).
//!
//! # What it owns
//! Two pointers, marks, and the order of effects. Everything else is asked of the rooms that own it: what is wanted of `blueprint`, containers of `cage`, their
//! parents of `shim`, networks of `links`, data of `volume`, images of `image`.
//!
//! # The loop
//! [`Agent::step`] looks at the machine, plans, and does the first step of the plan; [`Agent::converge`] repeats that until nothing is left to do, or until
//! something has to be waited for. There is no journal: after any death the next look finds what was done, and the next plan goes on from there.
//!
//! # Marks
//! What cannot be observed later is a whole file beside the thing itself ([`marks`]), written before the effect that it allows.
//!
//! # On failure
//! A step that fails leaves what it found; the error names the step, and the same step is first in the next plan. What a step left half done the room below
//! finishes or takes back when it is asked again.

pub mod agent;
mod applications;
mod begun;
mod chores;
pub mod door;
mod error;
pub mod events;
mod execute;
pub mod files;
mod gpus;
mod guard;
mod health;
mod host;
mod in_use;
pub mod inside;
mod instance;
pub mod jobs;
mod kept;
mod long;
pub mod look;
pub mod machine;
pub mod marks;
mod memory;
mod network;
mod observe;
pub mod paths;
pub mod preflight;
pub mod processes;
mod progress;
mod readback;
pub mod restarts;
mod shims;
mod texts;
pub mod usage;
pub mod words;

pub use agent::{Agent, Turn};
pub use error::XnodeError;
pub use events::{Event, EventKind};
pub use execute::jobs::{Planned, RunOf};
pub use in_use::InUse;
pub use machine::{Machine, Programs};
pub use paths::Paths;
pub use progress::Progress;

/// Door of the caller that every effect passes, before it and after it. An error at the door is the effect's error.
pub type Door<'a> = &'a (dyn Fn(&str) -> std::io::Result<()> + Sync);

/// Registry of references that mean this machine: its images are made here. Source: `.internal` is for private use, and no registry on the Internet can have it.
pub const OWN_REGISTRY: &str = "xnode.internal";

/// The door that lets everything pass.
///
/// # Errors
/// None.
pub fn open(_: &str) -> std::io::Result<()> {
    Ok(())
}
