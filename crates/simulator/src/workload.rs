//! The work of a network: transfers of accounts, and windows of sources.

use openmesh_duties::{Window, WindowName};
use openmesh_engine::machine::Machine;
use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, ChunkClaim, Commitment, FeeOffer, Genesis,
    GenesisValidator, Origin, Params, Said, SourceKind, SourceSpec, StampsAction, StateError, Transaction, account,
    current_epoch, said, window,
};
use openmesh_primitives::{AccountKey, Address, Amount, ContentId, Timestamp, ValidatorKey, sha256};

use crate::random::Random;

pub const CHAIN_ID: u64 = 77;
/// Virtual time begins here.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Accounts that send transfers.
pub const ACCOUNTS: u64 = 3;
/// The first of four accounts that stamp.
const STAMPERS: u64 = 8;

/// The sources of a network: all have the same streams (`symbol/feed`) and windows.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    pub names: &'static [&'static str],
    pub streams: &'static [&'static str],
    pub window_ms: u64,
}

impl Sources {
    /// The first window that begins after the start of virtual time.
    pub fn first_window(&self) -> u64 {
        (START.millis() as u64).div_ceil(self.window_ms)
    }

    /// The window that every honest collector of a source closes.
    pub fn honest(&self, source: usize, number: u64) -> Window {
        let name = self.names[source];
        let claim = |stream: &&str| claim(stream, honest_chunk(name, number, stream));
        let chunks = self.streams.iter().map(claim).collect();
        Window { name: WindowName { source: name.to_owned(), number }, chunks, abstained: Vec::new() }
    }

    fn spec(&self, name: &str) -> SourceSpec {
        let parts = |at: usize| {
            let of = |stream: &&str| stream.split('/').nth(at).map(str::to_owned);
            let mut parts: Vec<String> = self.streams.iter().filter_map(of).collect();
            parts.sort();
            parts.dedup();
            parts
        };
        SourceSpec {
            id: name.to_owned(),
            exchange: name.to_owned(),
            kind: SourceKind::Market,
            symbols: parts(0),
            feeds: parts(1),
            window_ms: self.window_ms,
            origin: Origin::Simulated,
        }
    }
}

pub fn validator(number: usize) -> ValidatorKey {
    ValidatorKey::from_seed([number as u8 + 1; 32])
}

pub fn account_key(number: u64) -> Option<AccountKey> {
    AccountKey::from_bytes(sha256(&[b"simulated account", &number.to_be_bytes()]).0).ok()
}

