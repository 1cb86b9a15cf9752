//! What the network is given to do: transfers of accounts, and attestations of a source's windows.

use openmesh_engine::machine::Machine;
use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, ChunkClaim, EpochsParams, Genesis, GenesisValidator,
    Origin, Params, SourceKind, SourceSpec, StateError, Transaction, WindowsParams, account, current_epoch, window,
};
use openmesh_primitives::{AccountKey, Amount, ContentId, Timestamp, ValidatorKey, sha256};

use crate::random::Random;

pub const CHAIN_ID: u64 = 77;
pub const SOURCE: &str = "venue";
pub const STREAM: &str = "BTC.USD/trades";
/// Virtual time begins here.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const ACCOUNTS: u64 = 3;

pub fn validator(number: usize) -> ValidatorKey {
    ValidatorKey::from_seed([number as u8 + 1; 32])
}

fn account_key(number: u64) -> Option<AccountKey> {
    AccountKey::from_bytes(sha256(&[b"simulated account", &number.to_be_bytes()]).0).ok()
}

/// Validators of equal power, few accounts, one source.
pub fn genesis(validators: usize) -> Genesis {
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
        accounts: (0..ACCOUNTS).filter_map(|n| Some((account_key(n)?.address(), Amount::open(1_000)))).collect(),
        sources: vec![SourceSpec {
            id: SOURCE.to_owned(),
            exchange: SOURCE.to_owned(),
            kind: SourceKind::Market,
            symbols: vec!["BTC.USD".to_owned()],
            feeds: vec!["trades".to_owned()],
            window_ms: 1_000,
            origin: Origin::Simulated,
        }],
        params: Params {
            epochs: EpochsParams { epoch_ms: 7_000, ..EpochsParams::default() },
            windows: WindowsParams { window_close_blocks: 5, ..WindowsParams::default() },
            ..Params::default()
        },
    }
}

/// What everybody who is honest saw in a window.
pub fn honest_chunk(number: u64) -> ContentId {
    ContentId::of(&number.to_be_bytes())
}

/// A transfer between two accounts, with the nonce that this validator thinks is next.
pub fn transfer(machine: &Machine, random: &mut Random) -> Result<Option<Vec<u8>>, StateError> {
    let (Some(from), Some(to)) = (account_key(random.below(ACCOUNTS)), account_key(random.below(ACCOUNTS))) else {
        return Ok(None);
    };
    let state = machine.store().state()?;
    let nonce = account(&state, &from.address())?.nonce + random.below(2);
    let action = Action::Accounts(AccountsAction::Transfer {
        to: to.address(),
        amount: Amount(1 + u128::from(random.below(1_000))),
    });
    let signed = AccountTransaction::sign(&from, CHAIN_ID, nonce, Params::default().accounts.fee_min, action);
    Ok(signed.ok().map(|signed| Transaction::Account(signed).encode()))
}

/// A validator's attestation of a window, as the node makes it; a liar names what nobody saw.
pub fn attestation(machine: &Machine, number: usize, at: u64, lies: bool) -> Result<Vec<u8>, StateError> {
    let state = machine.store().state()?;
    let epoch = match window(&state, SOURCE, at)? {
        Some(record) => record.epoch,
        None => current_epoch(&state)?,
    };
    let cid = if lies { ContentId::of(b"a lie") } else { honest_chunk(at) };
    let claim = ChunkClaim { stream: STREAM.to_owned(), cid, bytes: 8, events: 1 };
    let attestation = Attestation::sign(&validator(number), CHAIN_ID, SOURCE, at, epoch, vec![claim], vec![]);
    Ok(Transaction::Attestation(attestation).encode())
}
