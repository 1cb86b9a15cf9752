//! Parameters of windows.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::limits::{COMMIT_GRACE_MS_MAX, WINDOW_CLOSE_BLOCKS_MAX};
use crate::limits::in_range;

/// Parameters of windows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowsParams {
    /// Number of blocks at whose end a window closes: after its first attestation, or after that in which more than a third of the power
    /// had committed.
    pub window_close_blocks: u64,
    /// Most windows that one validator has open, counting those that it opened in this epoch and of which no more than a
    /// third of the power spoke. Attestations are free; this bounds what one validator can add to the state alone.
    pub open_windows_max: u32,
    /// A window may lie so many windows before the last one that closed with credible attestations.
    pub windows_back_max: u64,
    /// Validators commit to what they will say of a window before anybody says it, so that nobody can copy another's work.
    pub commitments: bool,
    /// Time for which commitments are still taken after more than two thirds of the assigned power has committed, milliseconds of block
    /// time and at least one block: for those whose collectors were a little later, as where a quiet stream's window ends with a
    /// heartbeat.
    pub commit_grace_ms: u64,
}

impl Default for WindowsParams {
    fn default() -> WindowsParams {
        WindowsParams {
            window_close_blocks: 30,
            open_windows_max: 1_024,
            windows_back_max: 8_640,
            commitments: true,
            commit_grace_ms: 2_000,
        }
    }
}

impl WindowsParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[
            ((1..=WINDOW_CLOSE_BLOCKS_MAX).contains(&self.window_close_blocks), "windows.window_close_blocks"),
            (self.open_windows_max > 0, "windows.open_windows_max"),
            (self.windows_back_max > 0, "windows.windows_back_max"),
            (self.commit_grace_ms <= COMMIT_GRACE_MS_MAX, "windows.commit_grace_ms"),
        ])
    }
}
