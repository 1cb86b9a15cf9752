//! Hostile transactions and envelopes of ten kinds beside honest load, against a running validator.
//!
//! The fast form is a test like any other. The long one is `make flood`, a hundred thousand hostile transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use openmesh_engine::{GossipVerdict, Handle, MempoolConfig, SubmitError};
use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Attestation, ChunkClaim, Transaction};
use openmesh_primitives::{Address, Amount, ContentId, Digest, Timestamp, ValidatorKey, canonical};
use openmesh_storage::Store;

use crate::harness::{self, CHAIN_ID, DEADLINE, FEE, Network, account};

/// Accounts of honest clients; the accounts after them are hostile.
const HONEST: usize = 8;
/// Funded accounts of the attackers.
const HOSTILE: usize = 24;
/// Honest transactions a second: far below what the node can do, so that whatever is lost is lost to the flood.
const HONEST_PER_SECOND: u64 = 40;
/// Of each hundred honest transactions so many must be committed in time.
const HONEST_PERCENT_MIN: usize = 80;
/// After the last honest transaction was handed in, its block may take so long.
const COMMIT_MAX: Duration = Duration::from_secs(10);
/// Transactions in a hostile envelope.
const ENVELOPE: usize = 250;

/// The kinds of hostile transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Well paid nonces behind a gap that nobody closes.
    Gap,
    /// Transactions that were committed before.
    Replay,
    /// Bytes that are no transaction.
    Garbage,
    /// Transactions and envelopes beyond the largest.
    Oversized,
    /// An honest client's transaction under a wrong signature.
    BadSignature,
    /// One valid transaction, again and again.
    Duplicate,
    /// Validly signed by accounts that do not exist.
    Stranger,
    /// Signed for another network, or with too low a fee.
    Misdirected,
    /// More than the account can pay for, and replacements that pay no more.
    Overdrawn,
    /// Attestations of who is no validator.
    FalseAttestation,
}

const KINDS: [Kind; 10] = [
    Kind::Gap,
    Kind::Replay,
    Kind::Garbage,
    Kind::Oversized,
    Kind::BadSignature,
    Kind::Duplicate,
    Kind::Stranger,
    Kind::Misdirected,
    Kind::Overdrawn,
    Kind::FalseAttestation,
];

fn signed(from: usize, chain: u64, nonce: u64, fee: Amount, amount: u128) -> Vec<u8> {
    let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(amount) });
    Transaction::Account(AccountTransaction::sign(&account(from), chain, nonce, fee, action).unwrap()).encode()
}

/// A hostile transaction, the `n`th of its kind.
fn hostile(kind: Kind, n: u64, committed: &[Vec<u8>]) -> Vec<u8> {
    // Each kind has a few funded accounts of its own.
    let attacker = |kinds: usize| HONEST + kinds * 4 + n as usize % 4;
    let rich = Amount(FEE.0 * 1_000);
    match kind {
        Kind::Gap => signed(attacker(0), CHAIN_ID, 1 + n / 4 % 1_000, rich, 0),
        Kind::Replay => committed[n as usize % committed.len()].clone(),
        Kind::Garbage => n.to_be_bytes().repeat(1 + n as usize % 40),
        Kind::Oversized => vec![1; 200_000],
        Kind::BadSignature => {
            let mut bytes = signed(n as usize % HONEST, CHAIN_ID, n, FEE, 1);
            let at = bytes.len() - 2;
            bytes[at] = 255;
            bytes
        }
        Kind::Duplicate => signed(attacker(1), CHAIN_ID, 0, FEE, 7),
        Kind::Stranger => signed(10_000 + n as usize, CHAIN_ID, 0, rich, 1),
        Kind::Misdirected if n.is_multiple_of(2) => signed(attacker(2), CHAIN_ID + 1, 0, FEE, 1),
        Kind::Misdirected => signed(attacker(2), CHAIN_ID, 0, Amount(FEE.0 / 2), u128::from(n)),
        Kind::Overdrawn => signed(attacker(3), CHAIN_ID, n / 4 % 8, FEE, Amount::open(400).0 + u128::from(n)),
        Kind::FalseAttestation => {
            let key = ValidatorKey::from_seed([200; 32]);
            let claim =
                ChunkClaim { stream: "BTC.USDT/trades".to_owned(), cid: ContentId::of(b"lie"), bytes: 3, events: 1 };
            Transaction::Attestation(Attestation::sign(&key, CHAIN_ID, "simulated", n, 0, vec![claim], vec![])).encode()
        }
    }
}

