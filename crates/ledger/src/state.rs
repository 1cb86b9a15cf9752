//! Reading the state: the trait that storage implements, records, and an overlay for reading through writes.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, ContentId, Digest, Height, Timestamp, ValidatorPublicKey, canonical};
use serde::{Deserialize, Serialize};

use crate::{LedgerIncident, Params, SourceSpec, ValidatorSet, keys};

/// The state cannot be read: this node's own store is broken, or not of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error("the state cannot be read: {0}")]
    Read(String),
    /// A value that is not what its key promises.
    #[error("the state's value under {key:?} is damaged: {reason}")]
    Damaged {
        /// The key, readable.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A value that must be there is not.
    #[error("the state has no value under {0:?}, which every state of a network has")]
    Absent(String),
}

/// Keys and values, in ascending order of key.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A state that can be read: a consistent view that does not change while it is held.
pub trait StateRead {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Keys with this prefix in ascending order, beginning at `from` (inclusive), at most `limit`.
    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError>;
}

/// An account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Account {
    /// In units of 10^-18 OPEN.
    pub balance: Amount,
    /// How many transactions it has sent.
    pub nonce: u64,
}

/// Height and time of the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct BlockMeta {
    /// 0 after genesis.
    pub height: Height,
    /// The block's time.
    pub time: Timestamp,
}

/// What the ledger remembers about a validator.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ValidatorRecord {
    /// Its key.
    pub public_key: ValidatorPublicKey,
    /// Name for people.
    pub name: String,
    /// The account that earns its fees.
    pub payout: Option<Address>,
    /// Blocks it proposed.
    pub proposed: u64,
    /// Windows it attested.
    pub attested: u64,
    /// Streams in which it differed from the accepted outcome.
    pub differing: u64,
    /// Windows that it was assigned to and did not attest.
    pub missing: u64,
    /// Windows that it opened and that are not closed yet.
    pub open_windows: u32,
    /// Blocks whose commit, as the next block has it, lacks its signature.
    pub unsigned: u64,
    /// Heights at which it was shown to have signed two conflicting messages.
    pub equivocations: u64,
}

/// A registered source.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SourceRecord {
    /// As registered.
    pub spec: SourceSpec,
    /// Who registered it; `None`: the genesis.
    pub owner: Option<Address>,
    /// When.
    pub registered_height: Height,
    /// It takes attestations from this epoch on: one whose seed nobody knew when the id was chosen.
    pub active_from_epoch: u64,
}

/// How far a source has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SourceProgress {
    /// The highest window that closed with attestations of more than a third of the assigned power.
    pub last_window: Option<u64>,
    /// How many windows have closed.
    pub windows_closed: u64,
    /// How many chunks were accepted.
    pub chunks_accepted: u64,
    /// How many streams closed without agreement.
    pub streams_disputed: u64,
}

/// An epoch's seed and the validators that are assigned by it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EpochRecord {
    /// [`crate::epoch_seed`].
    pub seed: Digest,
    /// Height of its first block.
    pub first_height: Height,
    /// The set at that height.
    pub validators: ValidatorSet,
}

/// A chunk that the network agreed on. Its key names source, window and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AcceptedChunk {
    /// CID of the canonical bytes.
    pub cid: ContentId,
    /// Their number.
    pub bytes: u64,
    /// Number of events.
    pub events: u32,
    /// Height at which it was accepted.
    pub height: Height,
}

/// A validator that differed in a stream.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Differing {
    /// `<symbol>/<feed>`.
    pub stream: String,
    /// Who.
    pub validator: Address,
}

/// A window of a source.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The epoch that the first attestation pinned.
    pub epoch: u64,
    /// The validators assigned in it, and their power, in ascending order of address.
    pub assigned: Vec<(Address, u64)>,
    /// Who opened it.
    pub opened_by: Address,
    /// When.
    pub opened_height: Height,
    /// It closes at the end of this block.
    pub closes_at: Height,
    /// Whether it has closed.
    pub closed: bool,
    /// Who attested, in the order of inclusion.
    pub attested: Vec<Address>,
    /// How many chunks were accepted.
    pub accepted: u32,
    /// Streams of which more than two thirds of the power said that there is no chunk while somebody claimed one.
    pub absent: Vec<String>,
    /// Who differed in what.
    pub differing: Vec<Differing>,
    /// Streams without agreement, known when it closes.
    pub disputed: Vec<String>,
}

