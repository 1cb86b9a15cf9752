//! Four validators on loopback: they agree, survive one, halt without two, catch up.

#![allow(clippy::unwrap_used)]

mod harness;

use std::time::{Duration, Instant};

use harness::{DEADLINE, FEE, Network, account, transfer};
use openmesh_engine::{PoolError, SubmitError};
use openmesh_ledger::TransactionError;
use openmesh_primitives::{Address, Amount};

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

    let handle = network.node(0).handle.clone();
    let known = handle.submit(transfer(0, 2, to, 5)).await;
    assert_eq!(known, Err(SubmitError::Pool(PoolError::Known)));
    let used = handle.submit(transfer(0, 2, to, 6)).await;
    assert_eq!(used, Err(SubmitError::Refused(TransactionError::NonceLow { expected: 3, got: 2 })));
    let mut forged = transfer(0, 3, to, 6);
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(handle.submit(forged).await, Err(SubmitError::Refused(_))));
    let far = handle.submit(transfer(0, 3 + 2_000, to, 6)).await;
    assert_eq!(far, Err(SubmitError::Refused(TransactionError::NonceGap { expected: 3, got: 2_003 })));
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

    // One transfer at a time: from submission at one node to the commit at the same.
    let to = Address([1; 20]);
    let mut latencies = Vec::new();
    for nonce in 0..60 {
        let bytes = transfer(0, nonce, to, 1);
        let started = Instant::now();
        let node = network.node(nonce as usize % 4);
        while node.blocks.try_recv().is_ok() {}
        let hash = node.handle.submit(bytes).await.unwrap();
        latencies.push(node.commits(&[hash]).await[&hash] - started);
    }
    latencies.sort();
    println!("one by one: p50 {:?}, p99 {:?}", percentile(&latencies, 50), percentile(&latencies, 99));

    // As many as go: signed before, submitted in batches to all four nodes.
    const EACH: u64 = 300;
    let signed: Vec<Vec<Vec<u8>>> =
        (1..SENDERS).map(|sender| (0..EACH).map(|nonce| transfer(sender, nonce, to, 1)).collect()).collect();
    let count = signed.iter().map(Vec::len).sum::<usize>();
    let (started, first) = (Instant::now(), network.highest());
    let mut watcher = network.node(0).handle.committed();
    let mut submissions = Vec::new();
    for (n, batch) in signed.into_iter().enumerate() {
        let handle = network.node(n % 4).handle.clone();
        submissions.push(tokio::spawn(async move {
            let mut sent = Vec::new();
            for part in batch.chunks(50) {
                let at = Instant::now();
                for result in handle.submit_batch(part.to_vec()).await.unwrap() {
                    sent.push((result.unwrap(), at));
                }
            }
            sent
        }));
    }
    let mut seen = std::collections::BTreeMap::new();
    let all = async {
        while seen.len() < count {
            let block = watcher.recv().await.unwrap();
            let now = Instant::now();
            seen.extend(block.receipts.iter().filter(|r| r.ok()).map(|r| (r.hash, now)));
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("everything is committed");
    let elapsed = started.elapsed();
    let mut latencies = Vec::new();
    for submission in submissions {
        latencies.extend(submission.await.unwrap().into_iter().map(|(hash, at)| seen[&hash] - at));
    }
    latencies.sort();
    println!(
        "{count} transfers in {elapsed:?}: {:.0}/s in {} blocks; submit to commit p50 {:?}, p99 {:?}",
        count as f64 / elapsed.as_secs_f64(),
        network.highest() - first,
        percentile(&latencies, 50),
        percentile(&latencies, 99),
    );
    network.assert_agreement();
}
