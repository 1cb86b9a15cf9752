//! Tests of the pool: cases that people care about, and the invariants under random operations.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, AccountsError, Action, Attestation, Commitment, FeeOffer, Receipt,
    StampsAction, verify_stateless,
};
use std::cmp::Reverse;

use openmesh_primitives::{AccountKey, Amount, ValidatorKey};
use proptest::prelude::*;

use super::super::entry::Sum;
use super::super::recheck::take_out;

use super::*;

fn account(seed: u8) -> AccountKey {
    AccountKey::from_bytes([seed; 32]).unwrap()
}

fn transfer(seed: u8, nonce: u64, fee: u128) -> Arc<VerifiedTransaction> {
    let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
    let signed = AccountTransaction::sign(&account(seed), 1, nonce, Amount(fee), action).unwrap();
    Arc::new(verify_stateless(&Transaction::Account(signed).encode()).unwrap())
}

/// A transfer with a highest fee and a tip, as the first of its account.
fn offering(seed: u8, max_fee: u128, tip: u128) -> Arc<VerifiedTransaction> {
    let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
    let offer = FeeOffer::new(Amount(max_fee), Amount(tip));
    let signed = AccountTransaction::sign(&account(seed), 1, 0, offer, action).unwrap();
    Arc::new(verify_stateless(&Transaction::Account(signed).encode()).unwrap())
}

fn attestation(seed: u8, source: &str, window: u64, epoch: u64) -> Arc<VerifiedTransaction> {
    let signed = Attestation::sign(&ValidatorKey::from_seed([seed; 32]), 1, source, window, epoch, vec![], vec![]);
    Arc::new(verify_stateless(&Transaction::Attestation(signed).encode()).unwrap())
}

const RICH: Amount = Amount(1_000_000);

fn limits(transactions_max: usize) -> MempoolConfig {
    MempoolConfig { transactions_max, per_sender_max: 4, per_validator_max: 3, ..MempoolConfig::default() }
}

fn pool(transactions_max: usize) -> Pool {
    Pool::new(limits(transactions_max), None)
}

/// Takes a transaction in; its account, if it is one, has this next nonce and balance.
fn insert_with(
    pool: &mut Pool,
    verified: &Arc<VerifiedTransaction>,
    next: u64,
    balance: Amount,
    local: bool,
) -> Result<(), PoolError> {
    let place = match verified.transaction() {
        Transaction::Account(t) => {
            let (tip, max_fee) = (t.offer.tip, t.offer.max_fee);
            let terms = Terms { nonce: t.nonce, tip, max_fee, base_fee_max: max_fee, cost: Amount(max_fee.0 + 1) };
            Place::Account(terms, Standing { next, balance })
        }
        Transaction::Attestation(_)
        | Transaction::Commitment(_)
        | Transaction::Evidence(_)
        | Transaction::Upgrade(_) => Place::Attestation,
    };
    pool.insert(Arc::clone(verified), place, local)
}

fn insert(pool: &mut Pool, verified: &Arc<VerifiedTransaction>, next: u64) -> Result<(), PoolError> {
    insert_with(pool, verified, next, RICH, false)
}

fn hashes(transactions: &[Arc<VerifiedTransaction>]) -> Vec<Digest> {
    transactions.iter().map(|t| t.hash()).collect()
}

#[test]
fn queues_wait_for_their_gaps() {
    let mut pool = pool(10);
    let (first, second) = (transfer(1, 5, 100), transfer(1, 6, 100));
    insert(&mut pool, &second, 5).unwrap();
    assert!(!pool.has_work() && pool.candidates(1 << 20, Amount::ZERO).is_empty());
    let sender = first.sender();
    assert_eq!(pool.accounts.end_of(&sender), Some(5), "what is ahead of a gap is no next nonce");
    insert(&mut pool, &first, 5).unwrap();
    assert!(pool.has_work());
    assert_eq!((pool.accounts.end_of(&sender), pool.accounts.end_of(&Address([9; 20]))), (Some(7), None));
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![first.hash(), second.hash()]);
    assert_eq!(insert(&mut pool, &first, 5), Err(PoolError::Known));
}

