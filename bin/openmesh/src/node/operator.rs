//! Settings of `node.toml` for whoever operates a node: its role, and what wakes its operator. `docs/spec/operators.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Role that a node is meant to have. Its key alone makes it a validator: where the ledger does not have it, the node says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum MeantRole {
    /// Takes part in consensus: its key is in the validator set, or will be.
    Validator,
    /// Follows the ledger and answers: blocks of a fortnight.
    Full,
    /// Follows the ledger and keeps every block for ever.
    Archive,
}

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// Blocks of the last hundred without this validator's signature from which a person is warned; five times as many are critical.
    pub missed_blocks: u32,
    /// Free disk, in MiB, below which a person is warned; a quarter of it is critical.
    pub disk_free_mib: u64,
    /// Time by which this machine's clock may differ from its peers', in milliseconds, before a person is warned. The ledger refuses blocks
    /// that are two seconds ahead, so 1,500 are critical.
    pub clock_ms: u64,
    /// Receivers by name, told what opens, becomes worse and closes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub webhooks: BTreeMap<String, Webhook>,
}

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts { missed_blocks: 10, disk_free_mib: 2_048, clock_ms: 500, webhooks: BTreeMap::new() }
    }
}

/// A receiver of alerts (Standard Webhooks 1.0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its address.
    pub url: String,
    /// File with the key of signatures, in the home or elsewhere; nobody but its owner reads it.
    pub secret_file: PathBuf,
    /// Addresses of this machine and of private networks are allowed, and unencrypted ones.
    #[serde(default)]
    pub private: bool,
}
