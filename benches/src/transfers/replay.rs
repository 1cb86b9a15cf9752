//! The blocks that a validator has stored, once more through each part of its work alone.
//!
//! The clock is that of the thread's processor time: waiting for the disk is none. Every block is executed on a fresh store of the
//! same genesis, and has to come to the receipts that were recorded: a part that was measured while it did something else would
//! show there.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use openmesh_ledger::{
    Block, MempoolRules, RuleSets, Transaction, Upcoming, VerifiedTransaction, execute_checked, validate_checked,
    verify_stateless,
};
use openmesh_primitives::{canonical, sha256};
use openmesh_storage::{Store, StoredBlock};

use crate::proc::thread_time;

/// Processor time of each part over all recorded transfers.
#[derive(Default)]
struct Times {
    decode: Duration,
    hash: Duration,
    signature: Duration,
    admit: Duration,
    check: Duration,
    execute: Duration,
    root: Duration,
    store: Duration,
}

/// Outcome of a replay.
pub struct Replayed {
    times: Times,
    /// Canonical bytes of the transfers, in the order of the blocks.
    pub transfers: Vec<Vec<u8>>,
}

impl Replayed {
    /// Microseconds of each part for a transfer.
    pub fn parts(&self) -> Vec<(&'static str, f64)> {
        let t = &self.times;
        let parts = [
            ("signature", t.signature),
            ("decode", t.decode),
            ("hash", t.hash),
            ("admit", t.admit),
            ("check", t.check),
            ("execute", t.execute),
            ("root", t.root),
            ("store", t.store),
        ];
        let count = self.transfers.len().max(1) as f64;
        parts.into_iter().map(|(name, time)| (name, time.as_secs_f64() * 1e6 / count)).collect()
    }
}

fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = thread_time();
    let result = work();
    *sum += thread_time() - start;
    result
}

/// Replays what the validator with this home has stored; it must have stopped.
///
/// # Errors
/// Its store cannot be read, or a block does not come to its receipts again.
pub fn run(home: &Path) -> anyhow::Result<Replayed> {
    let recorded = Store::open(&home.join("data").join("ledger")).context("the validator's store")?;
    let dir = tempfile::tempdir()?;
    let fresh = Store::open(dir.path())?;
    fresh.initialise(recorded.genesis()?)?;
    let mut replayed = Replayed { times: Times::default(), transfers: Vec::new() };
    for height in 1..=recorded.tip().height {
        let stored = recorded.block(height)?.with_context(|| format!("block {height} was not kept"))?;
        replayed.play(&fresh, stored).with_context(|| format!("block {height}"))?;
    }
    Ok(replayed)
}

impl Replayed {
    fn play(&mut self, fresh: &Store, stored: StoredBlock) -> anyhow::Result<()> {
        let StoredBlock { block, certificate, receipts, .. } = stored;
        let times = &mut self.times;
        let verified = stateless(times, &block)?;
        let state = fresh.state()?;
        timed(&mut times.admit, || {
            let rules = MempoolRules::of(&state)?;
            // Of several transfers of an account all but the first are ahead of their turn, which takes as long to see.
            verified.iter().for_each(|known| drop(black_box(rules.check(&state, known))));
            Ok::<_, anyhow::Error>(())
        })?;
        let known: Vec<Option<Arc<VerifiedTransaction>>> = verified.into_iter().map(Some).collect();
        let upcoming = Upcoming::of(&RuleSets::built_in(), &state, block.header.height)?;
        let checked = timed(&mut times.check, || {
            let checked = block.hashed().check(&upcoming, &known)?;
            validate_checked(&state, &fresh.tip(), &checked)?;
            Ok::<_, anyhow::Error>(checked)
        })?;
        let execution = timed(&mut times.execute, || execute_checked(&upcoming, &state, checked))?;
        anyhow::ensure!(execution.receipts == receipts, "the replay came to other receipts");
        let prepared = timed(&mut times.root, || fresh.prepare(&execution))?;
        let (height, hash) = (block.header.height, block.hash());
        timed(&mut times.store, || {
            fresh.put_undecided(height, certificate.round, &hash, &canonical::encode(&block))?;
            fresh.commit(&block, &certificate, &execution, prepared)
        })?;
        self.transfers.extend(block.transactions);
        Ok(())
    }
}

/// The parts that need no state; returns the verified transactions.
fn stateless(times: &mut Times, block: &Block) -> anyhow::Result<Vec<Arc<VerifiedTransaction>>> {
    let decoded = timed(&mut times.decode, || {
        let one = |bytes: &Vec<u8>| canonical::decode::<Transaction>(bytes);
        block.transactions.iter().map(one).collect::<Result<Vec<_>, _>>()
    })?;
    timed(&mut times.hash, || {
        for bytes in &block.transactions {
            let _ = black_box(sha256(&[bytes]));
        }
    });
    timed(&mut times.signature, || {
        for transaction in &decoded {
            if let Transaction::Account(inner) = transaction {
                let _ = black_box(inner.sender())?;
            }
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(block.transactions.iter().map(|bytes| verify_stateless(bytes).map(Arc::new)).collect::<Result<_, _>>()?)
}