/// The network may bring them in either order: one that is early waits for the blocks that make it right.
#[test]
fn a_commitment_and_the_attestation_that_opens_it_wait_beside_each_other() {
    let mut pool = pool(10);
    let key = ValidatorKey::from_seed([7; 32]);
    let said = Attestation::sign(&key, 1, "kraken", 2, 0, vec![], vec![]);
    let other = Attestation::sign(&key, 1, "kraken", 2, 1, vec![], vec![]);
    let words = [
        Transaction::Attestation(said.clone()),
        Transaction::Commitment(Commitment::to(&key, &said)),
        Transaction::Commitment(Commitment::to(&key, &other)),
    ];
    let [opening, commitment, second] = words.map(|word| Arc::new(verify_stateless(&word.encode()).unwrap()));
    insert(&mut pool, &opening, 0).unwrap();
    insert(&mut pool, &commitment, 0).unwrap();
    assert_eq!(insert(&mut pool, &second, 0), Err(PoolError::KnownAttestation), "each once");
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![opening.hash(), commitment.hash()]);
    pool.remove(&commitment.hash());
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![opening.hash()]);
}

#[test]
fn attestations_come_first_and_accounts_by_tip() {
    let mut pool = pool(10);
    let (poor, rich) = (transfer(1, 0, 10), transfer(2, 0, 90));
    let (a, b) = (attestation(7, "kraken", 2, 0), attestation(8, "kraken", 1, 0));
    for t in [&poor, &rich, &a, &b] {
        insert(&mut pool, t, 0).unwrap();
    }
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![a.hash(), b.hash(), rich.hash(), poor.hash()]);
    // Each class has a room of its own.
    let one = rich.bytes().len();
    assert_eq!(hashes(&pool.candidates(one, Amount::ZERO)).last(), Some(&rich.hash()));
}

#[test]
fn one_attestation_for_a_window_and_limits_for_each_validator() {
    let mut pool = pool(10);
    insert(&mut pool, &attestation(7, "kraken", 1, 0), 0).unwrap();
    assert_eq!(insert(&mut pool, &attestation(7, "kraken", 1, 1), 0), Err(PoolError::KnownAttestation));
    insert(&mut pool, &attestation(7, "kraken", 2, 0), 0).unwrap();
    insert(&mut pool, &attestation(7, "okx", 1, 0), 0).unwrap();
    let full = insert(&mut pool, &attestation(7, "okx", 2, 0), 0);
    assert!(matches!(full, Err(PoolError::SenderFull { max: 3, .. })));
    insert(&mut pool, &attestation(8, "okx", 2, 0), 0).unwrap();
    // A full room for transactions does not matter to attestations.
    for seed in 10..20 {
        insert(&mut pool, &transfer(seed, 0, 5), 0).unwrap();
    }
    assert!(matches!(insert(&mut pool, &transfer(20, 0, 5), 0), Err(PoolError::Full { lowest: Amount(5) })));
    insert(&mut pool, &attestation(9, "okx", 2, 0), 0).unwrap();
}

#[test]
fn replacement_needs_a_tenth_more() {
    let mut pool = pool(10);
    let old = transfer(1, 0, 100);
    insert(&mut pool, &old, 0).unwrap();
    let refused = insert(&mut pool, &transfer(1, 0, 109), 0);
    assert_eq!(refused, Err(PoolError::Underpriced { max_fee: Amount(110), tip: Amount(110) }));
    let new = transfer(1, 0, 110);
    insert(&mut pool, &new, 0).unwrap();
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![new.hash()]);
    assert!(!pool.knows(&old.hash()));
    assert_eq!(pool.load().transactions, 1);
}

/// A tenth of no tip is no tip: the highest fee, which is reserved, has to rise as well.
#[test]
fn a_nonce_without_a_tip_is_not_replaced_for_nothing() {
    let mut pool = pool(10);
    insert(&mut pool, &offering(1, 100, 0), 0).unwrap();
    let refused = Err(PoolError::Underpriced { max_fee: Amount(110), tip: Amount(0) });
    assert_eq!(insert(&mut pool, &offering(1, 109, 50), 0), refused);
    insert(&mut pool, &offering(1, 110, 10), 0).unwrap();
    let refused = Err(PoolError::Underpriced { max_fee: Amount(121), tip: Amount(11) });
    assert_eq!(insert(&mut pool, &offering(1, 500, 10), 0), refused, "the tip has to rise too");
    insert(&mut pool, &offering(1, 121, 11), 0).unwrap();
    assert_eq!(pool.load().transactions, 1);
}

