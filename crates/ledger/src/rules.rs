//! Values that are the same for all transactions of a block: read once for each block, not for each of them.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Amount, Height, Timestamp};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::error::EnvelopeError;
use crate::keys;
use crate::modules::accounts::Account;
use crate::modules::epochs::{self, CurrentEpoch};
use crate::modules::fees;
use crate::modules::supply::SUPPLY_CAP;
use crate::modules::upgrades::{UpgradesError, rules_in_force};
use crate::modules::windows::{WINDOW_AHEAD_MEMPOOL_MS_MAX, WINDOW_AHEAD_MS_MAX};
use crate::params::{Params, params};
use crate::rule_set::{RegisteredRules, RuleSets, RulesError};
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
    /// Base fee of a unit of weight in the block.
    pub base_fee: Amount,
    /// Version of the rule set in force.
    pub version: u32,
    sets: RuleSets,
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
    /// For a block of this height and time under a version.
    pub fn of_block(
        sets: &RuleSets,
        version: u32,
        state: &dyn StateRead,
        height: Height,
        time: Timestamp,
    ) -> Result<Rules, StateError> {
        let params = params(state)?;
        let epoch = epoch_at(&epochs::current_epoch_record(state)?, time, &params);
        let (window_ahead_ms_max, waits, sets) = (WINDOW_AHEAD_MS_MAX, false, sets.clone());
        let (chain_id, base_fee) = (chain_id(state)?, fees::base_fee(state)?);
        Ok(Rules { chain_id, epoch, time, height, base_fee, window_ahead_ms_max, waits, version, sets, params })
    }

    /// For a transaction that waits: the last block stands in for the next, also in the rules. Of the rule set that the next block
    /// may bring there is no state yet; what it refuses, the proposer leaves out.
    pub fn of_mempool(sets: &RuleSets, state: &dyn StateRead) -> Result<Rules, RulesError> {
        let (meta, version) = (block_meta(state)?, rules_in_force(state)?.version);
        sets.know(version, meta.height + 1, || None)?;
        let rules = Rules::of_block(sets, version, state, meta.height, meta.time)?;
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

    /// Refuses an action that the rule set in force does not have.
    pub fn action(&self, action: &Action) -> Result<(), UpgradesError> {
        let (tag, version) = (action.tag(), self.version);
        if self.sets.has_action(version, tag) { Ok(()) } else { Err(UpgradesError::ActionNotInForce { tag, version }) }
    }

    /// The rules of registered actions.
    pub fn registered(&self) -> Option<RegisteredRules> {
        self.sets.registered(self.version)
    }

    /// Adds to a balance. No balance can exceed the cap; if one would, the state is not one that these rules made.
    pub fn credit(&self, account: Account, amount: Amount) -> Result<Account, StateError> {
        match account.balance.checked_add(amount) {
            Some(balance) if balance <= SUPPLY_CAP => Ok(Account { balance, ..account }),
            _ => Err(StateError::Damaged {
                key: "account/".to_string(),
                reason: format!("a balance would exceed the cap of {SUPPLY_CAP}"),
            }),
        }
    }
}
