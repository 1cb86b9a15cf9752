//! The beginning of a network. Clause G of `docs/spec/transactions.md`.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, Digest, Height, Timestamp, ValidatorPublicKey, canonical, sha256};
use serde::{Deserialize, Serialize};

use crate::{
    Account, BLOCK_BYTES_HARD_MAX, BlockMeta, EpochRecord, SourceError, SourceRecord, SourceSpec,
    TRANSACTION_BYTES_HARD_MAX, Validator, ValidatorRecord, ValidatorSet, ValidatorSetError, WINDOW_CLOSE_BLOCKS_MAX,
    epoch_seed, keys,
};

/// Everything that the nodes of a network agree on before the first block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The network's number, as in EIP-155.
    pub chain_id: u64,
    /// Name for people.
    pub name: String,
    /// Beginning of the network; the first block is later.
    pub time: Timestamp,
    /// The first validators.
    pub validators: Vec<GenesisValidator>,
    /// Balances; their sum is the supply for ever.
    pub accounts: Vec<(Address, Amount)>,
    /// Sources registered from the beginning.
    pub sources: Vec<SourceSpec>,
    /// Parameters.
    #[serde(default)]
    pub params: Params,
}

/// A validator of the genesis.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// Its key.
    pub public_key: ValidatorPublicKey,
    /// Its voting power.
    pub power: u64,
    /// Name for people.
    pub name: String,
    /// The account that earns its fees; without one they gather under the validator's own address.
    #[serde(default)]
    pub payout: Option<Address>,
}

/// A network's parameters.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// k: how many validators are assigned to a source in an epoch (all, if there are fewer).
    pub assigned_per_source: u32,
    /// Length of an epoch, blocks.
    pub epoch_blocks: u64,
    /// A window closes so many blocks after its first attestation.
    pub window_close_blocks: u64,
    /// So many windows that one validator opened may be open at a time.
    pub open_windows_max: u32,
    /// Least fee of a transaction.
    pub fee_min: Amount,
    /// Least fee of a registration of a source.
    pub source_fee_min: Amount,
    /// Most sources.
    pub sources_max: u32,
    /// Most bytes of transactions in a block.
    pub block_bytes_max: u64,
    /// Of these, room that account transactions may not take.
    pub attestation_bytes_reserved: u64,
    /// Most transactions in a block.
    pub block_transactions_max: u64,
    /// Most bytes of a transaction.
    pub transaction_bytes_max: u64,
}

/// Where a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Tip {
    /// Of the last block; 0 after genesis.
    pub height: Height,
    /// Its hash; after genesis that of the genesis.
    pub block_hash: Digest,
    /// Root of the state after it.
    pub state_root: Digest,
    /// Its time.
    pub time: Timestamp,
}

/// Why a genesis is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not a set of validators.
    #[error("genesis: validators")]
    Validators(#[from] ValidatorSetError),
    /// A source is malformed.
    #[error("genesis: source {id:?}")]
    Source {
        /// Of the source.
        id: String,
        /// Why.
        #[source]
        fault: SourceError,
    },
    /// Twice the same source or account.
    #[error("genesis: {0} stands twice")]
    Twice(String),
    /// The sum of balances does not fit.
    #[error("genesis: the sum of the balances does not fit in 128 bits")]
    Supply,
    /// A parameter is out of range.
    #[error("genesis: params.{0} is out of range")]
    Params(&'static str),
}

impl Default for Params {
    /// For a network of blocks about each second.
    fn default() -> Params {
        Params {
            assigned_per_source: 7,
            epoch_blocks: 120,
            window_close_blocks: 30,
            open_windows_max: 1_024,
            fee_min: Amount(1_000_000_000_000),
            source_fee_min: Amount::open(1),
            sources_max: 1_024,
            block_bytes_max: 2 * 1024 * 1024,
            attestation_bytes_reserved: 512 * 1024,
            block_transactions_max: 20_000,
            transaction_bytes_max: 128 * 1024,
        }
    }
}

impl Params {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let rules = [
            (self.assigned_per_source > 0, "assigned_per_source"),
            (self.epoch_blocks > 0, "epoch_blocks"),
            ((1..=WINDOW_CLOSE_BLOCKS_MAX).contains(&self.window_close_blocks), "window_close_blocks"),
            (self.open_windows_max > 0, "open_windows_max"),
            (self.block_transactions_max > 0, "block_transactions_max"),
            ((1..=BLOCK_BYTES_HARD_MAX).contains(&self.block_bytes_max), "block_bytes_max"),
            (self.attestation_bytes_reserved <= self.block_bytes_max, "attestation_bytes_reserved"),
            ((1..=TRANSACTION_BYTES_HARD_MAX).contains(&self.transaction_bytes_max), "transaction_bytes_max"),
            (self.transaction_bytes_max <= self.block_bytes_max, "transaction_bytes_max"),
        ];
        rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, name)| Err(GenesisError::Params(name)))
    }
}