/// Clause FE-7: what the base fee has passed waits on, and takes no room from others.
#[test]
fn queues_that_the_base_fee_has_passed_are_no_candidates() {
    let mut pool = pool(10);
    let (tipped, plain) = (offering(1, 40, 30), offering(2, 50, 5));
    for t in [&tipped, &plain] {
        insert(&mut pool, t, 0).unwrap();
    }
    let one = tipped.bytes().len();
    assert_eq!(hashes(&pool.candidates(one, Amount(40))), vec![tipped.hash()]);
    assert_eq!(hashes(&pool.candidates(one, Amount(41))), vec![plain.hash()], "the other cannot go in");
    assert_eq!(pool.candidates(1 << 20, Amount(51)).len(), 0);
    assert_eq!((pool.load().transactions, pool.candidates(1 << 20, Amount(40)).len()), (2, 2));
}

/// Clause FE-7: what stands behind a well paid transaction is chosen by its own tip. Otherwise one high tip would fill a block's
/// candidates with what pays the least.
#[test]
fn what_stands_behind_a_well_paid_one_takes_no_room_from_others() {
    let mut pool = pool(10);
    let lure = [transfer(1, 0, 1_000), transfer(1, 1, 10), transfer(1, 2, 900)];
    let others = [transfer(2, 0, 50), transfer(3, 0, 40)];
    for t in lure.iter().chain(&others) {
        insert(&mut pool, t, 0).unwrap();
    }
    let one = lure[0].bytes().len();
    let expected = [&lure[0], &others[0], &others[1], &lure[1], &lure[2]].map(|t| t.hash());
    for count in 0..=5 {
        assert_eq!(hashes(&pool.candidates(count * one, Amount::ZERO)), expected[..count], "room for {count}");
    }
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount(11))), expected[..3], "a queue ends at what cannot go in");
}

/// A highest fee that is never taken buys no place, and neither does the same tip as another's.
#[test]
fn only_a_higher_tip_pushes_anybody_out() {
    let mut pool = pool(2);
    let (first, second) = (offering(1, 100, 5), offering(2, 100, 5));
    insert(&mut pool, &first, 0).unwrap();
    insert(&mut pool, &second, 0).unwrap();
    let full = Err(PoolError::Full { lowest: Amount(5) });
    assert_eq!(insert(&mut pool, &offering(3, 1_000_000 - 1, 5), 0), full);
    insert(&mut pool, &offering(3, 100, 6), 0).unwrap();
    assert!(pool.knows(&first.hash()) && !pool.knows(&second.hash()), "the younger of two equal ones goes");
}

#[test]
fn eviction_takes_the_worst_paid_and_what_follows_it() {
    let mut pool = pool(4);
    for (nonce, fee) in [(0, 50), (1, 10), (2, 80)] {
        insert(&mut pool, &transfer(1, nonce, fee), 0).unwrap();
    }
    insert(&mut pool, &transfer(2, 0, 60), 0).unwrap();
    assert!(matches!(insert(&mut pool, &transfer(3, 0, 10), 0), Err(PoolError::Full { lowest: Amount(10) })));
    insert(&mut pool, &transfer(3, 0, 11), 0).unwrap();
    // Nonces 1 and 2 of the first account are gone.
    assert_eq!(pool.load().transactions, 3);
    let fees: Vec<_> = pool.accounts.ready.iter().map(|(fee, ..)| fee.0).collect();
    assert_eq!(fees, vec![11, 50, 60]);
}

#[test]
fn a_transaction_does_not_evict_what_it_builds_upon() {
    let mut pool = pool(2);
    insert(&mut pool, &transfer(1, 0, 5), 0).unwrap();
    insert(&mut pool, &transfer(2, 0, 50), 0).unwrap();
    assert!(matches!(insert(&mut pool, &transfer(1, 1, 99), 0), Err(PoolError::Full { .. })));
}

