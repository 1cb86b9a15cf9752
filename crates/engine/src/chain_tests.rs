//! The chain's writer against a real store: what it proposes again after a crash, what it refuses, how it fails.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, AccountsError, Action, Attestation, BlockLimits, Genesis, GenesisValidator,
    HEADER_VERSION, Origin, Overlay, Params, RuleSet, RulesError, SourceKind, SourceSpec, StateError, StateRead,
    Transaction, TransactionError, UpgradeBallot, UpgradePlan, UpgradeVote, WindowsError, WindowsParams, build_block,
    keys, params, precommit_sign_bytes,
};
use openmesh_primitives::{AccountKey, Amount, SplitMix64, sha256};
use openmesh_storage::{StoreConfig, VirtualDisk};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::admission::WorkClass;
use crate::config::MempoolConfig;
use crate::mempool::Submission;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn key(n: u8) -> ValidatorKey {
    ValidatorKey::from_seed([n; 32])
}

fn account() -> AccountKey {
    AccountKey::from_bytes([5; 32]).unwrap()
}

fn source() -> SourceSpec {
    SourceSpec {
        id: "simulated".to_owned(),
        exchange: "simulated".to_owned(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USDT".to_owned()],
        feeds: vec!["trades".to_owned()],
        window_ms: 10_000,
        origin: Origin::Simulated,
    }
}

fn open(dir: &TempDir) -> Chain {
    on(Store::open(dir.path()).unwrap())
}

fn on(store: Store) -> Chain {
    let validator =
        |n: u8| GenesisValidator { public_key: key(n).public(), power: 1, name: String::new(), payout: None };
    let genesis = Genesis {
        chain_id: 1,
        name: "test".to_owned(),
        time: Timestamp(1),
        validators: vec![validator(1), validator(2)],
        accounts: vec![(account().address(), Amount::open(1))],
        sources: vec![source()],
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params {
            windows: WindowsParams { commitments: false, ..WindowsParams::default() },
            ..Params::default()
        },
    };
    store.initialise(&genesis).unwrap();
    let metrics = Metrics::register(&mut Registry::default());
    let mempool = Mempool::new(MempoolConfig::default(), None, store.clone(), mpsc::channel(1).0, metrics.clone());
    Chain::new(store, mempool, Some(key(1)), Duration::from_secs(1), broadcast::Sender::new(8), metrics)
}

fn other() -> Address {
    key(2).public().address()
}

/// A block that the other validator could propose now.
fn theirs(chain: &Chain) -> Block {
    let state = chain.store.state().unwrap();
    let (limits, tip) = (BlockLimits::of(&params(&state).unwrap()), chain.store.tip());
    let last_commit = chain.last_commit(tip.height).unwrap();
    build_block(&state, &tip, last_commit, &[], &key(2), NOW, &limits).unwrap().0
}

fn judge(chain: &mut Chain, block: &Block, fresh: bool) -> Judged {
    chain.judge(1, 0, other(), fresh, canonical::encode(block), NOW).unwrap()
}

fn reason(judged: Judged) -> String {
    match judged {
        Judged::Valid(_) => panic!("it was found valid"),
        Judged::Invalid { reason, .. } | Judged::Useless(reason) => reason,
    }
}

fn certificate(height: Height, block_hash: Digest) -> Certificate {
    let sign = |n: u8| {
        let address = key(n).public().address();
        (address, key(n).sign(&precommit_sign_bytes(1, height, 0, &block_hash, &address)))
    };
    Certificate { height, round: 0, block_hash, signatures: vec![sign(1), sign(2)] }
}

#[test]
fn a_proposal_is_the_same_after_a_crash() {
    let dir = TempDir::new().unwrap();
    let mut chain = open(&dir);
    let first = chain.build(1, 0, NOW).unwrap().unwrap();
    let second = chain.build(1, 1, Timestamp(NOW.0 + 5)).unwrap().unwrap();
    assert_ne!(first.id, second.id, "another round, another time");
    assert!(chain.build(2, 0, NOW).unwrap().is_none());
    drop(chain);
    let mut chain = open(&dir);
    let again = chain.build(1, 0, Timestamp(NOW.0 + 9)).unwrap().unwrap();
    assert_eq!((again.id, again.bytes), (first.id, first.bytes));
    // Decided without having been executed in this run.
    let mut committed = chain.committed.subscribe();
    let block = chain.commit(certificate(1, first.id)).unwrap();
    assert_eq!(committed.try_recv().unwrap().hash, first.id);
    assert_eq!((chain.store.tip().height, chain.store.tip().state_root), (1, block.state_root));
    assert!(chain.build(1, 0, NOW).unwrap().is_none());
    assert!(chain.store.undecided(1).unwrap().is_empty());
}

/// Clause of `docs/spec/state.md`, "In the database": for its body before anybody hears of it, and for the commit. The log of consensus
/// has syncs of its own.
#[test]
fn a_block_waits_for_the_disk_twice() {
    let disk = VirtualDisk::default();
    let mut chain = on(Store::open_virtual(&disk, StoreConfig::default()).unwrap());
    for height in 1..=6 {
        let before = disk.syncs();
        let id = if height % 2 == 0 {
            chain.build(height, 0, NOW).unwrap().unwrap().id
        } else {
            let bytes = canonical::encode(&theirs(&chain));
            // Streamed twice, it is written once.
            for _ in 0..2 {
                let judged = chain.judge(height, 0, other(), true, bytes.clone(), NOW).unwrap();
                assert!(matches!(judged, Judged::Valid(_)), "{judged:?}");
            }
            canonical::decode::<Block>(&bytes).unwrap().hash()
        };
        assert_eq!(disk.syncs() - before, 1, "the body of height {height}");
        let committed = chain.commit(certificate(height, id)).unwrap();
        chain.mempool.recheck(&committed).unwrap();
        assert_eq!(disk.syncs() - before, 2, "body and commit of height {height}");
    }
}

/// Executions that a chain has made, by its own metric.
fn executions(chain: &Chain) -> u64 {
    let (mut registry, mut text) = (Registry::default(), String::new());
    registry.register("executions", "Executions", chain.metrics.execute_seconds.clone());
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text.lines().find_map(|line| line.strip_prefix("executions_count ")).unwrap().parse().unwrap()
}

/// A proposer executes what it builds and the others what they judge, and each verifies every signature. Neither judging the same again, in a
/// later round, nor committing it does so once more.
#[test]
fn a_block_is_executed_once() {
    let dirs: [TempDir; 2] = std::array::from_fn(|_| TempDir::new().unwrap());
    let [mut proposer, mut peer] = dirs.each_ref().map(open);
    let us = key(1).public().address();
    for height in 1..=4 {
        let bytes = Transaction::Account(transfer(height - 1)).encode();
        proposer.mempool.admit_blocking(vec![Submission::Bytes(bytes)], WorkClass::Api);
        let built = proposer.build(height, 0, NOW).unwrap().unwrap();
        for chain in [&mut proposer, &mut peer] {
            for round in 0..2 {
                let judged = chain.judge(height, round, us, round == 0, built.bytes.to_vec(), NOW).unwrap();
                assert!(matches!(judged, Judged::Valid(_)), "{judged:?}");
            }
            let committed = chain.commit(certificate(height, built.id)).unwrap();
            assert!(committed.receipts.iter().any(|receipt| receipt.ok()), "the transfer of height {height}");
            chain.mempool.recheck(&committed).unwrap();
            assert_eq!((executions(chain), chain.metrics.signatures_verified.get()), (height, height));
        }
    }
}

#[test]
fn own_blocks_that_come_too_late_make_the_next_ones_smaller() {
    let dir = TempDir::new().unwrap();
    let mut chain = open(&dir);
    // Two of ours were not decided in their rounds; what others were late with says nothing.
    let first = chain.build(1, 0, NOW).unwrap().unwrap();
    let theirs = theirs(&chain);
    assert!(matches!(chain.judge(1, 1, other(), true, canonical::encode(&theirs), NOW).unwrap(), Judged::Valid(_)));
    chain.build(1, 2, Timestamp(NOW.0 + 5)).unwrap().unwrap();
    assert_eq!(chain.share(1, 2), Fill::default().after(1), "smaller within the height");
    chain.commit(Certificate { round: 3, ..certificate(1, first.id) }).unwrap();
    assert_eq!(chain.fill, Fill::default().after(2));
    // One of ours is decided at once; a height without one of ours changes nothing.
    let next = chain.build(2, 0, Timestamp(NOW.0 + 9)).unwrap().unwrap();
    chain.commit(certificate(2, next.id)).unwrap();
    let grown = Fill::default().after(2).grown();
    assert_eq!(chain.fill, grown);
    chain.learn(4);
    assert_eq!(chain.fill, grown);
}

#[test]
fn good_blocks_are_stored_and_bad_ones_refused() {
    let dir = TempDir::new().unwrap();
    let mut chain = open(&dir);
    let good = theirs(&chain);
    let mut ours = good.clone();
    ours.header.proposer = key(1).public().address();
    assert!(reason(judge(&mut chain, &ours, true)).contains("streams it"));
    let mut ahead = good.clone();
    ahead.header.time = Timestamp(NOW.0 + 3_000_000_000);
    let refused = judge(&mut chain, &ahead, true);
    assert!(matches!(refused, Judged::Invalid { again: true, .. }), "its time may come");
    assert!(reason(refused).contains("3000 ms ahead"));
    let mut early = good.clone();
    early.header.time = Timestamp(0);
    assert!(reason(judge(&mut chain, &early, true)).contains("not after its parent"));
    let mut stuffed = good.clone();
    stuffed.transactions.push(vec![1, 2, 3]);
    assert!(reason(judge(&mut chain, &stuffed, true)).contains("transactions root"));
    stuffed.header.transactions_root = transactions_root(&stuffed.transactions);
    assert!(reason(judge(&mut chain, &stuffed, true)).contains("cannot be decoded"));
    let mut rooted = good.clone();
    rooted.header.state_root = Digest([1; 32]);
    assert!(reason(judge(&mut chain, &rooted, true)).contains("state root"));
    assert!(chain.store.undecided(1).unwrap().is_empty());

    let bytes = canonical::encode(&good);
    let later = chain.judge(2, 0, other(), true, bytes.clone(), NOW).unwrap();
    assert!(reason(later).contains("not next"));
    assert!(matches!(chain.judge(1, 0, other(), true, vec![7; 90], NOW).unwrap(), Judged::Useless(_)));

    assert!(matches!(judge(&mut chain, &good, true), Judged::Valid(c) if c.id == good.hash()));
    assert_eq!(chain.body(1, &good.hash()).unwrap().unwrap(), bytes);
    // The header is known, and the body is not its own: it must not be stored in the block's place.
    let mut other_body = good.clone();
    other_body.transactions.push(vec![0]);
    let judged = chain.judge(1, 1, other(), true, canonical::encode(&other_body), NOW).unwrap();
    assert!(matches!(judged, Judged::Useless(_)), "{judged:?}");
    // The same block once more, in a later round by another streamer: judged from memory.
    let again = chain.judge(1, 3, key(1).public().address(), false, bytes, NOW).unwrap();
    assert!(matches!(again, Judged::Valid(_)));
    let rounds: Vec<i64> = chain.store.undecided(1).unwrap().into_iter().map(|(round, ..)| round).collect();
    assert_eq!(rounds, vec![0, 3]);
    chain.commit(certificate(1, good.hash())).unwrap();
}

#[test]
fn what_a_block_refused_waits_on() {
    let dir = TempDir::new().unwrap();
    let mut chain = open(&dir);
    let first = theirs(&chain);
    assert!(matches!(judge(&mut chain, &first, true), Judged::Valid(_)));
    chain.commit(certificate(1, first.hash())).unwrap();
    let transfer = |nonce| Transaction::Account(transfer(nonce)).encode();
    // Its window ends after any block of these seconds, and a mempool has patience.
    let early = Attestation::sign(&key(1), 1, &source().id, 105, 0, vec![], vec![]);
    let waiting = [Transaction::Attestation(early).encode(), transfer(0), transfer(1)];
    for result in chain.mempool.admit_blocking(waiting.iter().cloned().map(Submission::Bytes).collect(), WorkClass::Api)
    {
        result.unwrap();
    }
    // A proposer includes two of them before their turn.
    let mut block = theirs(&chain);
    block.transactions = vec![waiting[0].clone(), waiting[2].clone()];
    block.header.transactions_root = transactions_root(&block.transactions);
    let judged = chain.judge(2, 0, other(), true, canonical::encode(&block), NOW).unwrap();
    assert!(matches!(judged, Judged::Valid(_)), "{judged:?}");
    let committed = chain.commit(certificate(2, block.hash())).unwrap();
    let errors: Vec<_> = committed.receipts.iter().map(|r| r.error.clone()).collect();
    assert!(
        matches!(
            errors[..],
            [
                Some(TransactionError::Windows(WindowsError::WindowAhead { .. })),
                Some(TransactionError::Accounts(AccountsError::NonceGap { expected: 0, got: 1 }))
            ]
        ),
        "{errors:?}"
    );
    chain.mempool.recheck(&committed).unwrap();
    let hashes = waiting.each_ref().map(|bytes| sha256(&[bytes]));
    assert!(chain.mempool.verified(&hashes).iter().all(Option::is_some), "all three still wait");
    let next = chain.build(3, 0, Timestamp(NOW.0 + 100)).unwrap().unwrap();
    assert_eq!(decode_stored(3, &next.bytes).unwrap().transactions, waiting[1..]);
    let committed = chain.commit(certificate(3, next.id)).unwrap();
    assert!(committed.receipts.iter().all(openmesh_ledger::Receipt::ok));
    // What took effect is gone, and recognised.
    assert_eq!(chain.mempool.verified(&hashes).iter().filter(|known| known.is_some()).count(), 1);
    let again = chain.mempool.admit_blocking(vec![waiting[1].clone().into()], WorkClass::Api);
    assert_eq!(again, [Err(crate::mempool::error::PoolError::Known.into())]);
}

fn transfer(nonce: u64) -> AccountTransaction {
    let action = Action::Accounts(AccountsAction::Transfer { to: other(), amount: Amount(1) });
    AccountTransaction::sign(&account(), 1, nonce, Params::default().accounts.fee_min, action).unwrap()
}

/// The part of a committed block that the network must agree on.
fn outcome(committed: &CommittedBlock) -> (Digest, &[openmesh_ledger::Receipt], &[openmesh_ledger::LedgerEvent]) {
    (committed.state_root, &committed.receipts, &committed.events)
}

/// A proposer that commits what it executed while building, one that commits what it executed while judging, one that has forgotten
/// its execution, and one that never judged: with signatures known and unknown, and blocks that a proposer stuffed with refusals.
#[test]
fn a_block_comes_to_the_same_whenever_it_was_executed() {
    for seed in 0..6 {
        let mut random = SplitMix64::new(seed);
        let dirs: [TempDir; 4] = std::array::from_fn(|_| TempDir::new().unwrap());
        let mut chains = dirs.each_ref().map(open);
        let (mut nonce, us) = (0, key(1).public().address());
        for height in 1..=5 {
            let now = Timestamp(NOW.0 + height as i64 * 1_000);
            for next in nonce..nonce + random.below(4) {
                let bytes = Transaction::Account(transfer(next)).encode();
                // The others have heard of some of them.
                for chain in chains.iter_mut().take(1 + random.index(4)) {
                    chain.mempool.admit_blocking(vec![Submission::Bytes(bytes.clone())], WorkClass::Api);
                }
            }
            let built = chains[0].build(height, 0, now).unwrap().unwrap();
            let mut block = decode_stored(height, &built.bytes).unwrap();
            if random.chance(1, 2) {
                let (gap, mut forged) = (transfer(nonce + 9), transfer(nonce));
                forged.signature.0[64] = 99;
                block.transactions.extend([gap, forged].map(|refused| Transaction::Account(refused).encode()));
                block.header.transactions_root = transactions_root(&block.transactions);
            }
            let (id, bytes) = (block.hash(), canonical::encode(&block));
            for chain in chains.iter_mut().take(3) {
                let judged = chain.judge(height, 0, us, true, bytes.clone(), now).unwrap();
                assert!(matches!(judged, Judged::Valid(_)), "{judged:?}");
            }
            chains[2].forget_executions();
            chains[3].adopt(height, &bytes).unwrap().unwrap();
            let committed = chains.each_mut().map(|chain| chain.commit(certificate(height, id)).unwrap());
            assert!(committed.iter().all(|c| outcome(c) == outcome(&committed[0])), "seed {seed}, height {height}");
            nonce += committed[0].receipts.iter().filter(|receipt| receipt.ok()).count() as u64;
            for (chain, committed) in chains.iter().zip(&committed) {
                chain.mempool.recheck(committed).unwrap();
            }
        }
        assert!(nonce > 0, "seed {seed}: nothing was transferred");
    }
}

#[test]
fn synced_blocks_are_kept_apart_until_they_are_decided() {
    let dir = TempDir::new().unwrap();
    let mut chain = open(&dir);
    let good = theirs(&chain);
    let mut other_body = good.clone();
    other_body.transactions.push(vec![0]);
    assert!(chain.adopt(1, &canonical::encode(&other_body)).unwrap().is_none(), "a body that is not the header's");
    assert!(chain.adopt(2, &canonical::encode(&good)).unwrap().is_none());
    assert!(chain.adopt(1, b"no block").unwrap().is_none());
    assert_eq!(chain.adopt(1, &canonical::encode(&good)).unwrap(), Some((good.hash(), other())));
    assert_eq!(chain.store.undecided(1).unwrap()[0].0, ROUND_NOT_JUDGED);
    chain.commit(certificate(1, good.hash())).unwrap();
    assert_eq!(chain.store.tip().height, 1);
}

#[test]
fn what_cannot_be_committed_ends_the_run() {
    let dir = TempDir::new().unwrap();
    let mut chain = open(&dir);
    let unknown = chain.commit(certificate(1, Digest([9; 32])));
    assert!(matches!(unknown, Err(EngineError::UnknownDecision { height: 1, .. })));
    let mut diverged = theirs(&chain);
    diverged.header.state_root = Digest([1; 32]);
    chain.adopt(1, &canonical::encode(&diverged)).unwrap().unwrap();
    let error = chain.commit(certificate(1, diverged.hash())).unwrap_err();
    assert!(matches!(&error, EngineError::Diverged { height: 1, reason } if reason.contains("state root")), "{error}");
    // One that the rules here do not allow at all is no fault of the peer that brings it either.
    let mut malformed = theirs(&chain);
    malformed.header.version += 1;
    chain.adopt(1, &canonical::encode(&malformed)).unwrap().unwrap();
    let error = chain.commit(certificate(1, malformed.hash())).unwrap_err();
    assert!(
        matches!(&error, EngineError::Diverged { height: 1, reason } if reason.contains("header version")),
        "{error}"
    );
    assert_eq!(chain.store.tip().height, 0);
}

fn wider(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    let mut changed: Params = params(&*state)?;
    changed.blocks.block_bytes_max *= 2;
    state.put(keys::PARAMS.to_vec(), &changed);
    Ok(())
}

/// The rule sets of a program that knows a second one, with blocks of twice the bytes.
fn two_sets() -> RuleSets {
    let second = RuleSet {
        version: 2,
        name: "wider",
        changes: &[],
        header_version: HEADER_VERSION,
        adds: &[],
        removes: &[],
        migrate: wider,
        registered: None,
    };
    RuleSets::built_in().with(second).unwrap()
}

/// Clauses U5 and U6 of `docs/spec/upgrades.md`.
#[test]
fn a_program_without_the_rules_commits_the_block_before_and_takes_no_part_in_the_height() {
    let dir = TempDir::new().unwrap();
    let mut old = open(&dir);
    let plan = UpgradePlan { version: 2, height: 2, release: "r".to_owned(), digest: Digest([2; 32]) };
    let approval = |n| Transaction::Upgrade(UpgradeBallot::sign(&key(n), 1, 0, UpgradeVote::Approve(plan.clone())));
    let mut block = theirs(&old);
    block.transactions = vec![approval(1).encode(), approval(2).encode()];
    block.header.transactions_root = transactions_root(&block.transactions);
    assert!(matches!(judge(&mut old, &block, true), Judged::Valid(_)));
    let narrow = old.next_bytes_max().unwrap();
    old.commit(certificate(1, block.hash())).unwrap();
    let lacks =
        |error: EngineError| matches!(error, EngineError::Rules(RulesError::Unknown { version: 2, height: 2, .. }));
    assert!(lacks(old.next_bytes_max().unwrap_err()), "asked before the height begins");
    assert!(lacks(old.build(2, 0, NOW).unwrap_err()), "it does not propose");
    assert_eq!(old.store.tip().height, 1, "what it has committed stays");
    drop(old);
    // A newer program on the same store goes on, and what it proposes is as long as its rules allow.
    let mut new = open(&dir).under(two_sets());
    assert!(new.next_bytes_max().unwrap() > narrow);
    let built = new.build(2, 0, NOW).unwrap().unwrap();
    let known = new.known.executed(&built.id).unwrap();
    assert!(known.0.migration.is_some() && known.1.is_none(), "no vote waits for the tree of the migrated state");
    let (first, migrated) = (built.id, known.0.migration.clone().unwrap().writes);
    // Another block of the height shares the writes of the migration, and the first one's execution stays.
    let built = new.build(2, 1, Timestamp(NOW.0 + 5)).unwrap().unwrap();
    assert!(built.id != first && new.known.executed(&first).is_some());
    assert!(Arc::ptr_eq(&new.known.executed(&built.id).unwrap().0.migration.clone().unwrap().writes, &migrated));
    let committed = new.commit(certificate(2, built.id)).unwrap();
    assert!(matches!(committed.events[..], [openmesh_ledger::LedgerEvent::Upgrades(_), ..]), "{:?}", committed.events);
    assert_eq!(new.store.migrated_roots().unwrap().len(), 1);
    // The program from before is refused at this state as well.
    drop(new);
    let error = open(&dir).next_bytes_max().unwrap_err();
    assert!(matches!(error, EngineError::Rules(RulesError::Unknown { version: 2, height: 3, .. })), "{error}");
}
