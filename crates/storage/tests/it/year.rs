//! A year of fifteen venues and three hundred streams: how large the state and the store are after it, and whether its oldest chunk
//! can be proved by somebody who has nothing but the genesis.
//!
//! All 8,760 epochs of an hour pass, with the ledger's rules, the store, its tree and its facts. The first one and the last ones
//! have the pace of the product: each source closes a window of ten seconds with twenty chunks every ten seconds. In the epochs between, each
//! source closes one such window. That changes nothing of what is measured: details leave the state after six epochs, and what
//! stays of an epoch is its root, which has the same size over one fact or a hundred thousand. So the state at the end is that of
//! a year at the full pace, entry by entry; the oldest chunk lies in a tree of the full size. What is smaller is the store's table of
//! facts and blocks, whose growth is stated beside it, for each chunk.

use std::sync::Arc;
use std::time::Instant;

use openmesh_ledger::{
    Attestation, BlockLimits, Certificate, ChunkClaim, EpochsEvent, EpochsParams, Fact, Genesis, GenesisValidator,
    LedgerEvent, Origin, Params, SourceKind, SourceSpec, StateRead, Transaction, ValidatorSet, WindowsFact,
    WindowsParams, build_block, closed_epoch, current_epoch, execute_block, keys, light, verify_stateless,
};
use openmesh_primitives::{ContentId, Height, Timestamp, ValidatorKey, canonical};
use openmesh_storage::{Store, StoreConfig, verify_proof};

use crate::chain::{CHAIN_ID, certificate};

const VENUES: u64 = 15;
const STREAMS: u64 = 20;
const WINDOW_MS: u64 = 10_000;
const EPOCHS: u64 = 8_760;
/// Epochs at the full pace at the end: those whose details are kept, and the one in progress.
const FULL_AT_END: u64 = 7;
/// Validators at the genesis; one of them leaves in each quarter.
const VALIDATORS: usize = 7;
/// Bars: bytes of the state with its tree, and of the path from chunk to trusted header.
const STATE_BYTES_MAX: u64 = 2_000_000_000;
const PATH_BYTES_MAX: usize = 4_096;
/// A tree's node, a leaf's value and the index of stale nodes for each key of the state: measured on a store of a million keys at
/// about 300 bytes, here with room.
const TREE_BYTES_PER_KEY: u64 = 600;

/// Epochs of the run, which OPENMESH_YEAR_EPOCHS makes fewer.
fn epochs() -> u64 {
    std::env::var("OPENMESH_YEAR_EPOCHS").ok().and_then(|text| text.parse().ok()).unwrap_or(EPOCHS)
}

fn stream(number: u64) -> String {
    format!("S{}.USD/{}", number / 2, ["book", "trades"][number as usize % 2])
}

fn venue(number: u64) -> String {
    format!("venue{number:02}")
}

