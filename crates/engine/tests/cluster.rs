//! Four validators on loopback: they agree, survive one, halt without two, catch up.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod flood;
mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{DEADLINE, FEE, Network, account, transfer};
use openmesh_engine::{CommittedBlock, PoolError, SubmitError};
use openmesh_ledger::{
    AccountsError, Attestation, ChunkClaim, LedgerEvent, Transaction, TransactionError, WindowsEvent,
};
use openmesh_primitives::{Address, Amount, ContentId, Digest};
use openmesh_storage::StoredBlock;
use tokio::sync::broadcast;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_and_a_follower_agree() {
    let mut network = Network::new(4, 1, 8);
    network.start_all().await;
    network.reach(2).await;

    let to = Address([9; 20]);
    let mut hashes = Vec::new();
    for sender in 0..8 {
        // In the wrong order, and to different nodes, the follower among them.
        for nonce in [1, 0, 2] {
            let submitted = network.node(sender % 5).handle.submit(transfer(sender, nonce, to, 5)).await;
            hashes.push(submitted.unwrap());
        }
    }
    for n in 0..5 {
        network.node(n).commits(&hashes).await;
    }
    let common = network.assert_agreement();
    assert!(common >= 3);
    all_four_signed(&mut network).await;
    let highest = network.highest();
    network.reach(highest).await;
    for n in 0..5 {
        let state = network.node(n).store.state().unwrap();
        assert_eq!(openmesh_ledger::account(&state, &to).unwrap().balance, Amount(8 * 3 * 5));
        let sender = openmesh_ledger::account(&state, &account(0).address()).unwrap();
        assert_eq!((sender.nonce, sender.balance), (3, Amount(Amount::open(1_000).0 - 3 * (5 + FEE.0))));
        openmesh_ledger::check_supply(&state).unwrap();
        assert_eq!(network.node(n).handle.status().mempool_transactions, 0);
    }

    // Each node counts for itself.
    assert_eq!(network.node(0).metric("engine_transactions_committed_total"), 24.0);
    assert!(network.node(0).metric("consensus_peers") >= 3.0);
    assert_eq!(network.node(4).metric("engine_proposals_built_total"), 0.0);

    refusals(&mut network, to).await;
    attestations(&mut network).await;
}

/// Blocks carry the precommits that came after the decision too, so that nobody who is honest seems absent.
async fn all_four_signed(network: &mut Network) {
    let first = network.highest() + 1;
    network.reach(first + 3).await;
    let blocks = network.node(0).store.blocks(first..=first + 3).unwrap();
    let signed = |b: &StoredBlock| b.block.last_commit.as_ref().unwrap().signatures.len();
    let counts: Vec<usize> = blocks.iter().map(signed).collect();
    assert!(counts.iter().filter(|n| **n == 4).count() >= 3, "one of four may be late on a busy machine: {counts:?}");
}

/// Transactions that must not get in, each with its own error.
async fn refusals(network: &mut Network, to: Address) {
    let handle = network.node(0).handle.clone();
    let known = handle.submit(transfer(0, 2, to, 5)).await;
    assert_eq!(known, Err(SubmitError::Pool(PoolError::Known)));
    let used = handle.submit(transfer(0, 2, to, 6)).await;
    assert_eq!(
        used,
        Err(SubmitError::Refused(TransactionError::Accounts(AccountsError::NonceLow { expected: 3, got: 2 })))
    );
    let mut forged = transfer(0, 3, to, 6);
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(handle.submit(forged).await, Err(SubmitError::Refused(_))));
    let far = handle.submit(transfer(0, 3 + 2_000, to, 6)).await;
    assert_eq!(
        far,
        Err(SubmitError::Refused(TransactionError::Accounts(AccountsError::NonceGap { expected: 3, got: 2_003 })))
    );
}

