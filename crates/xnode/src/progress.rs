//! Progress of a step.

use std::time::Duration;

/// Progress of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// It goes on; asking again before has no use.
    Wait(Duration),
    /// Nothing is left to do.
    Rest,
}