/// A stamp with a note of so many bytes, which nothing but the state's rules bounds.
fn long(seed: u8, nonce: u64, fee: u128, bytes: usize) -> Arc<VerifiedTransaction> {
    let stamp = StampsAction::Stamp { hash: Digest::ZERO, topic: "t".to_owned(), note: "n".repeat(bytes) };
    let signed = AccountTransaction::sign(&account(seed), 1, nonce, Amount(fee), stamp.into()).unwrap();
    Arc::new(verify_stateless(&Transaction::Account(signed).encode()).unwrap())
}

/// Each of a node's peers that has a place for it announces it.
#[test]
fn whoever_has_no_place_is_not_asked_for_again_at_once() {
    let mut pool = pool(1);
    let (waits, refused) = (transfer(1, 0, 50), transfer(2, 0, 5));
    assert!(pool.wants(&waits.hash()));
    insert(&mut pool, &waits, 0).unwrap();
    assert!(!pool.wants(&waits.hash()));
    insert(&mut pool, &refused, 0).unwrap_err();
    let wanted = |pool: &Pool| (pool.wants(&refused.hash()), pool.knows(&refused.hash()));
    assert_eq!(wanted(&pool), (false, false), "a client may hand it in again");
    pool.committed(1, []);
    assert_eq!(wanted(&pool), (false, false), "an announcement may be late");
    pool.committed(2, []);
    assert_eq!(wanted(&pool), (true, false), "blocks have made room");
    pool.remove(&waits.hash());
    insert(&mut pool, &refused, 0).unwrap();
    assert_eq!(wanted(&pool), (false, true));
}

/// Otherwise a transaction that never gets in would empty the pool of all that pay less than the first one that it cannot push out.
#[test]
fn whoever_is_refused_has_pushed_nobody_out() {
    let one = transfer(1, 0, 5).bytes().len();
    let mut pool = Pool::new(MempoolConfig { bytes_max: 4 * one, ahead_bytes_max: 2 * one, ..limits(10) }, None);
    let all = [transfer(1, 1, 90), transfer(2, 1, 3), transfer(3, 0, 5), transfer(4, 0, 50)];
    for t in &all {
        insert(&mut pool, t, 0).unwrap();
    }
    let load = pool.load();
    assert_eq!((load.transactions, load.ahead, load.bytes), (4, 2, 4 * one));
    let newcomer = long(5, 0, 20, 2 * one);
    assert_eq!(insert(&mut pool, &newcomer, 0), Err(PoolError::Full { lowest: Amount(50) }));
    let ahead = long(5, 1, 20, 0);
    assert_eq!(insert(&mut pool, &ahead, 0), Err(PoolError::AheadFull), "the second one ahead pays more");
    let huge = long(6, 0, 1_000, 9 * one);
    assert_eq!(insert(&mut pool, &huge, 0), Err(PoolError::AheadFull), "it would not fit into an empty pool");
    assert_eq!(pool.load(), load);
    assert!(all.iter().all(|t| pool.knows(&t.hash())));
    check_invariants(&pool);
    insert(&mut pool, &long(5, 0, 60, one), 0).unwrap();
    let left: Vec<bool> = all.iter().map(|t| pool.knows(&t.hash())).collect();
    assert_eq!(left, [false, false, false, true], "what is ahead of its turn goes first, then the lowest tip");
    check_invariants(&pool);
}

#[test]
fn commits_advance_queues_and_are_remembered() {
    let mut pool = pool(10);
    let all: Vec<_> = (0..3).map(|nonce| transfer(1, nonce, 10)).collect();
    for t in &all {
        insert_with(&mut pool, t, 0, RICH, true).unwrap();
    }
    pool.committed(1, [&all[0].hash()]);
    assert!(!pool.has_work(), "the next nonce is not known yet");
    pool.accounts.advance(all[0].sender(), 1);
    assert!(pool.has_work());
    assert_eq!(insert(&mut pool, &all[0], 1), Err(PoolError::Known));
    // Somebody else's block may have had another transaction with the nonce.
    pool.accounts.advance(all[0].sender(), 2);
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![all[2].hash()]);
    assert_eq!(pool.to_spread_again(10).len(), 0);
    pool.committed(10, []);
    assert_eq!(hashes(&pool.to_spread_again(10)), vec![all[2].hash()]);
    pool.committed(3_700, []);
    assert_eq!(pool.expire(), 1);
    assert!(pool.accounts.queues.is_empty() && !pool.has_work());
}