impl Genesis {
    /// SHA-256 of the canonical bytes: the network's identity and the parent of its first block.
    pub fn hash(&self) -> Digest {
        sha256(&[&canonical::encode(self)])
    }

    /// The first set of validators.
    pub fn validator_set(&self) -> Result<ValidatorSet, ValidatorSetError> {
        ValidatorSet::new(self.validators.iter().map(|v| Validator::new(v.public_key, v.power, &v.name)).collect())
    }

    /// The sum of the balances.
    pub fn supply(&self) -> Option<Amount> {
        self.accounts.iter().try_fold(Amount::ZERO, |sum, (_, balance)| sum.checked_add(*balance))
    }

    /// Checks everything that the rules rely on.
    pub fn validate(&self) -> Result<(), GenesisError> {
        self.validator_set()?;
        self.params.validate()?;
        let mut names = BTreeSet::new();
        for source in &self.sources {
            source.validate().map_err(|fault| GenesisError::Source { id: source.id.clone(), fault })?;
            if !names.insert(source.id.clone()) {
                return Err(GenesisError::Twice(format!("source {}", source.id)));
            }
        }
        if self.sources.len() > self.params.sources_max as usize {
            return Err(GenesisError::Params("sources_max"));
        }
        let mut addresses = BTreeSet::new();
        if let Some((address, _)) = self.accounts.iter().find(|(address, _)| !addresses.insert(*address)) {
            return Err(GenesisError::Twice(format!("account {address}")));
        }
        self.supply().map(|_| ()).ok_or(GenesisError::Supply)
    }
}

/// The state before the first block.
pub fn initial_state(genesis: &Genesis) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, GenesisError> {
    genesis.validate()?;
    let validators = genesis.validator_set()?;
    let mut state = BTreeMap::new();
    let mut put = |key: Vec<u8>, value: Vec<u8>| state.insert(key, value);
    put(keys::CHAIN_ID.to_vec(), canonical::encode(&genesis.chain_id));
    put(keys::PARAMS.to_vec(), canonical::encode(&genesis.params));
    put(keys::BLOCK.to_vec(), canonical::encode(&BlockMeta { height: 0, time: genesis.time }));
    put(keys::SUPPLY.to_vec(), canonical::encode(&genesis.supply().ok_or(GenesisError::Supply)?));
    put(keys::SOURCE_COUNT.to_vec(), canonical::encode(&(genesis.sources.len() as u32)));
    put(keys::VALIDATORS_CURRENT.to_vec(), canonical::encode(&validators));
    put(keys::VALIDATORS_NEXT.to_vec(), canonical::encode(&validators));
    for validator in &genesis.validators {
        let record = ValidatorRecord::new(validator.public_key, &validator.name, validator.payout);
        put(keys::validator(&validator.public_key.address()), canonical::encode(&record));
    }
    for (address, balance) in &genesis.accounts {
        put(keys::account(address), canonical::encode(&Account { balance: *balance, nonce: 0 }));
    }
    for spec in &genesis.sources {
        let record = SourceRecord { spec: spec.clone(), owner: None, registered_height: 0, active_from_epoch: 0 };
        put(keys::source(&spec.id), canonical::encode(&record));
    }
    let first = EpochRecord { seed: epoch_seed(&genesis.hash(), 0), first_height: 1, validators };
    put(keys::epoch(0), canonical::encode(&first));
    Ok(state)
}
