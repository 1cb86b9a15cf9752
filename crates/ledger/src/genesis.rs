//! The beginning of a network. Clause G of `docs/spec/transactions.md`.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, Digest, Timestamp, ValidatorPublicKey, canonical, sha256};
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::modules::accounts::Account;
use crate::modules::beacon::first_beacon;
use crate::modules::epochs::{CurrentEpoch, DRAWN_AHEAD_EPOCHS, EpochRecord, epoch_seed, turns_seed};
use crate::modules::sources::{SourceError, SourceRecord, SourceSpec};
use crate::modules::supply::{Allocation, AllocationError};
use crate::modules::validators::{NearTurns, Validator, ValidatorRecord, ValidatorSet, ValidatorSetError};
use crate::params::Params;
use crate::rules::BlockMeta;

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
    /// Balances, which are taken from the pool that the allocation names for them.
    pub accounts: Vec<(Address, Amount)>,
    /// Sources registered from the beginning.
    pub sources: Vec<SourceSpec>,
    /// Accounts that may change and retire these sources, by the source's id. Nobody can change one that is not named here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub source_owners: BTreeMap<String, Address>,
    /// Parameters.
    #[serde(default)]
    pub params: Params,
    /// The whole supply in named pools, and what is granted of them beside the balances.
    #[serde(default)]
    pub allocation: Allocation,
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

/// A refusal of a genesis.
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
        /// The fault.
        #[source]
        fault: SourceError,
    },
    /// An owner of a source that the genesis does not have.
    #[error("genesis: source_owners: there is no source {0:?} in sources")]
    OwnerOfNothing(String),
    /// Twice the same source or account.
    #[error("genesis: {0} stands twice")]
    Twice(String),
    /// The supply does not stand in its pools to the last unit, or more is granted than they have.
    #[error("genesis: allocation")]
    Allocation(#[from] AllocationError),
    /// A key whose holder could never propose.
    #[error("genesis: validator {0}: its key is no point of the curve, or one of small order, which proves nothing")]
    Key(ValidatorPublicKey),
    /// A parameter is out of range.
    #[error("genesis: params.{0} is out of range")]
    Params(&'static str),
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

    /// Checks everything that the rules rely on.
    pub fn validate(&self) -> Result<(), GenesisError> {
        self.validator_set()?;
        if let Some(validator) = self.validators.iter().find(|validator| !validator.public_key.has_vrf()) {
            return Err(GenesisError::Key(validator.public_key));
        }
        self.params.validate().map_err(GenesisError::Params)?;
        let mut names = BTreeSet::new();
        for source in &self.sources {
            source.validate().map_err(|fault| GenesisError::Source { id: source.id.clone(), fault })?;
            if !names.insert(source.id.clone()) {
                return Err(GenesisError::Twice(format!("source {}", source.id)));
            }
        }
        if let Some(id) = self.source_owners.keys().find(|id| !names.contains(*id)) {
            return Err(GenesisError::OwnerOfNothing(id.clone()));
        }
        if self.sources.len() > self.params.sources.sources_max as usize {
            return Err(GenesisError::Params("sources.sources_max"));
        }
        let mut addresses = BTreeSet::new();
        if let Some((address, _)) = self.accounts.iter().find(|(address, _)| !addresses.insert(*address)) {
            return Err(GenesisError::Twice(format!("account {address}")));
        }
        self.allocation.opening(&self.accounts)?;
        Ok(())
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
    let opening = genesis.allocation.opening(&genesis.accounts)?;
    put(keys::SUPPLY.to_vec(), canonical::encode(&opening.supply()));
    for (spec, pool) in &opening.pools {
        put(keys::pool(spec.name), canonical::encode(pool));
    }
    put(keys::BASE_FEE.to_vec(), canonical::encode(&genesis.params.accounts.fee_min));
    put(keys::SOURCE_COUNT.to_vec(), canonical::encode(&(genesis.sources.len() as u32)));
    put(keys::VALIDATORS_CURRENT.to_vec(), canonical::encode(&validators));
    put(keys::VALIDATORS_NEXT.to_vec(), canonical::encode(&validators));
    for validator in &genesis.validators {
        let record = ValidatorRecord::new(validator.public_key, &validator.name, validator.payout);
        put(keys::validator(&validator.public_key.address()), canonical::encode(&record));
    }
    for (address, balance) in &opening.accounts {
        put(keys::account(address), canonical::encode(&Account { balance: *balance, nonce: 0 }));
    }
    for spec in &genesis.sources {
        let record = SourceRecord {
            spec: spec.clone(),
            owner: genesis.source_owners.get(&spec.id).copied(),
            registered_height: 0,
            registered_time: genesis.time,
            active_from_epoch: 0,
            changed: None,
            retires_from_epoch: None,
        };
        put(keys::source(&spec.id), canonical::encode(&record));
    }
    let current = CurrentEpoch { number: 0, first_height: 0, started: genesis.time };
    put(keys::CURRENT_EPOCH.to_vec(), canonical::encode(&current));
    put(keys::EPOCH_VALIDATORS.to_vec(), canonical::encode(&validators));
    let beacon = first_beacon(&genesis.hash());
    put(keys::BEACON.to_vec(), canonical::encode(&beacon));
    put(keys::TURNS.to_vec(), canonical::encode(&NearTurns::first(turns_seed(&beacon))));
    for epoch in 0..=DRAWN_AHEAD_EPOCHS {
        let seed = epoch_seed(&beacon, epoch);
        let draw = EpochRecord { seed, drawn_height: 0, validators: validators.clone() };
        put(keys::epoch(epoch), canonical::encode(&draw));
    }
    Ok(state)
}