/// A proposer that includes a transaction before its turn takes it away from nobody: neither from the pools that have it, nor from those
/// to which it comes later.
#[test]
fn what_a_block_has_refused_waits_on_and_is_known_as_such() {
    let mut pool = pool(10);
    let (waits, elsewhere) = (transfer(1, 1, 10), transfer(2, 1, 10));
    insert(&mut pool, &waits, 0).unwrap();
    let receipt = |of: &Arc<VerifiedTransaction>, error| Receipt {
        hash: of.hash(),
        index: 0,
        class: of.class(),
        sender: Some(of.sender()),
        nonce: Some(1),
        fee: Amount::ZERO,
        tip: Amount::ZERO,
        error,
    };
    let gap = || Some(AccountsError::NonceGap { expected: 0, got: 1 }.into());
    take_out(&mut pool, 1, &[receipt(&waits, gap()), receipt(&elsewhere, gap())]);
    assert!(pool.knows(&waits.hash()) && !pool.knows(&elsewhere.hash()));
    assert!(pool.was_refused(&waits.hash()) && pool.was_refused(&elsewhere.hash()));
    insert(&mut pool, &elsewhere, 0).unwrap();
    take_out(&mut pool, 2, &[receipt(&elsewhere, None)]);
    assert!(pool.knows(&elsewhere.hash()), "it was committed just now");
    assert_eq!(pool.load().transactions, 1);
}

/// A transaction that waits for ever does not cost every node a message for ever.
#[test]
fn what_waits_long_is_spread_ever_more_seldom() {
    let mut pool = pool(10);
    insert_with(&mut pool, &transfer(1, 5, 10), 0, RICH, true).unwrap();
    let spread: Vec<u64> = (1..=1_280)
        .filter(|height| {
            pool.committed(*height, []);
            !pool.to_spread_again(10).is_empty()
        })
        .collect();
    assert_eq!(spread, vec![10, 20, 40, 80, 160, 320, 640, 1_280]);
}

#[test]
fn what_is_ahead_of_its_turn_cannot_fill_the_pool() {
    let mut pool = Pool::new(MempoolConfig { ahead_max: 3, ..limits(8) }, None);
    // Well paid, and never to be included: the nonces before them are missing.
    for nonce in 1..4 {
        insert(&mut pool, &transfer(1, nonce, 1_000), 0).unwrap();
    }
    assert_eq!(insert(&mut pool, &transfer(2, 1, 900), 0), Err(PoolError::AheadFull));
    insert(&mut pool, &transfer(2, 1, 1_001), 0).unwrap();
    assert_eq!(pool.load().ahead, 3, "the worst paid of them went, with what follows it");
    // Honest ones of the least fee fill the pool, and take the places of all that is ahead.
    for seed in 10..18 {
        insert(&mut pool, &transfer(seed, 0, 5), 0).unwrap();
    }
    assert_eq!((pool.load().transactions, pool.load().ahead), (8, 0));
    assert_eq!(insert(&mut pool, &transfer(1, 1, 1_000), 0), Err(PoolError::AheadFull));
    check_invariants(&pool);
}

#[test]
fn a_gap_that_is_closed_makes_its_followers_ready() {
    let mut pool = pool(10);
    for nonce in [2, 1] {
        insert(&mut pool, &transfer(1, nonce, 10), 0).unwrap();
    }
    assert_eq!((pool.load().ahead, pool.has_work()), (2, false));
    insert(&mut pool, &transfer(1, 0, 10), 0).unwrap();
    assert_eq!((pool.load().ahead, pool.candidates(1 << 20, Amount::ZERO).len()), (0, 3));
    // Evicted or replaced in the middle, it opens and closes again.
    insert(&mut pool, &transfer(1, 1, 20), 0).unwrap();
    assert_eq!((pool.load().ahead, pool.candidates(1 << 20, Amount::ZERO).len()), (0, 3));
    let middle = transfer(1, 1, 20);
    pool.remove(&middle.hash());
    assert_eq!((pool.load().ahead, pool.candidates(1 << 20, Amount::ZERO).len()), (1, 1));
    check_invariants(&pool);
}

