//! Transfers a second of the state machine with its store, and where the time goes.
//!
//! Signatures are made and verified beforehand and counted apart, because they run on as many threads as there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Block, BlockLimits, BlocksParams, Certificate, FeesParams, Genesis,
    GenesisValidator, Params, Transaction, VerifiedTransaction, build_block, execute_block_verified,
    precommit_sign_bytes, validate_proposal, verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, Timestamp, ValidatorKey};
use openmesh_storage::Store;

const CHAIN_ID: u64 = 7117;
/// Accounts whose newest transactions are read back.
const LOOKUPS: usize = 1_000;

/// Arguments of `throughput`.
#[derive(Debug, Args)]
pub struct ThroughputArgs {
    /// Blocks.
    #[arg(long, default_value_t = 10)]
    blocks: usize,
    /// Transfers in each.
    #[arg(long, default_value_t = 5_000)]
    transfers: usize,
    /// Accounts.
    #[arg(long, default_value_t = 20_000)]
    accounts: usize,
}

#[derive(Default)]
struct Times {
    sign: Duration,
    verify: Duration,
    build: Duration,
    validate: Duration,
    execute: Duration,
    prepare: Duration,
    commit: Duration,
}

fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *sum += start.elapsed();
    result
}

/// The key of account n, with zeros but for the last bytes.
fn key(n: usize) -> anyhow::Result<AccountKey> {
    let mut bytes = [1; 32];
    bytes[24..].copy_from_slice(&(n as u64).to_be_bytes());
    Ok(AccountKey::from_bytes(bytes)?)
}

fn genesis(accounts: &[AccountKey], validator: &ValidatorKey, block: usize) -> Genesis {
    let bytes = block as u64 * 400;
    Genesis {
        chain_id: CHAIN_ID,
        name: "throughput".to_string(),
        time: Timestamp(0),
        validators: vec![GenesisValidator { public_key: validator.public(), power: 1, name: "v".into(), payout: None }],
        accounts: accounts.iter().map(|key| (key.address(), Amount::open(1_000))).collect(),
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params {
            blocks: BlocksParams {
                block_bytes_max: bytes.max(1 << 20),
                block_transactions_max: block as u64,
                attestation_bytes_reserved: 0,
                ..BlocksParams::default()
            },
            // Every block is full: the base fee must not leave the offers behind.
            fees: FeesParams { change_denominator: 1_000_000, ..FeesParams::default() },
            ..Params::default()
        },
    }
}

/// Signs a block's transfers, from accounts in turn to accounts at random places.
fn sign(keys: &[AccountKey], nonces: &mut [u64], first: usize, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let transfer = |at: usize, nonces: &mut [u64]| {
        let from = at % keys.len();
        let to: Address = keys[at.wrapping_mul(7_919) % keys.len()].address();
        let action = Action::Accounts(AccountsAction::Transfer { to, amount: Amount(1) });
        let fee = Amount(Params::default().accounts.fee_min.0 * 2);
        let signed = AccountTransaction::sign(&keys[from], CHAIN_ID, nonces[from], fee, action)?;
        nonces[from] += 1;
        Ok(Transaction::Account(signed).encode())
    };
    (first..first + count).map(|at| transfer(at, nonces)).collect()
}

fn run_block(
    store: &Store,
    candidates: &[Arc<VerifiedTransaction>],
    validator: &ValidatorKey,
    times: &mut Times,
) -> anyhow::Result<Block> {
    let (tip, state, proposer) = (store.tip(), store.state()?, validator.public().address());
    let limits = BlockLimits::of(&store.genesis()?.params);
    let time = Timestamp(tip.time.nanos() + 1);
    let last = store.block(tip.height)?.map(|last| last.certificate);
    let (block, _) = timed(&mut times.build, || build_block(&state, &tip, last, candidates, validator, time, &limits))?;
    timed(&mut times.validate, || validate_proposal(&state, &tip, &block))?;
    let by_bytes: std::collections::BTreeMap<&[u8], &Arc<VerifiedTransaction>> =
        candidates.iter().map(|c| (c.bytes(), c)).collect();
    let known: Vec<_> = block.transactions.iter().map(|t| by_bytes.get(t.as_slice()).map(|k| Arc::clone(k))).collect();
    let execution = timed(&mut times.execute, || execute_block_verified(&state, &block, &known))?;
    let prepared = timed(&mut times.prepare, || store.prepare(&execution))?;
    let hash = block.hash();
    let height = block.header.height;
    let signature = validator.sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &hash, &proposer));
    let certificate = Certificate { height, round: 0, block_hash: hash, signatures: vec![(proposer, signature)] };
    timed(&mut times.commit, || store.commit(&block, &certificate, &execution, prepared))?;
    Ok(block)
}

/// Commits the blocks and prints one JSON object.
pub fn run(arguments: &ThroughputArgs) -> anyhow::Result<()> {
    let ThroughputArgs { blocks, transfers: count, accounts } = *arguments;
    let dir = tempfile::tempdir()?;
    let keys: Vec<AccountKey> = (0..accounts).map(key).collect::<Result<_, _>>()?;
    let validator = ValidatorKey::from_seed([1; 32]);
    let store = Store::open(dir.path())?;
    store.initialise(&genesis(&keys, &validator, count))?;
    let (mut nonces, mut times, mut done) = (vec![0; accounts], Times::default(), 0);
    for n in 0..blocks {
        let bytes = timed(&mut times.sign, || sign(&keys, &mut nonces, n * count, count))?;
        let candidates: Vec<Arc<VerifiedTransaction>> = timed(&mut times.verify, || {
            bytes.iter().map(|b| verify_stateless(b).map(Arc::new)).collect::<Result<_, _>>()
        })?;
        done += run_block(&store, &candidates, &validator, &mut times)?.transactions.len();
    }
    let lookup = lookups(&store, &keys)?;
    let each = |time: Duration| (time.as_secs_f64() * 1e8 / done.max(1) as f64).round() / 100.0;
    let whole = times.execute + times.prepare + times.commit;
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "throughput",
            "unit": "microseconds a transfer",
            "transfers": done,
            "blocks": blocks,
            "accounts": accounts,
            "sign": each(times.sign),
            "verify": each(times.verify),
            "build": each(times.build),
            "validate": each(times.validate),
            "execute": each(times.execute),
            "prepare": each(times.prepare),
            "commit": each(times.commit),
            "execute_prepare_commit": each(whole),
            "per_second": (done as f64 / whole.as_secs_f64()).round(),
            "newest_of_an_account": lookup,
            "file_mib": std::fs::metadata(dir.path().join("ledger.redb"))?.len() >> 20,
        })
    );
    Ok(())
}

/// Microseconds in which the index of accounts names an account's newest transactions, each account once, over the whole chain.
fn lookups(store: &Store, keys: &[AccountKey]) -> anyhow::Result<f64> {
    let step = (keys.len() / LOOKUPS).max(1);
    let (mut took, mut found) = (Duration::ZERO, 0);
    for key in keys.iter().step_by(step) {
        let address = key.address();
        let list = timed(&mut took, || store.transactions_of(&address, None, 100))?;
        found += 1;
        anyhow::ensure!(list.len() <= 100, "more transactions than were asked for");
    }
    Ok((took.as_secs_f64() * 1e8 / f64::from(found.max(1))).round() / 100.0)
}