/// Validators of equal power, accounts, and these sources.
pub fn sources_genesis(validators: usize, sources: &Sources, params: Params) -> Genesis {
    let of = |number| GenesisValidator {
        public_key: validator(number).public(),
        power: 10,
        name: format!("v{number}"),
        payout: None,
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: "simulated".to_owned(),
        time: START,
        validators: (0..validators).map(of).collect(),
        accounts: (0..16).filter_map(|n| Some((account_key(n)?.address(), Amount::open(1_000_000)))).collect(),
        sources: sources.names.iter().map(|name| sources.spec(name)).collect(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params,
    }
}

pub fn claim(stream: &str, cid: ContentId) -> ChunkClaim {
    ChunkClaim { stream: stream.to_owned(), cid, bytes: 8, events: 1 }
}

/// The chunk that everybody who is honest saw in a window.
pub fn honest_chunk(source: &str, number: u64, stream: &str) -> ContentId {
    ContentId::of(format!("{source} {number} {stream}").as_bytes())
}

/// A signed transfer; `None` if it cannot be signed, which does not happen to a valid key.
pub fn signed_transfer(
    from: &AccountKey,
    to: Address,
    nonce: u64,
    offer: impl Into<FeeOffer>,
    amount: u128,
) -> Option<Transaction> {
    let action = Action::Accounts(AccountsAction::Transfer { to, amount: Amount(amount) });
    AccountTransaction::sign(from, CHAIN_ID, nonce, offer, action).ok().map(Transaction::Account)
}

/// A transfer between two accounts, with the nonce that this validator thinks is next.
pub fn transfer(machine: &Machine, random: &mut Random) -> Result<Option<Vec<u8>>, StateError> {
    let (Some(from), Some(to)) = (account_key(random.below(ACCOUNTS)), account_key(random.below(ACCOUNTS))) else {
        return Ok(None);
    };
    let state = machine.store().state()?;
    let nonce = account(&state, &from.address())?.nonce + random.below(2);
    let amount = 1 + u128::from(random.below(1_000));
    // Some without a tip, some with one, some that leave all but the base fee to the proposer.
    let least = Params::default().accounts.fee_min.0;
    let offer = FeeOffer::new(Amount(least * (2 + amount % 3)), Amount(least * (amount % 4) / 2));
    Ok(signed_transfer(&from, to.address(), nonce, offer, amount).map(|transaction| transaction.encode()))
}

/// A well paid transfer behind a gap of nonces that is never closed.
pub fn nuisance(machine: &Machine, random: &mut Random) -> Result<Option<Vec<u8>>, StateError> {
    let (Some(from), Some(to)) = (account_key(ACCOUNTS + random.below(4)), account_key(0)) else { return Ok(None) };
    let nonce = account(&machine.store().state()?, &from.address())?.nonce + 1 + random.below(1_000);
    let fee = Amount(Params::default().accounts.fee_min.0 * 50);
    Ok(signed_transfer(&from, to.address(), nonce, fee, 1).map(|transaction| transaction.encode()))
}

/// A stamp of a hash that nobody has stamped, with the nonce that this validator thinks is next.
pub fn stamp(machine: &Machine, random: &mut Random) -> Result<Option<Vec<u8>>, StateError> {
    let Some(from) = account_key(STAMPERS + random.below(4)) else { return Ok(None) };
    let nonce = account(&machine.store().state()?, &from.address())?.nonce + random.below(2);
    let hash = sha256(&[b"simulated stamp", &random.number().to_be_bytes()]);
    let action = Action::Stamps(StampsAction::Stamp { hash, topic: "simulated".to_owned(), note: String::new() });
    let least = Params::default().accounts.fee_min.0 * u128::from(action.descriptor().weight);
    let offer = FeeOffer::new(Amount(least * 2), Amount(least / 2));
    let signed = AccountTransaction::sign(&from, CHAIN_ID, nonce, offer, action).ok();
    Ok(signed.map(|signed| Transaction::Account(signed).encode()))
}

/// A liar's commitment and the attestation that opens it: it names what nobody saw. It does not care who reads it early.
pub fn lie(machine: &Machine, number: usize, honest: &Window) -> Result<[Vec<u8>; 2], StateError> {
    let (state, name) = (machine.store().state()?, &honest.name);
    let epoch = match window(&state, &name.source, name.number)? {
        Some(record) => record.epoch,
        None => current_epoch(&state)?,
    };
    let (key, chunks) = (validator(number), honest.chunks.iter());
    let chunks = chunks.map(|chunk| claim(&chunk.stream, ContentId::of(b"a lie"))).collect();
    let attestation = Attestation::sign(&key, CHAIN_ID, &name.source, name.number, epoch, chunks, vec![]);
    let commitment = Commitment::to(&key, &attestation);
    Ok([Transaction::Commitment(commitment), Transaction::Attestation(attestation)].map(|word| word.encode()))
}

/// Everything that a validator can repeat of what others have said of a window, signed with its own key, and whether the window has closed.
pub fn copied(machine: &Machine, number: usize, source: &str, index: u64) -> Result<(Vec<Vec<u8>>, bool), StateError> {
    let (state, key) = (machine.store().state()?, validator(number));
    let Some(record) = window(&state, source, index)? else { return Ok((Vec::new(), false)) };
    let own = key.public().address();
    let mut words = Vec::new();
    if record.seal_of(&own).is_none()
        && let Some((_, seal)) = record.committed.first()
    {
        let repeated = Commitment::sign(&key, CHAIN_ID, source, index, record.epoch, *seal);
        words.push(Transaction::Commitment(repeated).encode());
    }
    if let Some(other) = record.attested.iter().find(|other| **other != own)
        && let Some(said) = said(&state, source, index, other)?
    {
        let Said { chunks, abstained } = said;
        let repeated = Attestation::sign(&key, CHAIN_ID, source, index, record.epoch, chunks, abstained);
        words.push(Transaction::Attestation(repeated).encode());
    }
    Ok((words, record.closed))
}
