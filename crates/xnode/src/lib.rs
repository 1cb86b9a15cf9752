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
pub mod door;
mod error;
mod execute;
mod health;
mod host;
mod instance;
pub mod look;
pub mod machine;
pub mod marks;
mod network;
mod observe;
pub mod paths;
pub mod preflight;
mod progress;
mod shims;
pub mod words;

pub use agent::{Agent, Turn};
pub use error::XnodeError;
pub use machine::{Machine, Programs};
pub use paths::Paths;
pub use progress::Progress;

/// Door of the caller that every effect passes, before it and after it. An error at the door is the effect's error.
pub type Door<'a> = &'a (dyn Fn(&str) -> std::io::Result<()> + Sync);

/// The door that lets everything pass.
///
/// # Errors
/// None.
pub fn open(_: &str) -> std::io::Result<()> {
    Ok(())
}