#[test]
fn a_queue_is_worth_what_its_account_can_pay() {
    let mut pool = pool(10);
    let sender = account(1).address();
    // Each costs its fee and one more; three of them are too much together, though each alone is not.
    for nonce in 0..2 {
        insert_with(&mut pool, &transfer(1, nonce, 40), 0, Amount(100), false).unwrap();
    }
    let third = insert_with(&mut pool, &transfer(1, 2, 40), 0, Amount(100), false);
    assert_eq!(third, Err(PoolError::Overdrawn { sender, balance: Amount(100), needed: Amount(123) }));
    // A replacement counts instead of what it replaces.
    insert_with(&mut pool, &transfer(1, 1, 50), 0, Amount(100), false).unwrap();
    // The account has paid for something else meanwhile: what it cannot pay for goes, from the end.
    pool.accounts.settle(sender, Standing { next: 0, balance: Amount(60) });
    assert_eq!(hashes(&pool.candidates(1 << 20, Amount::ZERO)), vec![transfer(1, 0, 40).hash()]);
    pool.accounts.settle(sender, Standing { next: 0, balance: Amount(1) });
    assert!(pool.accounts.queues.is_empty());
}

#[test]
fn no_sender_fills_the_room_with_long_transactions() {
    let one = transfer(1, 0, 10).bytes().len();
    let mut pool = Pool::new(MempoolConfig { per_sender_bytes_max: 2 * one, ..limits(10) }, None);
    for nonce in 0..2 {
        insert(&mut pool, &transfer(1, nonce, 10), 0).unwrap();
    }
    let sender = account(1).address();
    let full = Err(PoolError::SenderBytesFull { sender, max: 2 * one });
    assert_eq!(insert(&mut pool, &transfer(1, 2, 10), 0), full);
    insert(&mut pool, &transfer(1, 1, 20), 0).unwrap();
    insert(&mut pool, &transfer(2, 0, 10), 0).unwrap();
}

#[test]
fn other_validators_cannot_take_the_room_of_our_own_attestations() {
    let own = ValidatorKey::from_seed([7; 32]).public().address();
    let mut pool = Pool::new(MempoolConfig { attestations_max: 8, ..limits(10) }, Some(own));
    insert(&mut pool, &attestation(7, "kraken", 0, 0), 0).unwrap();
    let others = (20..30).flat_map(|seed| (0..3).map(move |window| (seed, window)));
    let taken = others.filter(|(seed, window)| insert(&mut pool, &attestation(*seed, "kraken", *window, 0), 0).is_ok());
    assert_eq!(taken.count(), 5, "eight, without the three of our own");
    let refused = insert(&mut pool, &attestation(40, "kraken", 0, 0), 0);
    assert_eq!(refused, Err(PoolError::AttestationsFull));
    for window in 1..3 {
        insert(&mut pool, &attestation(7, "kraken", window, 0), 0).unwrap();
    }
    assert_eq!(pool.load().attestations, 8);
    check_invariants(&pool);
}

#[derive(Clone, Debug)]
enum Operation {
    Transfer { seed: u8, nonce: u64, fee: u128 },
    Attest { seed: u8, window: u64 },
    Commit { count: usize },
    Advance { seed: u8, next: u64 },
    Drop { seed: u8 },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = prop_oneof![
        6 => (1u8..5, 0u64..6, 1u128..30).prop_map(|(seed, nonce, fee)| Operation::Transfer { seed, nonce, fee }),
        3 => (1u8..4, 0u64..6).prop_map(|(seed, window)| Operation::Attest { seed, window }),
        1 => (0usize..4).prop_map(|count| Operation::Commit { count }),
        1 => (1u8..5, 0u64..6).prop_map(|(seed, next)| Operation::Advance { seed, next }),
        1 => (1u8..5).prop_map(|seed| Operation::Drop { seed }),
    ];
    prop::collection::vec(one, 1..60)
}

fn check_invariants(pool: &Pool) {
    let (limits, load) = (&pool.limits, pool.load());
    assert!(load.transactions <= limits.transactions_max && load.bytes <= limits.bytes_max);
    assert!(load.attestations <= limits.attestations_max && load.attestation_bytes <= limits.attestation_bytes_max);
    let ahead = pool.accounts.ahead_sum();
    assert!(ahead.count <= limits.ahead_max && ahead.bytes <= limits.ahead_bytes_max, "{ahead:?}");
    accounts_invariants(&pool.accounts, limits);
    let room = &pool.attestations;
    assert_eq!((room.arrivals.len(), room.keys.len(), room.entries.len()), (room.count(), room.count(), room.count()));
    assert_eq!(room.entries.values().map(|(_, e)| e.bytes()).sum::<usize>(), room.bytes());
    for (hash, (key, entry)) in &room.entries {
        assert_eq!((room.keys.get(key), room.arrivals.get(&entry.number)), (Some(hash), Some(hash)));
    }
}

