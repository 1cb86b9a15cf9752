//! A proposer that grinds the beacon: what it gains over many seeds, against uniform draws, and what its silence costs.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::collections::BTreeMap;
use std::sync::Arc;

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, BlockLimits, EpochRecord, Execution, Genesis, GenesisValidator, Params,
    Tip, Transaction, Validator, ValidatorRecord, ValidatorSet, assign, beacon_input, build_block, epoch_seed,
    first_beacon, initial_state, keys, next_beacon, verify_stateless,
};
use openmesh_primitives::{AccountKey, Amount, Digest, Timestamp, ValidatorKey, canonical, sha256};

const CHAIN_ID: u64 = 7117;
const SEEDS: u64 = 10_000;
/// Validators of equal power, of which so many are drawn: each has a share of three eighths.
const VALIDATORS: u8 = 8;
const DRAWN: u32 = 3;
const SHARE: f64 = 3.0 / 8.0;
/// Blocks that a proposer tries where it can choose among several.
const CANDIDATES: u64 = 16;

fn key(number: u8) -> ValidatorKey {
    ValidatorKey::from_seed([number + 1; 32])
}

/// The validator that wants to be drawn, and has the last word; who proposes in the round after it.
const GRINDER: u8 = 0;
const NEXT: u8 = 1;

struct Draws(ValidatorSet);

impl Draws {
    fn new() -> Draws {
        let of = |number| Validator::new(key(number).public(), 1, &format!("v{number}"));
        Draws(ValidatorSet::new((0..VALIDATORS).map(of).collect()).unwrap())
    }

    /// Returns true if the grinder is drawn by a beacon.
    fn suits(&self, beacon: &Digest) -> bool {
        let (seed, validators) = (epoch_seed(beacon, 2), self.0.clone());
        let record = EpochRecord { seed, drawn_height: 9, validators };
        assign(&record, "kraken", DRAWN).iter().any(|v| v.public_key == key(GRINDER).public())
    }
}

fn before(seed: u64) -> Digest {
    first_beacon(&sha256(&[b"network", &seed.to_be_bytes()]))
}

/// The beacon after a block of a proposer.
fn after(before: &Digest, proposer: u8) -> Digest {
    let proof = key(proposer).vrf_prove(&beacon_input(CHAIN_ID, 9, before)).unwrap();
    next_beacon(before, &proof.output().unwrap())
}

/// Four standard deviations of a count of so many draws.
fn tolerance(share: f64) -> f64 {
    4.0 * (SEEDS as f64 * share * (1.0 - share)).sqrt()
}

fn is_near(count: u64, share: f64) -> bool {
    (count as f64 - SEEDS as f64 * share).abs() <= tolerance(share)
}

#[test]
fn a_grinding_proposer_gains_nothing_measurable() {
    let draws = Draws::new();
    let (mut by_beacon, mut by_content) = (0, 0);
    for seed in 0..SEEDS {
        let before = before(seed);
        by_beacon += u64::from(draws.suits(&after(&before, GRINDER)));
        // As if the seed were a hash of what the proposer chooses: the same measurement sees the difference.
        let content = |candidate: u64| sha256(&[&before.0, &candidate.to_be_bytes()]);
        by_content += u64::from((0..CANDIDATES).any(|candidate| draws.suits(&content(candidate))));
    }
    println!("drawn {by_beacon} times of {SEEDS}, by content of {CANDIDATES} candidates {by_content} times");
    assert!(is_near(by_beacon, SHARE), "{by_beacon}");
    assert!(by_content as f64 > 0.99 * SEEDS as f64, "{by_content}");
}

#[test]
fn silence_is_worth_one_more_sample_and_costs_the_turn() {
    let draws = Draws::new();
    let (mut drawn, mut silent) = (0, 0);
    for seed in 0..SEEDS {
        let before = before(seed);
        let mut beacon = after(&before, GRINDER);
        if !draws.suits(&beacon) {
            silent += 1;
            beacon = after(&before, NEXT);
        }
        drawn += u64::from(draws.suits(&beacon));
    }
    println!("drawn {drawn} times of {SEEDS} for {silent} lost turns");
    let two_samples = 1.0 - (1.0 - SHARE) * (1.0 - SHARE);
    assert!(is_near(drawn, two_samples), "{drawn}: one bit at most, and no less than that: the last word is worth it");
    assert!((drawn as f64) < 2.0 * SHARE * SEEDS as f64);
    assert!(is_near(silent, 1.0 - SHARE), "{silent} turns given away");
}

fn account() -> AccountKey {
    AccountKey::from_bytes([7; 32]).unwrap()
}

fn genesis(seed: u64) -> Genesis {
    let validator = |number| GenesisValidator {
        public_key: key(number).public(),
        power: 1,
        name: format!("v{number}"),
        payout: None,
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: format!("network {seed}"),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: (0..VALIDATORS).map(validator).collect(),
        accounts: vec![(account().address(), Amount::open(1))],
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

/// The execution of a first block with one transfer, proposed by a validator, so many nanoseconds after the genesis.
fn execution(genesis: &Genesis, state: &BTreeMap<Vec<u8>, Vec<u8>>, proposer: u8, nanos: i64) -> Execution {
    let tip = Tip { height: 0, block_hash: genesis.hash(), state_root: Digest::ZERO, time: genesis.time };
    let action = Action::Accounts(AccountsAction::Transfer { to: account().address(), amount: Amount(1) });
    // Twice the base fee: half of it is the proposer's.
    let fee = Amount(2 * genesis.params.accounts.fee_min.0);
    let transfer = AccountTransaction::sign(&account(), CHAIN_ID, 0, fee, action).unwrap();
    let candidates = [Arc::new(verify_stateless(&Transaction::Account(transfer).encode()).unwrap())];
    let (limits, time) = (BlockLimits::of(&genesis.params), Timestamp(genesis.time.nanos() + nanos));
    build_block(state, &tip, None, &candidates, &key(proposer), time, &limits).unwrap().1
}

/// The same with whole blocks: all candidates of a proposer have one beacon, and who keeps silent loses tip and count.
#[test]
fn whole_blocks_of_a_proposer_have_one_beacon_and_silence_pays_another() {
    for seed in 0..20 {
        let genesis = genesis(seed);
        let state = initial_state(&genesis).unwrap();
        let beacon = |execution: &Execution| execution.writes[keys::BEACON].clone().unwrap();
        let mine: Vec<_> = (1..=4).map(|nanos| beacon(&execution(&genesis, &state, GRINDER, nanos))).collect();
        assert!(mine.iter().all(|beacon| *beacon == mine[0]), "seed {seed}");
        let silent = execution(&genesis, &state, NEXT, 1);
        assert_ne!(beacon(&silent), mine[0]);
        let address = |number: u8| key(number).public().address();
        let record = |number| -> ValidatorRecord {
            let written = silent.writes.get(&keys::validator(&address(number))).cloned().flatten();
            canonical::decode(&written.unwrap_or_else(|| state[&keys::validator(&address(number))].clone())).unwrap()
        };
        assert_eq!((record(GRINDER).proposed, record(NEXT).proposed), (0, 1));
        assert!(silent.writes.contains_key(&keys::account(&address(NEXT))), "the tip is another's");
        assert!(!silent.writes.contains_key(&keys::account(&address(GRINDER))));
    }
}