impl ValidatorRecord {
    /// Of a validator that has done nothing yet.
    pub fn new(public_key: ValidatorPublicKey, name: &str, payout: Option<Address>) -> ValidatorRecord {
        ValidatorRecord {
            public_key,
            name: name.to_string(),
            payout,
            proposed: 0,
            attested: 0,
            differing: 0,
            missing: 0,
            open_windows: 0,
            unsigned: 0,
            equivocations: 0,
        }
    }

    /// The account that earns its fees.
    pub fn earner(&self) -> Address {
        self.payout.unwrap_or_else(|| self.public_key.address())
    }
}

impl WindowRecord {
    /// Sum of the assigned power.
    pub fn assigned_power(&self) -> u64 {
        self.assigned.iter().map(|(_, power)| power).sum()
    }

    /// Power of one assigned validator.
    pub fn power_of(&self, validator: &Address) -> Option<u64> {
        self.assigned.iter().find(|(address, _)| address == validator).map(|(_, power)| *power)
    }

    /// Power of those that attested.
    pub fn attested_power(&self) -> u64 {
        self.attested.iter().filter_map(|v| self.power_of(v)).sum()
    }

    /// Assigned validators that have not attested.
    pub fn not_attested(&self) -> Vec<Address> {
        self.assigned.iter().map(|(address, _)| *address).filter(|a| !self.attested.contains(a)).collect()
    }
}

/// A key as people can read it: printable bytes as they are, others as `\xNN`.
pub(crate) fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Reads and decodes.
pub(crate) fn read<T: BorshDeserialize>(state: &impl StateRead, key: &[u8]) -> Result<Option<T>, StateError> {
    state.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
}

fn decode<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, StateError> {
    canonical::decode(bytes).map_err(|e| StateError::Damaged { key: readable(key), reason: e.to_string() })
}

fn need<T: BorshDeserialize>(state: &impl StateRead, key: &[u8]) -> Result<T, StateError> {
    read(state, key)?.ok_or_else(|| StateError::Absent(readable(key)))
}

/// The network's number.
pub(crate) fn chain_id(state: &impl StateRead) -> Result<u64, StateError> {
    need(state, keys::CHAIN_ID)
}

/// The network's parameters.
pub fn params(state: &impl StateRead) -> Result<Params, StateError> {
    need(state, keys::PARAMS)
}

/// Height and time of the last block.
pub fn block_meta(state: &impl StateRead) -> Result<BlockMeta, StateError> {
    need(state, keys::BLOCK)
}

/// The supply as fixed by the genesis.
pub fn supply(state: &impl StateRead) -> Result<Amount, StateError> {
    need(state, keys::SUPPLY)
}

/// The validators of the next block.
pub fn validators(state: &impl StateRead) -> Result<ValidatorSet, StateError> {
    need(state, keys::VALIDATORS_CURRENT)
}

/// The validators that decided the last block; `None` before the first one.
pub fn last_validators(state: &impl StateRead) -> Result<Option<ValidatorSet>, StateError> {
    read(state, keys::VALIDATORS_LAST)
}

/// The validators of the block after the next.
pub fn next_validators(state: &impl StateRead) -> Result<ValidatorSet, StateError> {
    need(state, keys::VALIDATORS_NEXT)
}

/// An account; one that never received anything is empty.
pub fn account(state: &impl StateRead, address: &Address) -> Result<Account, StateError> {
    Ok(read(state, &keys::account(address))?.unwrap_or_default())
}

/// What the ledger remembers about a validator.
pub fn validator_record(state: &impl StateRead, address: &Address) -> Result<Option<ValidatorRecord>, StateError> {
    read(state, &keys::validator(address))
}

/// A source.
pub fn source(state: &impl StateRead, id: &str) -> Result<Option<SourceRecord>, StateError> {
    read(state, &keys::source(id))
}

/// All sources in ascending order of id; [`Params::sources_max`] bounds them.
pub fn sources(state: &impl StateRead) -> Result<Vec<SourceRecord>, StateError> {
    let all = state.scan(keys::SOURCES, None, params(state)?.sources_max as usize)?;
    all.iter().map(|(key, value)| decode(key, value)).collect()
}

