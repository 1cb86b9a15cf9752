//! Measures a snapshot: exporting, checking and restoring the state in chunks, at 1,000,000 accounts or as many as are named.
//!
//! `cargo run --example snapshot [ACCOUNTS]` prints one JSON object.

use std::error::Error;
use std::time::Instant;

use openmesh_ledger::{BlockLimits, Certificate, Genesis, GenesisValidator, Params, build_block, precommit_sign_bytes};
use openmesh_primitives::{Address, Amount, Timestamp, ValidatorKey, canonical, sha256};
use openmesh_storage::{Restore, SnapshotTarget, Store, StoreConfig, check_chunk, chunk_count};

const CHAIN_ID: u64 = 84_298;

fn genesis(key: &ValidatorKey, accounts: u32) -> Genesis {
    let account = |number: u32| {
        let hash = sha256(&[&number.to_be_bytes()]);
        let mut address = [0; 20];
        address.copy_from_slice(&hash.0[..20]);
        (Address(address), Amount::open(1))
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: "snapshot".into(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: vec![GenesisValidator { public_key: key.public(), power: 1, name: "v".into(), payout: None }],
        accounts: (0..accounts).map(account).collect(),
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let accounts = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let key = ValidatorKey::from_seed([1; 32]);
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let store = Store::open(here.path())?;
    let genesis = genesis(&key, accounts);
    let start = Instant::now();
    store.initialise(&genesis)?;
    eprintln!("{accounts} accounts made in {:.1} s", start.elapsed().as_secs_f64());
    let tip = store.tip();
    let limits = BlockLimits::of(&genesis.params);
    let address = key.public().address();
    let time = Timestamp(tip.time.nanos() + 1);
    let (block, execution) = build_block(&store.state()?, &tip, None, &[], &key, time, &limits)?;
    let hash = block.hash();
    let signature = key.sign(&precommit_sign_bytes(CHAIN_ID, 1, 0, &hash, &address));
    let certificate = Certificate { height: 1, round: 0, block_hash: hash, signatures: vec![(address, signature)] };
    let prepared = store.prepare(&execution)?;
    store.commit(&block, &certificate, &execution, prepared)?;

    let depth = store.snapshot_depth(1)?;
    let target = SnapshotTarget {
        first_validators: genesis.validator_set()?,
        genesis,
        block,
        certificate,
        state_root: store.tip().state_root,
        depth,
        walk_from: 0,
        changes: Vec::new(),
    };
    let mut restore = Restore::begin(there.path(), StoreConfig::default(), target.clone())?;
    let (mut export, mut check, mut keep, mut rows, mut largest) = (0.0, 0.0, 0.0, 0, 0);
    for index in 0..chunk_count(depth) {
        let begun = Instant::now();
        let chunk = canonical::encode(&store.snapshot_chunk(1, depth, index)?);
        export += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        rows += check_chunk(&target.state_root, depth, index, &chunk)?;
        check += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        restore.keep(index, &chunk)?;
        keep += begun.elapsed().as_secs_f64();
        largest = largest.max(chunk.len());
    }
    let begun = Instant::now();
    let restored = restore.finish()?;
    let build = begun.elapsed().as_secs_f64();
    let all = export + check + keep + build;
    if restored.tip() != store.tip() {
        return Err("the restored state is another".into());
    }
    println!(
        r#"{{"benchmark":"snapshot","accounts":{accounts},"rows":{rows},"chunks":{},"largest_chunk_bytes":{largest},"export_seconds":{export:.2},"check_seconds":{check:.2},"keep_seconds":{keep:.2},"build_seconds":{build:.2},"all_seconds":{all:.2}}}"#,
        chunk_count(depth)
    );
    Ok(())
}
