//! Events of a simulated network.

use std::sync::Arc;

/// Something that happens at a moment of virtual time.
pub enum Event {
    /// A message arrives.
    Deliver { to: usize, from: usize, bytes: Arc<Vec<u8>> },
    /// A timer of a validator's life goes off.
    Timer { node: usize, life: u64, id: u64 },
    /// A client hands in a transfer.
    Transfer,
    /// A window of all sources ends by the venues' clocks.
    Window { number: u64 },
    /// A validator's collector closes a window.
    Close { node: usize, source: usize, number: u64 },
    /// A validator that copies looks at what the others have said of a window.
    Copy { node: usize, source: usize, number: u64 },
    /// A validator's process ends, and power goes.
    Crash { node: usize },
    /// A validator's disk fails in the middle of what comes.
    Tear { node: usize },
    /// A validator's disk is full until that moment.
    Fill { node: usize, until: u64 },
    /// A validator's process starts.
    Restart { node: usize },
    /// Validators vote on upgrades, and an account sets a note.
    Ballots,
    /// A validator gets a program that knows every rule set.
    Install { node: usize },
    /// The network parts or joins.
    Part,
    /// The network joins.
    Join,
    /// Sizes are written down.
    Measure,
    /// Nothing is broken any more.
    Heal,
}