/// Three of four validators see the same chunk, the fourth another one.
async fn attestations(network: &mut Network) {
    let (agreed, other) = (ContentId::of(b"agreed"), ContentId::of(b"other"));
    let mut hashes = Vec::new();
    for n in 0..4 {
        let cid = if n == 1 { other } else { agreed };
        let claim = ChunkClaim { stream: "BTC.USDT/trades".to_owned(), cid, bytes: 6, events: 1 };
        let key = network.keys[n].clone().unwrap();
        let signed = Attestation::sign(&key, harness::CHAIN_ID, "simulated", 7, 0, vec![claim], vec![]);
        let bytes = Transaction::Attestation(signed).encode();
        hashes.push(network.node(n).handle.submit(bytes).await.unwrap());
    }
    let heights: Vec<u64> = {
        network.node(4).commits(&hashes).await;
        network.node(0).commits(&hashes).await;
        let store = &network.node(0).store;
        hashes.iter().map(|hash| store.transaction(hash).unwrap().unwrap().0).collect()
    };
    let store = &network.node(0).store;
    let blocks = store.blocks(*heights.iter().min().unwrap()..=*heights.iter().max().unwrap()).unwrap();
    let accepted: Vec<_> = blocks
        .iter()
        .flat_map(|b| &b.events)
        .filter_map(|e| {
            if let LedgerEvent::Windows(WindowsEvent::ChunkAccepted { cid, .. }) = e { Some(*cid) } else { None }
        })
        .collect();
    assert_eq!(accepted, vec![agreed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_may_stop_two_halt_and_whoever_returns_catches_up() {
    let mut network = Network::new(4, 0, 4);
    network.start_all().await;
    network.reach(2).await;

    // One stops: the others go on, and commit.
    network.stop(3).await;
    let height = network.highest();
    let hash = network.node(0).handle.submit(transfer(0, 0, Address([1; 20]), 1)).await.unwrap();
    for n in 0..3 {
        network.node(n).commits(&[hash]).await;
    }
    network.reach(height + 3).await;

    // It returns from its disk and catches up.
    network.start(3).await;
    let height = network.highest();
    network.node(3).reach(height).await;
    network.reach(height + 2).await;
    network.assert_agreement();

    // Two stop: at most the height that was being decided is finished, then nothing.
    network.stop(1).await;
    network.stop(2).await;
    let height = network.highest();
    let more = tokio::time::timeout(Duration::from_secs(8), network.node(0).reach(height + 2)).await;
    assert!(more.is_err(), "two of four went on");
    network.assert_agreement();

    // One of them returns: it goes on.
    let height = network.highest();
    network.start(1).await;
    network.reach(height + 2).await;
    let hash = network.node(1).handle.submit(transfer(0, 1, Address([1; 20]), 1)).await.unwrap();
    for n in [0, 1, 3] {
        network.node(n).commits(&[hash]).await;
    }
    // And the last one, which slept longest.
    network.start(2).await;
    let height = network.highest();
    network.node(2).reach(height).await;
    network.assert_agreement();

    // All stop and start again: the chain goes on from where it was.
    let height = network.highest();
    for n in 0..4 {
        network.stop(n).await;
    }
    network.start_all().await;
    network.reach(height + 2).await;
    network.assert_agreement();
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Figures, printed: `cargo test -p openmesh-engine --test cluster -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; prints figures"]
async fn measure() {
    const SENDERS: usize = 64;
    let mut network = Network::new(4, 0, SENDERS);
    network.start_all().await;
    network.reach(2).await;

    // Idle: the interval between blocks.
    let (from, since) = (network.highest(), Instant::now());
    network.reach(from + 10).await;
    println!("idle: {:.0} ms between blocks", since.elapsed().as_millis() as f64 / 10.0);

    // One transfer at a time, at some moment between two blocks: from submission to the commit at the same node.
    let to = Address([1; 20]);
    let mut latencies = Vec::new();
    for nonce in 0..40u64 {
        let bytes = transfer(0, nonce, to, 1);
        tokio::time::sleep(Duration::from_millis(250 + nonce * 17)).await;
        let node = network.node(nonce as usize % 4);
        while node.blocks.try_recv().is_ok() {}
        let started = Instant::now();
        let hash = node.handle.submit(bytes).await.unwrap();
        latencies.push(node.commits(&[hash]).await[&hash] - started);
    }
    latencies.sort();
    println!("single transfers: p50 {:?}, p99 {:?}", percentile(&latencies, 50), percentile(&latencies, 99));

    for (step, rate) in [(0, 100), (1, 400)] {
        steady(&mut network, 1 + step * 8, rate).await;
    }
    saturate(&mut network, 17..SENDERS).await;
    network.assert_agreement();
}

/// A steady rate for ten seconds, each node getting its share.
async fn steady(network: &mut Network, first: usize, rate: u64) {
    let to = Address([1; 20]);
    let count = rate * 10;
    let signed: Vec<Vec<u8>> = (0..count).map(|n| transfer(first + n as usize % 8, n / 8, to, 1)).collect();
    let mut watcher = network.node(0).handle.committed();
    let handles: Vec<_> = (0..4).map(|n| network.node(n).handle.clone()).collect();
    let submissions = tokio::spawn(async move {
        let started = tokio::time::Instant::now();
        let mut sent = Vec::new();
        for (n, bytes) in signed.into_iter().enumerate() {
            let due = started + Duration::from_micros(1_000_000 * n as u64 / rate);
            tokio::time::sleep_until(due).await;
            // All of one sender go through one node, so that they arrive in order.
            let handle = handles[n % 8 % 4].clone();
            sent.push(tokio::spawn(async move { (handle.submit(bytes).await.unwrap(), due.into_std()) }));
        }
        sent
    });
    let seen = watch(&mut watcher, count as usize).await;
    let mut latencies = Vec::new();
    for submission in submissions.await.unwrap() {
        let (hash, at) = submission.await.unwrap();
        latencies.push(seen.0[&hash] - at);
    }
    latencies.sort();
    let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
    println!("{rate}/s for 10 s: submit to commit p50 {p50:?}, p99 {p99:?}, {} blocks, rounds {}", seen.1, seen.2);
}

type Seen = (BTreeMap<Digest, Instant>, usize, i64);

/// Waits until so many transfers are committed; returns the moment of each, in how many blocks, and the highest round.
async fn watch(watcher: &mut broadcast::Receiver<Arc<CommittedBlock>>, count: usize) -> Seen {
    let (mut seen, mut blocks, mut round) = (BTreeMap::new(), 0, 0);
    let all = async {
        while seen.len() < count {
            let block = watcher.recv().await.unwrap();
            let now = Instant::now();
            blocks += 1;
            round = block.certificate.round.max(round);
            seen.extend(block.receipts.iter().filter(|r| r.ok()).map(|r| (r.hash, now)));
        }
    };
    let done = tokio::time::timeout(DEADLINE, all).await.is_ok();
    assert!(done, "{} of {count} were committed", seen.len());
    (seen, blocks, round)
}

/// As many as go: signed before, submitted in batches to all four nodes at once.
async fn saturate(network: &mut Network, senders: std::ops::Range<usize>) {
    const EACH: u64 = 200;
    let to = Address([1; 20]);
    let signed: Vec<Vec<Vec<u8>>> =
        senders.map(|sender| (0..EACH).map(|nonce| transfer(sender, nonce, to, 1)).collect()).collect();
    let count = signed.iter().map(Vec::len).sum::<usize>();
    let mut watcher = network.node(0).handle.committed();
    let started = Instant::now();
    for (n, batch) in signed.into_iter().enumerate() {
        let handle = network.node(n % 4).handle.clone();
        tokio::spawn(async move {
            for part in batch.chunks(50) {
                for bytes in part {
                    handle.submit(bytes.clone()).await.unwrap();
                }
            }
        });
    }
    let (_, blocks, round) = watch(&mut watcher, count).await;
    let elapsed = started.elapsed();
    let rate = count as f64 / elapsed.as_secs_f64();
    println!("saturated: {count} transfers in {elapsed:?}: {rate:.0}/s, {blocks} blocks, highest round {round}");
}