#[derive(Default)]
struct Seen {
    transactions: AtomicUsize,
    counted_against: AtomicUsize,
    accepted: AtomicUsize,
}

/// Sends everything of a kind as a peer does and as a client does.
async fn attack(handle: Handle, kind: Kind, list: Vec<Vec<u8>>, seen: Arc<Seen>) {
    for (n, part) in list.chunks(ENVELOPE).enumerate() {
        seen.transactions.fetch_add(part.len(), Ordering::Relaxed);
        if n.is_multiple_of(2) {
            let envelope = Bytes::from(canonical::encode(&part.to_vec()));
            match handle.gossip_in(envelope, format!("{kind:?}")).await {
                GossipVerdict::Reject | GossipVerdict::Worthless => {
                    seen.counted_against.fetch_add(1, Ordering::Relaxed)
                }
                GossipVerdict::Accept => seen.accepted.fetch_add(1, Ordering::Relaxed),
                GossipVerdict::Ignore => 0,
            };
            continue;
        }
        // A client that opens many requests at once, and drops half of them before their answers.
        let requests: Vec<_> = part
            .iter()
            .map(|bytes| {
                let (handle, bytes) = (handle.clone(), bytes.clone());
                tokio::spawn(async move { handle.submit(bytes).await })
            })
            .collect();
        for (n, request) in requests.into_iter().enumerate() {
            if n.is_multiple_of(2) {
                request.abort();
            } else {
                let _ = request.await;
            }
        }
    }
}

