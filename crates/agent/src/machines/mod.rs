//! Machines that join an Xnode (X-140 to X-146): invitations and the list at the one that is joined, its *host*; joining, reports and leaving at the other.
//!
//! # What it owns
//! The line of an invitation, the mark of a machine that has joined, its reports, and what was heard of machines here. Tokens, owners and the list itself are those
//! of `openmesh_access`.
//!
//! ```text
//! STATE/join.json      the host that this machine has joined, with its own token, sealed
//!       machines.json  last reports that were heard here, at most ten minutes old after a death of the agent
//! ```
//!
//! # Shape
//! A machine that joins asks its host, and reports to it; the host never asks a machine, and has no right there. What was heard last is kept from time to
//! time: each machine tells it anew within moments, and of one that does not, people see when it was.
//!
//! # On failure
//! The mark is durable before anything is asked, and the machine's token stays the same: a join that was cut goes on with the same line. A host that is away
//! changes nothing on this machine.

mod addresses;
mod book;
mod error;
mod guest;
mod host;
mod line;
mod report;
pub mod views;

pub(crate) use book::Machines;
pub use error::JoinError;
pub(crate) use guest::{join, leave, look};
pub(crate) use host::{invite, list};

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::service::Service;

/// Sees that a text is the line of an invitation, before anything is done for it.
///
/// # Errors
/// It is none, a part of it lacks, or it cannot be used.
pub fn check_line(text: &str) -> Result<(), JoinError> {
    line::Line::parse(text)?;
    Ok(())
}

/// Starts the task of reports: those of this machine, and those that are heard here. It ends once the sender of `stays` is gone.
pub(crate) fn start(service: Arc<Service>, stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::join!(guest::reports(&service, stays.clone()), host::keep(&service, stays));
    })
}
