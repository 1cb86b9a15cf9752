//! Values that are the same for all transactions of a block: read once for each block, not for each of them.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Amount, Height, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::EnvelopeError;
use crate::keys;
use crate::modules::accounts::{Account, supply};
use crate::modules::epochs::{self, CurrentEpoch};
use crate::modules::windows::{WINDOW_AHEAD_MEMPOOL_MS_MAX, WINDOW_AHEAD_MS_MAX};
use crate::params::{Params, params};
use crate::state::{StateError, StateRead, need};

/// Height and time of the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct BlockMeta {
    /// 0 after genesis.
    pub height: Height,
    /// The block's time.
    pub time: Timestamp,
}

/// The rules' view of a block beside the state itself.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub params: Params,
    pub chain_id: u64,
    pub epoch: u64,
    pub time: Timestamp,
    /// Of the block.
    pub height: Height,
    /// Longest time by which a window's end may lie after the block's, milliseconds.
    pub window_ahead_ms_max: i64,
    /// For a transaction that waits for a block: what it needs may come with a block that this node has not seen.
    pub waits: bool,
    supply: Amount,
}

/// The network's number. Fails if the store does, or is not of a network.
pub(crate) fn chain_id(state: &dyn StateRead) -> Result<u64, StateError> {
    need(state, keys::CHAIN_ID)
}

/// Height and time of the last block. Fails if the store does, or is not of a network.
pub fn block_meta(state: &dyn StateRead) -> Result<BlockMeta, StateError> {
    need(state, keys::BLOCK)
}

/// The epoch of the last block, under which a validator that attests now acts. Fails if the store does.
pub fn current_epoch(state: &dyn StateRead) -> Result<u64, StateError> {
    Ok(epochs::current_epoch_record(state)?.number)
}

/// The epoch of a block of this time: the next one begins with the first block that comes a whole length after the beginning
/// of the current one. Epochs are never skipped, however late that block is.
fn epoch_at(current: &CurrentEpoch, time: Timestamp, params: &Params) -> u64 {
    let passed_ms = i128::from(time.millis()) - i128::from(current.started.millis());
    let is_over = current.first_height > 0 && passed_ms >= i128::from(params.epochs.epoch_ms);
    current.number + u64::from(is_over)
}

impl Rules {
    /// For a block of this height and time.
    pub fn of_block(state: &dyn StateRead, height: Height, time: Timestamp) -> Result<Rules, StateError> {
        let params = params(state)?;
        let epoch = epoch_at(&epochs::current_epoch_record(state)?, time, &params);
        let window_ahead_ms_max = WINDOW_AHEAD_MS_MAX;
        let (chain_id, supply) = (chain_id(state)?, supply(state)?);
        Ok(Rules { chain_id, epoch, time, height, supply, window_ahead_ms_max, waits: false, params })
    }

    /// For a transaction that waits: the last block stands in for the next.
    pub fn of_mempool(state: &dyn StateRead) -> Result<Rules, StateError> {
        let meta = block_meta(state)?;
        let rules = Rules::of_block(state, meta.height, meta.time)?;
        let height = meta.height + 1;
        Ok(Rules { window_ahead_ms_max: WINDOW_AHEAD_MEMPOOL_MS_MAX, height, waits: true, ..rules })
    }

    /// Refuses a transaction that is too large for the network.
    pub fn size(&self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        let (bytes, bytes_max) = (bytes.len() as u64, self.params.blocks.transaction_bytes_max);
        if bytes > bytes_max { Err(EnvelopeError::Size { bytes, bytes_max }) } else { Ok(()) }
    }

    /// Refuses a transaction of another network.
    pub fn chain(&self, got: u64) -> Result<(), EnvelopeError> {
        let expected = self.chain_id;
        if got == expected { Ok(()) } else { Err(EnvelopeError::Chain { expected, got }) }
    }

    /// Adds to a balance. No balance can exceed the supply; if one would, the state is not one that these rules made.
    pub fn credit(&self, account: Account, amount: Amount) -> Result<Account, StateError> {
        match account.balance.checked_add(amount) {
            Some(balance) if balance <= self.supply => Ok(Account { balance, ..account }),
            _ => Err(StateError::Damaged {
                key: "account/".to_string(),
                reason: format!("a balance would exceed the supply of {}", self.supply),
            }),
        }
    }
}