fn genesis() -> Genesis {
    let keys = (1..=VALIDATORS as u8).map(|n| ValidatorKey::from_seed([n; 32]));
    let validator =
        |key: ValidatorKey| GenesisValidator { public_key: key.public(), power: 1, name: "v".into(), payout: None };
    let source = |number| SourceSpec {
        id: venue(number),
        exchange: "kraken".to_owned(),
        kind: SourceKind::Market,
        symbols: {
            let mut symbols: Vec<String> = (0..STREAMS / 2).map(|n| format!("S{n}.USD")).collect();
            symbols.sort();
            symbols
        },
        feeds: vec!["book".to_owned(), "trades".to_owned()],
        window_ms: WINDOW_MS,
        origin: Origin::Replay,
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: "a year".to_owned(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: keys.map(validator).collect(),
        accounts: vec![],
        sources: (0..VENUES).map(source).collect(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params {
            windows: WindowsParams { window_close_blocks: 1, commitments: false, ..WindowsParams::default() },
            epochs: EpochsParams::default(),
            ..Params::default()
        },
    }
}

struct Year {
    store: Store,
    keys: Vec<ValidatorKey>,
    time_ms: i64,
    last_commit: Option<Certificate>,
    oldest: Option<(String, u64, String)>,
    chunks: u64,
}

impl Year {
    /// Commits a block after a pause, with the attestations of the window that has just ended of every source.
    fn block(&mut self, pause_ms: i64, attests: bool, leaves: bool) {
        self.time_ms += pause_ms;
        let (state, tip) = (self.store.state().unwrap(), self.store.tip());
        let epoch = current_epoch(&state).unwrap();
        let number = self.time_ms as u64 / WINDOW_MS - 1;
        let mut candidates = Vec::new();
        for source in 0..if attests { VENUES } else { 0 } {
            let claims: Vec<ChunkClaim> = (0..STREAMS)
                .map(|n| ChunkClaim {
                    stream: stream(n),
                    cid: ContentId::of(&[source.to_be_bytes(), number.to_be_bytes(), n.to_be_bytes()].concat()),
                    bytes: 4_000,
                    events: 50,
                })
                .collect();
            for key in &self.keys {
                let signed = Attestation::sign(key, CHAIN_ID, &venue(source), number, epoch, claims.clone(), vec![]);
                candidates.push(Arc::new(verify_stateless(&Transaction::Attestation(signed).encode()).unwrap()));
            }
        }
        let proposer = &self.keys[tip.height as usize % self.keys.len()];
        let limits = BlockLimits::of(&genesis().params);
        let (commit, time) = (self.last_commit.take(), Timestamp::from_millis(self.time_ms));
        let (block, _) = build_block(&state, &tip, commit, &candidates, proposer, time, &limits).unwrap();
        assert_eq!(block.transactions.len(), candidates.len(), "there is room for all attestations");
        let mut execution = execute_block(&state, &block).unwrap();
        if let Some(refused) = execution.receipts.iter().find(|receipt| !receipt.ok()) {
            panic!("{refused:?}");
        }
        if leaves {
            // As staking will change it.
            let left = self.store.validators_at(tip.height + 1).unwrap();
            let gone = self.keys.last().unwrap().public();
            let stay = left.iter().filter(|validator| validator.public_key != gone).cloned().collect();
            let next = canonical::encode(&ValidatorSet::new(stay).unwrap());
            execution.writes.insert(keys::VALIDATORS_NEXT.to_vec(), Some(next));
        }
        for fact in &execution.facts {
            if let Fact::Windows(WindowsFact::Chunk { source, window, stream, .. }) = fact {
                self.chunks += 1;
                self.oldest.get_or_insert_with(|| (source.clone(), *window, stream.clone()));
            }
        }
        let closes = |event: &LedgerEvent| matches!(event, LedgerEvent::Epochs(EpochsEvent::EpochClosed { .. }));
        assert!(execution.events.iter().filter(|event| closes(event)).count() <= 1);
        let prepared = self.store.prepare(&execution).unwrap();
        let signed = certificate(&self.keys, &block);
        self.store.commit(&block, &signed, &execution, prepared).unwrap();
        self.last_commit = Some(signed);
    }

    /// Lets an epoch pass, at the full pace or with one window of each source.
    fn epoch(&mut self, full: bool, leaves: bool) {
        let (blocks, pause) = if full { (360, WINDOW_MS as i64) } else { (3, 1_200_000) };
        for n in 0..blocks {
            self.block(pause, full || n == 1, leaves && n == 1);
            // The set that was announced decides the height after the next one.
            if leaves && n == 2 {
                self.keys.pop();
            }
        }
    }

    /// Entries of the state, and bytes of their keys and values.
    fn state(&self) -> (u64, u64) {
        let (state, mut from, mut sum) = (self.store.state().unwrap(), None::<Vec<u8>>, (0, 0));
        loop {
            let pairs = state.scan(b"", from.as_deref(), 10_000).unwrap();
            let Some((last, _)) = pairs.last() else { return sum };
            sum.0 += pairs.len() as u64;
            sum.1 += pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
            from = Some([last.as_slice(), &[0]].concat());
        }
    }

    /// Proves the oldest chunk as a stranger checks it: with the genesis and what is handed over, and with nothing of the store.
    fn prove_oldest(&self) {
        let (source, window, stream) = self.oldest.clone().unwrap();
        let (epoch, position) = self.store.chunk_fact(&source, window, &stream).unwrap().unwrap();
        assert_eq!(epoch, 0);
        let fact = self.store.fact_proof(epoch, position).unwrap().unwrap();
        let height = self.store.tip().height;
        let (value, state_proof) = self.store.prove(&keys::closed_epoch(epoch), height - 1).unwrap();
        let (header, signed) = self.store.header(height).unwrap().unwrap();
        let handed: Vec<(Height, ValidatorSet)> = self.store.validator_changes(height).unwrap();
        let changes: Vec<light::ValidatorChange> = handed
            .iter()
            .map(|(from, validators)| {
                let (header, certificate) = self.store.header(from - 1).unwrap().expect("kept for light clients");
                light::ValidatorChange { header, certificate, validators: validators.clone() }
            })
            .collect();

        // From here on nothing is asked of the store.
        let trusted = genesis().validator_set().unwrap();
        let set = light::follow(CHAIN_ID, &trusted, &changes).unwrap();
        light::verify(CHAIN_ID, &set, &header, &signed).unwrap();
        let value = value.unwrap();
        verify_proof(&header.state_root, &keys::closed_epoch(epoch), Some(&value), &state_proof).unwrap();
        let closed = canonical::decode(&value).unwrap();
        light::verify_fact(&closed, &fact).unwrap();
        let Fact::Windows(WindowsFact::Chunk { source: of, window: at, stream: in_stream, chunk, .. }) = &fact.fact
        else {
            panic!()
        };
        assert_eq!((of, at, in_stream), (&source, &window, &stream));
        let number: u64 = source.trim_start_matches("venue").parse().unwrap();
        let n = (0..STREAMS).find(|n| crate::year::stream(*n) == stream).unwrap();
        assert_eq!(chunk.cid, ContentId::of(&[number.to_be_bytes(), window.to_be_bytes(), n.to_be_bytes()].concat()));
        assert!(light::verify(CHAIN_ID, &trusted, &header, &signed).is_err(), "without the changes nobody trusts it");

        let path = canonical::encode(&fact).len()
            + canonical::encode(&state_proof).len()
            + value.len()
            + canonical::encode(&header).len();
        let change = |change: &light::ValidatorChange| {
            canonical::encode(&change.header).len()
                + canonical::encode(&change.certificate).len()
                + canonical::encode(&change.validators).len()
        };
        println!(
            "oldest chunk {source}/{stream} window {window} of {} facts: path {path} bytes (header included), certificate {} bytes, {} changes of the set {} bytes",
            closed.facts,
            canonical::encode(&signed).len(),
            changes.len(),
            changes.iter().map(change).sum::<usize>(),
        );
        assert!(path < PATH_BYTES_MAX, "{path}");
        assert_eq!(changes.len(), VALIDATORS - self.keys.len());
    }
}

fn run(epochs: u64) {
    let dir = tempfile::tempdir().unwrap();
    // An archive: the facts of the first epoch are proved in the end.
    let config = StoreConfig { proof_heights: 100, cache_bytes_max: 256 << 20, retain_ms: None };
    let store = Store::open_with(dir.path(), config).unwrap();
    store.initialise(&genesis()).unwrap();
    let keys = (1..=VALIDATORS as u8).map(|n| ValidatorKey::from_seed([n; 32])).collect();
    let time_ms = genesis().time.millis();
    let mut year = Year { store, keys, time_ms, last_commit: None, oldest: None, chunks: 0 };
    let started = Instant::now();
    let full = |epoch: u64| epoch == 0 || epoch + FULL_AT_END >= epochs;
    for epoch in 0..epochs {
        let leaves = epoch > 0 && !full(epoch) && epoch % (epochs / 4) == 0;
        year.epoch(full(epoch), leaves);
        if epoch % 500 == 0 || full(epoch) {
            println!(
                "epoch {epoch} after {:.0?}: {:?} entries and bytes of state, {} chunks",
                started.elapsed(),
                year.state(),
                year.chunks
            );
        }
    }
    let closed =
        (0..epochs).filter(|epoch| closed_epoch(&year.store.state().unwrap(), *epoch).unwrap().is_some()).count();
    let (entries, bytes) = year.state();
    let disk: u64 = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let with_tree = bytes + entries * TREE_BYTES_PER_KEY;
    println!(
        "{epochs} epochs, {closed} roots, {} chunks: {entries} entries, {bytes} bytes, {with_tree} with the tree; store's files {disk} bytes",
        year.chunks
    );
    assert!(closed as u64 >= epochs - 1, "every epoch but the last one has left its root");
    assert!(with_tree < STATE_BYTES_MAX, "{with_tree}");
    year.prove_oldest();
}

/// A short form of the same, so that it cannot rot.
#[test]
fn some_epochs_of_a_year() {
    // Four epochs at the full pace would take minutes: a window of each source in each.
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { proof_heights: 100, retain_ms: None, ..StoreConfig::default() };
    let store = Store::open_with(dir.path(), config).unwrap();
    store.initialise(&genesis()).unwrap();
    let keys = (1..=VALIDATORS as u8).map(|n| ValidatorKey::from_seed([n; 32])).collect();
    let mut year = Year { store, keys, time_ms: genesis().time.millis(), last_commit: None, oldest: None, chunks: 0 };
    let mut sizes = Vec::new();
    for epoch in 0..40 {
        year.epoch(false, epoch % 10 == 5);
        sizes.push(year.state().0);
    }
    // Within the retention nothing but the draw and the root of each epoch stays.
    assert!(sizes[39] - sizes[19] <= 2 * 20 + 40, "{sizes:?}");
    assert_eq!(year.chunks, 40 * VENUES * STREAMS);
    year.prove_oldest();
}

/// `make soak`.
#[test]
#[ignore = "takes minutes; make soak"]
fn fifteen_venues_and_three_hundred_streams() {
    run(epochs());
}
