//! Parameters of a network, put together from the modules.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::limits::{BLOCK_BYTES_HARD_MAX, TRANSACTION_BYTES_HARD_MAX, in_range};
use crate::modules::accounts::AccountsParams;
use crate::modules::epochs::EpochsParams;
use crate::modules::fees::FeesParams;
use crate::modules::sources::SourcesParams;
use crate::modules::stamps::StampsParams;
use crate::modules::windows::WindowsParams;
use crate::state::{StateError, StateRead, need};

/// A network's parameters. The defaults are for blocks about each second.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Of blocks.
    pub blocks: BlocksParams,
    /// Of accounts.
    pub accounts: AccountsParams,
    /// Of the register of sources.
    pub sources: SourcesParams,
    /// Of windows.
    pub windows: WindowsParams,
    /// Of epochs.
    pub epochs: EpochsParams,
    /// Of fees.
    pub fees: FeesParams,
    /// Of stamps.
    pub stamps: StampsParams,
}

/// Parameters of blocks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlocksParams {
    /// Most bytes of transactions in a block.
    pub block_bytes_max: u64,
    /// Of these, room that account transactions may not take.
    pub attestation_bytes_reserved: u64,
    /// Most transactions in a block, each counted with its weight ([`crate::ActionDescriptor::weight`]).
    pub block_transactions_max: u64,
    /// Most bytes of a transaction.
    pub transaction_bytes_max: u64,
}

impl Default for BlocksParams {
    fn default() -> BlocksParams {
        BlocksParams {
            block_bytes_max: 2 * 1024 * 1024,
            attestation_bytes_reserved: 512 * 1024,
            block_transactions_max: 20_000,
            transaction_bytes_max: 128 * 1024,
        }
    }
}

impl BlocksParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        let rules = [
            (self.block_transactions_max > 0, "blocks.block_transactions_max"),
            ((1..=BLOCK_BYTES_HARD_MAX).contains(&self.block_bytes_max), "blocks.block_bytes_max"),
            (self.attestation_bytes_reserved <= self.block_bytes_max, "blocks.attestation_bytes_reserved"),
            ((1..=TRANSACTION_BYTES_HARD_MAX).contains(&self.transaction_bytes_max), "blocks.transaction_bytes_max"),
            (self.transaction_bytes_max <= self.block_bytes_max, "blocks.transaction_bytes_max"),
        ];
        in_range(&rules)
    }
}

impl Params {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        self.blocks.validate()?;
        self.accounts.validate()?;
        self.sources.validate()?;
        self.windows.validate()?;
        self.epochs.validate()?;
        self.fees.validate()?;
        self.stamps.validate()
    }
}

/// The network's parameters. Fails if the store does, or is not of a network.
pub fn params(state: &dyn StateRead) -> Result<Params, StateError> {
    need(state, keys::PARAMS)
}
