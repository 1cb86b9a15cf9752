//! Tests of the pool: cases that people care about, and the invariants under random operations.

use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Attestation, verify_stateless};
use openmesh_primitives::{AccountKey, ValidatorKey};
use proptest::prelude::*;

use super::*;

fn account(seed: u8) -> AccountKey {
    AccountKey::from_bytes([seed; 32]).unwrap()
}

fn transfer(seed: u8, nonce: u64, fee: u128) -> Arc<VerifiedTransaction> {
    let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
    let signed = AccountTransaction::sign(&account(seed), 1, nonce, Amount(fee), action).unwrap();
    Arc::new(verify_stateless(&Transaction::Account(signed).encode()).unwrap())
}

fn attestation(seed: u8, source: &str, window: u64, epoch: u64) -> Arc<VerifiedTransaction> {
    let signed = Attestation::sign(&ValidatorKey::from_seed([seed; 32]), 1, source, window, epoch, vec![]);
    Arc::new(verify_stateless(&Transaction::Attestation(signed).encode()).unwrap())
}

fn pool(transactions_max: usize) -> Pool {
    Pool::new(MempoolConfig { transactions_max, per_sender_max: 4, per_validator_max: 3, ..MempoolConfig::default() })
}

fn hashes(transactions: &[Arc<VerifiedTransaction>]) -> Vec<Digest> {
    transactions.iter().map(|t| t.hash()).collect()
}

#[test]
fn queues_wait_for_their_gaps() {
    let mut pool = pool(10);
    let (first, second) = (transfer(1, 5, 100), transfer(1, 6, 100));
    pool.insert(Arc::clone(&second), 5, false).unwrap();
    assert!(!pool.has_work() && pool.candidates(1 << 20).is_empty());
    pool.insert(Arc::clone(&first), 5, false).unwrap();
    assert!(pool.has_work());
    assert_eq!(hashes(&pool.candidates(1 << 20)), vec![first.hash(), second.hash()]);
    assert_eq!(pool.insert(first, 5, false), Err(PoolError::Known));
}

#[test]
fn attestations_come_first_and_accounts_by_fee() {
    let mut pool = pool(10);
    let (poor, rich) = (transfer(1, 0, 10), transfer(2, 0, 90));
    let (a, b) = (attestation(7, "kraken", 2, 0), attestation(8, "kraken", 1, 0));
    for t in [&poor, &rich, &a, &b] {
        pool.insert(Arc::clone(t), 0, false).unwrap();
    }
    assert_eq!(hashes(&pool.candidates(1 << 20)), vec![a.hash(), b.hash(), rich.hash(), poor.hash()]);
    // Each class has a room of its own.
    let one = rich.bytes().len();
    assert_eq!(hashes(&pool.candidates(one)).last(), Some(&rich.hash()));
}

#[test]
fn one_attestation_for_a_window_and_limits_for_each_validator() {
    let mut pool = pool(10);
    pool.insert(attestation(7, "kraken", 1, 0), 0, false).unwrap();
    assert_eq!(pool.insert(attestation(7, "kraken", 1, 1), 0, false), Err(PoolError::KnownAttestation));
    pool.insert(attestation(7, "kraken", 2, 0), 0, false).unwrap();
    pool.insert(attestation(7, "okx", 1, 0), 0, false).unwrap();
    let full = pool.insert(attestation(7, "okx", 2, 0), 0, false);
    assert!(matches!(full, Err(PoolError::SenderFull { max: 3, .. })));
    pool.insert(attestation(8, "okx", 2, 0), 0, false).unwrap();
    // A full room for transactions does not matter to attestations.
    for seed in 10..20 {
        pool.insert(transfer(seed, 0, 5), 0, false).unwrap();
    }
    assert!(matches!(pool.insert(transfer(20, 0, 5), 0, false), Err(PoolError::Full { lowest: Amount(5) })));
    pool.insert(attestation(9, "okx", 2, 0), 0, false).unwrap();
}

#[test]
fn replacement_needs_a_tenth_more() {
    let mut pool = pool(10);
    let old = transfer(1, 0, 100);
    pool.insert(Arc::clone(&old), 0, false).unwrap();
    let refused = pool.insert(transfer(1, 0, 109), 0, false);
    assert_eq!(refused, Err(PoolError::Underpriced { needed: Amount(110) }));
    let new = transfer(1, 0, 110);
    pool.insert(Arc::clone(&new), 0, false).unwrap();
    assert_eq!(hashes(&pool.candidates(1 << 20)), vec![new.hash()]);
    assert!(!pool.knows(&old.hash()));
    assert_eq!(pool.load().transactions, 1);
}

