//! A process that is killed while it commits leaves its store before or after a block, never in between.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openmesh_ledger::{block_meta, check_supply, keys};
use openmesh_storage::{StoreConfig, verify_proof};

use crate::chain::{Chain, genesis};

/// Tells the child which store to use.
const STORE: &str = "OPENMESH_TEST_CRASH_STORE";
const ROUNDS: u32 = 16;

fn config() -> StoreConfig {
    StoreConfig { proof_heights: 5, cache_bytes_max: 4 << 20, ..StoreConfig::default() }
}

/// The child: commits until it is killed, and prints a line before and after each commit.
#[test]
#[ignore = "runs in a process of its own, started by killed_between_and_within_commits"]
fn committing_child() {
    let Some(dir) = std::env::var_os(STORE).map(PathBuf::from) else { return };
    let chain = Chain::open(&dir, config());
    loop {
        let height = chain.store.tip().height + 1;
        let block = chain.propose(&chain.transactions());
        chain.store.put_undecided(height, 0, &block.hash(), b"proposal").unwrap();
        println!("begin {height}");
        chain.commit(&block);
        println!("done {height}");
    }
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::committing_child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(STORE, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for the third block to begin, then for a part of a commit's duration, and kills. Returns the last height that
/// the child is known to have committed.
fn kill_within_a_commit(mut child: Child, round: u32) -> u64 {
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let (mut done, mut begun, mut took, mut since) = (0, 0, Duration::ZERO, Instant::now());
    for line in lines.by_ref() {
        match line.split_once(' ') {
            Some(("begin", _)) => {
                begun += 1;
                since = Instant::now();
                if begun == 3 {
                    break;
                }
            }
            Some(("done", height)) => {
                took = since.elapsed();
                done = height.parse().unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(begun, 3, "the child must commit");
    // Sixteen points over one and a half times the duration of the commit before: a moment is meant, not an event.
    let point = took * round * 3 / (2 * ROUNDS);
    while since.elapsed() < point {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        if let Some(("done", height)) = line.split_once(' ') {
            done = height.parse().unwrap();
        }
    }
    done
}

#[test]
fn killed_between_and_within_commits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut before, mut ahead) = (0, 0);
    for round in 0..ROUNDS {
        let done = kill_within_a_commit(start(dir.path()), round);
        let chain = Chain::open(dir.path(), config());
        let tip = chain.store.tip();
        assert!(tip.height == done || tip.height == done + 1, "round {round}: {} after {done}", tip.height);
        assert!(tip.height > before);
        ahead += u32::from(tip.height == done + 1);
        before = tip.height;
        whole(&chain);
    }
    println!("{ROUNDS} kills: {ahead} after the commit and before the child could say so");
}

/// Everything in the store is of the same height.
fn whole(chain: &Chain) {
    let tip = chain.store.tip();
    let state = chain.store.state().unwrap();
    assert_eq!(state.tip(), tip);
    assert_eq!(block_meta(&state).unwrap().height, tip.height);
    assert!(check_supply(&state).unwrap().1);
    let (value, proof) = chain.store.prove(keys::BLOCK, tip.height).unwrap();
    assert_eq!(verify_proof(&tip.state_root, keys::BLOCK, value.as_deref(), &proof), Ok(()));
    let mut parent = genesis().hash();
    for height in 1..=tip.height {
        let stored = chain.store.block(height).unwrap().unwrap();
        assert_eq!(stored.block.header.parent, parent);
        parent = stored.block.hash();
        let last = stored.receipts.last().unwrap();
        assert_eq!(chain.store.transaction(&last.hash).unwrap(), Some((height, last.index)));
    }
    assert_eq!(parent, tip.block_hash);
    assert!(chain.store.block(tip.height + 1).unwrap().is_none());
    assert!(chain.store.undecided(tip.height).unwrap().is_empty());
}