fn accounts_invariants(accounts: &Accounts, limits: &MempoolConfig) {
    let (mut sum, mut ahead, mut queued) = (Sum::default(), Sum::default(), 0);
    for (hash, priced) in &accounts.entries {
        let (bytes, nonce) = (priced.entry.bytes(), priced.terms.nonce);
        let rank = (priced.terms.tip, Reverse(priced.entry.number), *hash);
        let queue = &accounts.queues[&priced.entry.verified.sender()];
        assert_eq!(queue.by_nonce[&nonce], *hash);
        sum.add(bytes);
        let is_ready = (queue.next..queue.end).contains(&nonce);
        assert_eq!((accounts.ready.contains(&rank), accounts.ahead.contains(&rank)), (is_ready, !is_ready));
        if !is_ready {
            ahead.add(bytes);
        }
    }
    assert_eq!((sum, ahead), (accounts.sum(), accounts.ahead_sum()));
    assert_eq!(accounts.ready.len() + accounts.ahead.len(), sum.count);
    for (sender, queue) in &accounts.queues {
        queued += queue.by_nonce.len();
        assert!(!queue.by_nonce.is_empty() && queue.by_nonce.len() <= limits.per_sender_max);
        assert!(queue.bytes <= limits.per_sender_bytes_max);
        let all = || queue.by_nonce.values().map(|hash| &accounts.entries[hash]);
        assert_eq!(all().map(|p| p.entry.bytes()).sum::<usize>(), queue.bytes);
        assert_eq!(all().map(|p| p.terms.cost.0).sum::<u128>(), queue.cost);
        assert!(queue.cost <= RICH.0);
        let missing = (queue.next..).find(|nonce| !queue.by_nonce.contains_key(nonce));
        assert_eq!(missing, Some(queue.end));
        assert!(queue.by_nonce.first_key_value().is_some_and(|(first, _)| *first >= queue.next));
        assert_eq!(accounts.ready_accounts.contains(sender), queue.end > queue.next);
    }
    assert_eq!(queued, sum.count);
    assert!(accounts.ready_accounts.iter().all(|a| accounts.queues.contains_key(a)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn limits_and_indices_hold(operations in operations()) {
        let own = ValidatorKey::from_seed([3; 32]).public().address();
        let limits = MempoolConfig {
            transactions_max: 8,
            bytes_max: 1_200,
            ahead_max: 3,
            ahead_bytes_max: 400,
            per_sender_max: 4,
            per_sender_bytes_max: 500,
            attestations_max: 5,
            attestation_bytes_max: 1_400,
            per_validator_max: 3,
            per_validator_bytes_max: 600,
            blocks_max: 20,
            ..MempoolConfig::default()
        };
        let mut pool = Pool::new(limits, Some(own));
        for (height, operation) in (1u64..).zip(operations) {
            match operation {
                Operation::Transfer { seed, nonce, fee } => {
                    let next = pool.accounts.queues.get(&account(seed).address()).map_or(0, |q| q.next);
                    let _ = insert(&mut pool, &transfer(seed, nonce.max(next), fee), next);
                }
                Operation::Attest { seed, window } => {
                    let _ = insert(&mut pool, &attestation(seed, "kraken", window, 0), 0);
                }
                Operation::Commit { count } => {
                    let block: Vec<_> = pool.candidates(1_000, Amount::ZERO).into_iter().take(count).collect();
                    for t in &block {
                        if let Transaction::Account(inner) = t.transaction() {
                            pool.accounts.advance(t.sender(), inner.nonce + 1);
                        }
                    }
                    pool.committed(height, &hashes(&block));
                }
                Operation::Advance { seed, next } => pool.accounts.advance(account(seed).address(), next),
                Operation::Drop { seed } => pool.remove_sender(&account(seed).address()),
            }
            pool.expire();
            check_invariants(&pool);
        }
    }
}
