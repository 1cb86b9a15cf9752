//! Proofs of a chunk whose entry has left the state, on a real store.

use std::collections::BTreeMap;

use openmesh_ledger::current_epoch;
use openmesh_storage::StoreConfig;

use super::*;
use crate::commands::stored_chain::{self as chain, CHAIN_ID, Chain, SOURCE, STREAM};

/// Window of the first block, whose chunk is the block's height.
const WINDOW: u64 = 1;

fn old_chunk() -> (Vec<u8>, ProofBundle, Trusted) {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), StoreConfig::default());
    // Epochs of ten blocks, of which six are kept after the one in progress.
    while current_epoch(&chain.store.state().unwrap()).unwrap() < 8 {
        chain.advance();
    }
    let key = keys::chunk(SOURCE, WINDOW, STREAM);
    let height = chain.store.tip().height;
    assert_eq!(chain.store.prove(&key, height - 1).unwrap().0, None, "it has left the state");
    let (epoch, position) = chain.store.chunk_fact(SOURCE, WINDOW, STREAM).unwrap().unwrap();
    let fact = chain.store.fact_proof(epoch, position).unwrap().unwrap();
    let key = keys::closed_epoch(epoch);
    let (value, proof) = chain.store.prove(&key, height - 1).unwrap();
    let stored = chain.store.block(height).unwrap().unwrap();
    let chunk = WINDOW.to_be_bytes().to_vec();
    let bundle = ProofBundle {
        version: PROOF_BUNDLE_VERSION,
        chain_id: CHAIN_ID,
        cid: ContentId::of(&chunk).to_string(),
        source: SOURCE.to_owned(),
        window: WINDOW,
        stream: STREAM.to_owned(),
        state_key: hex::encode(&key),
        state_value: hex::encode(value.unwrap()),
        state_proof: hex::encode(canonical::encode(&proof)),
        header: hex::encode(canonical::encode(&stored.block.header)),
        certificate: hex::encode(canonical::encode(&stored.certificate)),
        fact: Some(hex::encode(canonical::encode(&fact))),
        changes: Vec::new(),
    };
    let genesis = chain::genesis();
    let trusted = Trusted {
        name: genesis.name.clone(),
        chain_id: CHAIN_ID,
        validators: genesis.validator_set().unwrap(),
        origins: BTreeMap::new(),
    };
    (chunk, bundle, trusted)
}

#[test]
fn a_chunk_that_has_left_the_state_is_proved_through_its_epochs_root() {
    let (chunk, bundle, trusted) = old_chunk();
    check(&chunk, &bundle, &trusted).unwrap_or_else(|_| panic!("the honest proof is refused"));
    let refused = |change: &dyn Fn(&mut ProofBundle), why: &str| {
        let mut other = bundle.clone();
        change(&mut other);
        assert!(check(&chunk, &other, &trusted).is_err(), "{why}");
    };
    refused(&|b| b.window += 1, "another window");
    refused(&|b| b.stream = "ETH.USD/trades".to_owned(), "another stream");
    refused(&|b| b.fact = None, "an epoch in place of a chunk");
    refused(&|b| b.state_key = hex::encode(keys::closed_epoch(1)), "another epoch");
    let fact = hex::decode(bundle.fact.clone().unwrap()).unwrap();
    for at in 0..fact.len() {
        let mut flipped = fact.clone();
        flipped[at] ^= 1;
        refused(&|b| b.fact = Some(hex::encode(&flipped)), "a flipped bit of the fact or its path");
    }
}

#[test]
fn a_file_that_is_there_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("window.parquet");
    write_new(&path, b"first").unwrap();
    let refused = write_new(&path, b"second").unwrap_err();
    assert!(refused.message().contains("window.parquet"), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
}
