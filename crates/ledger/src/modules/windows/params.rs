//! Parameters of windows.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::limits::WINDOW_CLOSE_BLOCKS_MAX;
use crate::limits::in_range;

/// Parameters of windows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowsParams {
    /// Number of blocks after its first attestation at whose end a window closes.
    pub window_close_blocks: u64,
    /// Most windows that one validator opened and that are still open.
    pub open_windows_max: u32,
}

impl Default for WindowsParams {
    fn default() -> WindowsParams {
        WindowsParams { window_close_blocks: 30, open_windows_max: 1_024 }
    }
}

impl WindowsParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[
            ((1..=WINDOW_CLOSE_BLOCKS_MAX).contains(&self.window_close_blocks), "windows.window_close_blocks"),
            (self.open_windows_max > 0, "windows.open_windows_max"),
        ])
    }
}