/// How far a source has come.
pub fn source_progress(state: &impl StateRead, id: &str) -> Result<SourceProgress, StateError> {
    Ok(read(state, &keys::progress(id))?.unwrap_or_default())
}

/// An epoch's record, for the current epoch and [`crate::EPOCHS_KEPT`] before it.
pub fn epoch(state: &impl StateRead, number: u64) -> Result<Option<EpochRecord>, StateError> {
    read(state, &keys::epoch(number))
}

/// A window of a source.
pub fn window(state: &impl StateRead, source: &str, number: u64) -> Result<Option<WindowRecord>, StateError> {
    read(state, &keys::window(source, number))
}

/// An accepted chunk.
pub fn chunk(
    state: &impl StateRead,
    source: &str,
    window: u64,
    stream: &str,
) -> Result<Option<AcceptedChunk>, StateError> {
    read(state, &keys::chunk(source, window, stream))
}

/// One incident.
pub fn incident(state: &impl StateRead, height: Height, number: u32) -> Result<Option<LedgerIncident>, StateError> {
    read(state, &keys::incident(height, number))
}

/// Incidents from a height on, oldest first.
pub fn incidents(state: &impl StateRead, from: Height, limit: usize) -> Result<Vec<LedgerIncident>, StateError> {
    let found = state.scan(keys::INCIDENTS, Some(&keys::incidents_at(from)), limit)?;
    found.iter().map(|(key, value)| decode(key, value)).collect()
}

/// Adds up all accounts: their sum, and whether it is the supply. Reads every account; for tests and `doctor`.
pub fn check_supply(state: &impl StateRead) -> Result<(Amount, bool), StateError> {
    const PAGE: usize = 1_024;
    let mut sum = Amount::ZERO;
    let mut from: Option<Vec<u8>> = None;
    loop {
        let page = state.scan(keys::ACCOUNTS, from.as_deref(), PAGE)?;
        for (key, value) in &page {
            let account: Account = decode(key, value)?;
            let reason = || "the sum of the balances does not fit in 128 bits".to_string();
            sum = sum
                .checked_add(account.balance)
                .ok_or_else(|| StateError::Damaged { key: readable(key), reason: reason() })?;
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => from = Some([key.as_slice(), &[0]].concat()),
            _ => return Ok((sum, sum == supply(state)?)),
        }
    }
}

impl StateRead for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        let start = from.map_or(prefix, |from| from.max(prefix));
        let found = self.range(start.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl<S: StateRead> StateRead for &S {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        (**self).get(key)
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        (**self).scan(prefix, from, limit)
    }
}

/// A state read through writes that are not stored yet.
#[derive(Clone, Debug)]
pub struct Overlay<S> {
    base: S,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<S: StateRead> Overlay<S> {
    /// No writes yet.
    pub const fn new(base: S) -> Overlay<S> {
        Overlay { base, writes: BTreeMap::new() }
    }

    /// Writes a value in its canonical form.
    pub fn put<T: BorshSerialize>(&mut self, key: Vec<u8>, value: &T) {
        self.writes.insert(key, Some(canonical::encode(value)));
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// The writes.
    pub fn into_writes(self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.writes
    }
}

impl<S: StateRead> StateRead for Overlay<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        let mut found = Vec::new();
        let mut cursor = from.map_or(prefix, |from| from.max(prefix)).to_vec();
        while found.len() < limit {
            let page = self.base.scan(prefix, Some(&cursor), limit)?;
            let last = (page.len() == limit).then(|| page.last().map(|(key, _)| key.clone())).flatten();
            let mut merged: BTreeMap<Vec<u8>, Option<Vec<u8>>> = page.into_iter().map(|(k, v)| (k, Some(v))).collect();
            let written = self
                .writes
                .range(cursor..)
                .take_while(|(key, _)| key.starts_with(prefix) && last.as_ref().is_none_or(|last| *key <= last));
            merged.extend(written.map(|(key, value)| (key.clone(), value.clone())));
            found.extend(merged.into_iter().filter_map(|(key, value)| Some((key, value?))));
            match last {
                Some(last) => cursor = [last.as_slice(), &[0]].concat(),
                None => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}