#[test]
fn eviction_takes_the_worst_paid_and_what_follows_it() {
    let mut pool = pool(4);
    for (nonce, fee) in [(0, 50), (1, 10), (2, 80)] {
        pool.insert(transfer(1, nonce, fee), 0, false).unwrap();
    }
    pool.insert(transfer(2, 0, 60), 0, false).unwrap();
    assert!(matches!(pool.insert(transfer(3, 0, 10), 0, false), Err(PoolError::Full { lowest: Amount(10) })));
    pool.insert(transfer(3, 0, 11), 0, false).unwrap();
    // Nonces 1 and 2 of the first account are gone.
    assert_eq!(pool.load().transactions, 3);
    let fees: Vec<_> = pool.by_fee.iter().map(|(fee, ..)| fee.0).collect();
    assert_eq!(fees, vec![11, 50, 60]);
}

#[test]
fn a_transaction_does_not_evict_what_it_builds_upon() {
    let mut pool = pool(2);
    pool.insert(transfer(1, 0, 5), 0, false).unwrap();
    pool.insert(transfer(2, 0, 50), 0, false).unwrap();
    assert!(matches!(pool.insert(transfer(1, 1, 99), 0, false), Err(PoolError::Full { .. })));
}

#[test]
fn commits_advance_queues_and_are_remembered() {
    let mut pool = pool(10);
    let all: Vec<_> = (0..3).map(|nonce| transfer(1, nonce, 10)).collect();
    for t in &all {
        pool.insert(Arc::clone(t), 0, true).unwrap();
    }
    pool.committed(1, [&all[0].hash()]);
    assert!(!pool.has_work(), "the next nonce is not known yet");
    pool.advance(all[0].sender(), 1);
    assert!(pool.has_work());
    assert_eq!(pool.insert(Arc::clone(&all[0]), 1, false), Err(PoolError::Known));
    // Somebody else's block may have had another transaction with the nonce.
    pool.advance(all[0].sender(), 2);
    assert_eq!(hashes(&pool.candidates(1 << 20)), vec![all[2].hash()]);
    assert_eq!(pool.to_spread_again(10).len(), 0);
    pool.committed(10, []);
    assert_eq!(hashes(&pool.to_spread_again(10)), vec![all[2].hash()]);
    pool.committed(3_700, []);
    assert_eq!(pool.expire(), 1);
    assert!(pool.queues.is_empty() && !pool.has_work());
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
    let limits = &pool.limits;
    let load = pool.load();
    assert!(load.transactions <= limits.transactions_max && load.bytes <= limits.bytes_max);
    assert!(load.attestations <= limits.attestations_max && load.attestation_bytes <= limits.attestation_bytes_max);
    let (mut sum, mut accounts) = (Load::default(), 0);
    for entry in pool.entries.values() {
        let bytes = entry.verified.bytes().len();
        match nonce_of(&entry.verified) {
            Some(nonce) => {
                sum.transactions += 1;
                sum.bytes += bytes;
                let queue = &pool.queues[&entry.verified.sender()];
                assert_eq!(queue.by_nonce[&nonce], entry.verified.hash());
                assert!(pool.by_fee.contains(&(entry.fee, Reverse(entry.number), entry.verified.hash())));
            }
            None => {
                sum.attestations += 1;
                sum.attestation_bytes += bytes;
                assert_eq!(pool.arrivals[&entry.number], entry.verified.hash());
            }
        }
    }
    assert_eq!(sum, load);
    for (sender, queue) in &pool.queues {
        accounts += queue.by_nonce.len();
        assert!(!queue.by_nonce.is_empty() && queue.by_nonce.len() <= limits.per_sender_max);
        let first = *queue.by_nonce.first_key_value().unwrap().0;
        assert_eq!(pool.ready.contains(sender), first == queue.next);
    }
    assert!(pool.ready.iter().all(|a| pool.queues.contains_key(a)));
    assert_eq!((accounts, pool.by_fee.len()), (load.transactions, load.transactions));
    assert_eq!((pool.arrivals.len(), pool.attestations.len()), (load.attestations, load.attestations));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn limits_and_indices_hold(operations in operations()) {
        let mut pool = Pool::new(MempoolConfig {
            transactions_max: 8,
            bytes_max: 1_200,
            per_sender_max: 4,
            attestations_max: 5,
            attestation_bytes_max: 700,
            per_validator_max: 3,
            blocks_max: 20,
        });
        for (height, operation) in (1u64..).zip(operations) {
            match operation {
                Operation::Transfer { seed, nonce, fee } => {
                    let next = pool.queues.get(&account(seed).address()).map_or(0, |q| q.next);
                    let _ = pool.insert(transfer(seed, nonce.max(next), fee), next, false);
                }
                Operation::Attest { seed, window } => {
                    let _ = pool.insert(attestation(seed, "kraken", window, 0), 0, false);
                }
                Operation::Commit { count } => {
                    let block: Vec<_> = pool.candidates(1_000).into_iter().take(count).collect();
                    pool.committed(height, &hashes(&block));
                    for t in &block {
                        if let Some(nonce) = nonce_of(t) {
                            pool.advance(t.sender(), nonce + 1);
                        }
                    }
                }
                Operation::Advance { seed, next } => pool.advance(account(seed).address(), next),
                Operation::Drop { seed } => pool.remove_sender(&account(seed).address()),
            }
            pool.expire();
            check_invariants(&pool);
        }
    }
}