/// Hands honest transactions in at a steady rate; a client that is told to come again comes again.
async fn honest(handle: Handle, first_nonce: u64, count: u64) -> Vec<Digest> {
    let started = tokio::time::Instant::now();
    let mut sent = Vec::new();
    for n in 0..count {
        tokio::time::sleep_until(started + Duration::from_millis(1_000 * n / HONEST_PER_SECOND)).await;
        let (from, nonce) = (n as usize % HONEST, first_nonce + n / HONEST as u64);
        let bytes = signed(from, CHAIN_ID, nonce, FEE, 1);
        loop {
            match handle.submit(bytes.clone()).await {
                Ok(hash) => break sent.push(hash),
                Err(SubmitError::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("an honest transaction was refused: {error}"),
            }
        }
    }
    sent
}

fn second() -> u64 {
    Timestamp::now().millis() as u64 / 1_000
}

/// Attests each window of this run once, as soon as it has ended.
async fn attest(handle: Handle, store: Store, key: ValidatorKey, stop: Arc<AtomicUsize>) -> Vec<Digest> {
    let (mut sent, mut next) = (Vec::new(), second());
    while stop.load(Ordering::Relaxed) == 0 {
        if second() <= next {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let cid = ContentId::of(&next.to_be_bytes());
        let claim = ChunkClaim { stream: "BTC.USDT/trades".to_owned(), cid, bytes: 8, events: 1 };
        let epoch = openmesh_ledger::current_epoch(&store.state().unwrap()).unwrap();
        let attestation = Attestation::sign(&key, CHAIN_ID, "simulated", next, epoch, vec![claim], vec![]);
        let handed_in = Instant::now();
        // No second try: our own attestations wait for nobody.
        sent.push(handle.submit_own(Transaction::Attestation(attestation)).await.expect("an own attestation is taken"));
        assert!(handed_in.elapsed() < Duration::from_secs(5), "an own attestation waited for strangers");
        next += 1;
    }
    sent
}

/// The pool's limits hold at every moment.
async fn watch_memory(handle: Handle, stop: Arc<AtomicUsize>) -> (usize, usize) {
    let limits = MempoolConfig::default();
    let (mut transactions, mut bytes) = (0, 0);
    while stop.load(Ordering::Relaxed) == 0 {
        let status = handle.status();
        transactions = transactions.max(status.mempool_transactions);
        bytes = bytes.max(status.mempool_bytes);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(transactions <= limits.ahead_max + 2_000, "{transactions} wait: the flood fills the pool");
    assert!(bytes <= limits.ahead_bytes_max + 2 * 1024 * 1024, "{bytes} bytes wait");
    (transactions, bytes)
}

async fn flood(hostile_count: usize, honest_count: u64) {
    let mut network = Network::new(1, 0, HONEST + HOSTILE);
    network.start_all().await;
    network.reach(1).await;
    let key = network.keys[0].clone().unwrap();
    let node = network.node(0);
    let (handle, store) = (node.handle.clone(), node.store.clone());
    // The first ones are committed, to be replayed by the attackers.
    let before: Vec<Vec<u8>> =
        (0..2 * HONEST).map(|n| signed(n % HONEST, CHAIN_ID, n as u64 / HONEST as u64, FEE, 1)).collect();
    let mut hashes = Vec::new();
    for bytes in &before {
        hashes.push(handle.submit(bytes.clone()).await.unwrap());
    }
    node.commits(&hashes).await;

    let each = hostile_count / KINDS.len();
    let prepared = tokio::task::spawn_blocking(move || {
        KINDS.map(|kind| (kind, (0..each as u64).map(|n| hostile(kind, n, &before)).collect::<Vec<_>>()))
    });
    let prepared = prepared.await.unwrap();
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicUsize::new(0)));
    let attester = tokio::spawn(attest(handle.clone(), store, key, Arc::clone(&stop)));
    let memory = tokio::spawn(watch_memory(handle.clone(), Arc::clone(&stop)));
    let started = Instant::now();
    let clients = tokio::spawn(honest(handle.clone(), 2, honest_count));
    let attacks: Vec<_> = prepared
        .into_iter()
        .map(|(kind, list)| tokio::spawn(attack(handle.clone(), kind, list, Arc::clone(&seen))))
        .collect();
    let honest_sent = clients.await.unwrap();
    for attack in attacks {
        attack.await.unwrap();
    }
    let took = started.elapsed();
    stop.store(1, Ordering::Relaxed);
    let own = attester.await.unwrap();
    let (transactions, bytes) = memory.await.unwrap();

    let committed = committed_in_time(network.node(0), &honest_sent, &own).await;
    let (of_honest, of_own) = committed;
    println!(
        "{} hostile transactions of {} kinds in {took:.1?}: {} envelopes counted against their senders, {} accepted; \
         {of_honest} of {} honest committed, {of_own} of {} own attestations; at most {transactions} transactions of \
         {bytes} bytes waited",
        seen.transactions.load(Ordering::Relaxed),
        KINDS.len(),
        seen.counted_against.load(Ordering::Relaxed),
        seen.accepted.load(Ordering::Relaxed),
        honest_sent.len(),
        own.len(),
    );
    assert!(of_honest * 100 >= honest_sent.len() * HONEST_PERCENT_MIN);
    assert!(!own.is_empty() && of_own == own.len(), "an own attestation was missed");
    assert!(seen.counted_against.load(Ordering::Relaxed) > 0);
}

/// Number of the honest transactions and of the own attestations that have taken effect within [`COMMIT_MAX`].
async fn committed_in_time(node: &mut harness::Running, honest: &[Digest], own: &[Digest]) -> (usize, usize) {
    let deadline = tokio::time::Instant::now() + COMMIT_MAX;
    loop {
        let count =
            |list: &[Digest]| list.iter().filter(|hash| node.store.transaction(hash).unwrap().is_some()).count();
        let counts = (count(honest), count(own));
        if counts == (honest.len(), own.len()) || tokio::time::Instant::now() > deadline {
            return counts;
        }
        let _ = tokio::time::timeout_at(deadline, node.blocks.recv()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_honest_clients_and_own_attestations_their_room() {
    tokio::time::timeout(DEADLINE, flood(4_000, 160)).await.expect("in time");
}

/// `make flood`: more with OPENMESH_FLOOD.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; make flood"]
async fn a_hundred_thousand() {
    let count = std::env::var("OPENMESH_FLOOD").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    flood(count, count as u64 / 40).await;
}
