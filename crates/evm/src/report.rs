//! Results of verification: the checks that were made, those that could not be made, and the reasons for refusing data.

use std::fmt::Display;

use serde::Serialize;

use crate::DOCUMENT_BYTES_MAX;

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of what was compared: `block_hash`, `tx_hashes`, `transactions_root`, `withdrawals_root`, `receipts_root`,
    /// `logs_bloom`, `senders`, `receipt_fields`, `gas_used`, `blob_gas_used`, `positions`, `derived`, `claims`.
    #[serde(rename = "check")]
    pub name: &'static str,
    /// True when it holds.
    pub ok: bool,
    /// The block's own claim: a root, or the number of items. On failure of an item: that item's value.
    pub expected: String,
    /// The computed value.
    pub got: String,
    /// The first item that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Something that could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotVerified {
    /// Name of the check, or of a row's field.
    #[serde(rename = "check")]
    pub what: &'static str,
    /// Missing part.
    pub why: String,
}

/// Result of a verification in which nothing failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Checks made; all hold.
    pub checks: Vec<Check>,
    /// Checks that could not be made.
    pub not_verified: Vec<NotVerified>,
}

/// Reason for refusing data.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not the JSON that a node answers with.
    #[error("{what}: not what an Ethereum node answers: {reason}")]
    Json {
        /// Part of the answer.
        what: String,
        /// Parser's word.
        reason: String,
    },
    /// The node does not have it.
    #[error("{what}: the node answered null, it does not have it")]
    Null {
        /// Part of the answer.
        what: String,
    },
    /// The node answered with an error.
    #[error("{what}: the node answered with error {code}: {message}")]
    Rpc {
        /// Part of the answer.
        what: String,
        /// JSON-RPC's code.
        code: i64,
        /// Its text.
        message: String,
    },
    /// Longer than [`DOCUMENT_BYTES_MAX`].
    #[error("{what}: longer than {DOCUMENT_BYTES_MAX} bytes, too long for one block")]
    TooLarge {
        /// Part of the answer.
        what: String,
    },
    /// A field cannot be as it is in any block.
    #[error("{place} {reason}")]
    Field {
        /// Place of the field.
        place: String,
        /// Fault.
        reason: String,
    },
    /// A check failed.
    #[error("{}", mismatch(.failed, .checks))]
    Mismatch {
        /// The first check that failed.
        failed: Box<Check>,
        /// All checks that were made.
        checks: Vec<Check>,
    },
}

fn mismatch(failed: &Check, checks: &[Check]) -> String {
    let at = failed.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let others = checks.iter().filter(|check| !check.ok && check.name != failed.name);
    let others: Vec<&str> = others.map(|check| check.name).collect();
    let also = if others.is_empty() { String::new() } else { format!(" (also: {})", others.join(", ")) };
    format!("{} does not match{at}: expected {}, computed {}{also}", failed.name, failed.expected, failed.got)
}

impl VerifyError {
    /// The checks that were made before or beside the failure.
    pub fn checks(&self) -> &[Check] {
        match self {
            VerifyError::Mismatch { checks, .. } => checks,
            _ => &[],
        }
    }
}

impl Report {
    /// The report, or the first failure.
    pub(crate) fn judge(self) -> Result<Report, VerifyError> {
        match self.checks.iter().find(|check| !check.ok) {
            None => Ok(self),
            Some(failed) => Err(VerifyError::Mismatch { failed: Box::new(failed.clone()), checks: self.checks }),
        }
    }

    pub(crate) fn compare(&mut self, name: &'static str, expected: impl Display, got: impl Display) {
        let (expected, got) = (expected.to_string(), got.to_string());
        self.checks.push(Check { name, ok: expected == got, expected, got, at: None });
    }

    pub(crate) fn skip(&mut self, what: &'static str, why: impl Into<String>) {
        self.not_verified.push(NotVerified { what, why: why.into() });
    }

    pub(crate) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }
}
