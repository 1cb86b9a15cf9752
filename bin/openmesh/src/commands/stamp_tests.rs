//! Proofs of stamps, in the state and after they have left it, on a real store.

use openmesh_ledger::{AccountTransaction, Params, Transaction, current_epoch};
use openmesh_primitives::{Amount, sha256};
use openmesh_storage::{Store, StoreConfig};

use super::*;
use crate::commands::stored_chain::{self as chain, CHAIN_ID, Chain, account, validators};

const TOPIC: &str = "xnode.drill";

/// A chain whose first block has a stamp, and which leaves stamps in the state for one epoch of ten blocks.
fn chain_with_stamp(dir: &Path, hash: Digest) -> Chain {
    let store = Store::open_with(dir, StoreConfig::default()).unwrap();
    let mut genesis = chain::genesis();
    genesis.params.stamps.stamps_kept_epochs = 1;
    store.initialise(&genesis).unwrap();
    let chain = Chain { store, validators: validators(), account: account() };
    let action = StampsAction::Stamp { hash, topic: TOPIC.to_owned(), note: "a note".to_owned() };
    // A stamp weighs less than a hundred transfers.
    let fee = Amount(Params::default().accounts.fee_min.0 * 100);
    let signed = AccountTransaction::sign(&chain.account, CHAIN_ID, 0, fee, action.into()).unwrap();
    let execution = chain.commit(&chain.draft(&[Transaction::Account(signed).encode()]));
    assert!(execution.receipts.iter().all(|receipt| receipt.ok()));
    chain.commit(&chain.draft(&[]));
    chain
}

/// The proof of the stamp as a node makes it: of its entry, or of its fact once it has left the state.
fn proof(chain: &Chain, hash: Digest) -> StampProof {
    let height = chain.store.tip().height;
    let key = keys::stamp(&hash, TOPIC, &chain.account.address());
    let fact = &chain.store.stamp_facts(&key, None, 1).unwrap()[0];
    let (key, fact) = match chain.store.prove(&key, height - 1).unwrap().0 {
        Some(_) => (key, None),
        None => {
            let proof = chain.store.fact_proof(fact.epoch, fact.position).unwrap().unwrap();
            (keys::closed_epoch(fact.epoch), Some(hex::encode(canonical::encode(&proof))))
        }
    };
    let (value, state_proof) = chain.store.prove(&key, height - 1).unwrap();
    let stored = chain.store.block(height).unwrap().unwrap();
    StampProof {
        version: STAMP_PROOF_VERSION,
        chain_id: CHAIN_ID,
        stamp: StampInfo {
            hash: hash.to_string(),
            cid: ContentId::from_digest(hash).to_string(),
            topic: TOPIC.to_owned(),
            account: chain.account.address().to_string(),
            note: String::new(),
            height: 1,
            number: 0,
            time: String::new(),
            transaction: String::new(),
        },
        state_key: hex::encode(&key),
        state_value: hex::encode(value.unwrap()),
        state_proof: hex::encode(canonical::encode(&state_proof)),
        header: hex::encode(canonical::encode(&stored.block.header)),
        certificate: hex::encode(canonical::encode(&stored.certificate)),
        fact,
        changes: Vec::new(),
    }
}

fn trusted() -> Trusted {
    let genesis = chain::genesis();
    let validators = genesis.validator_set().unwrap();
    Trusted { name: genesis.name, chain_id: CHAIN_ID, validators, origins: BTreeMap::new() }
}

/// The stamp is proved as it is, and with nothing altered.
fn holds_alone(proof: &StampProof, hash: Digest, account: Address) {
    let wanted = |hash, topic: &str, account| Wanted { hash, topic: Some(topic.to_owned()), account: Some(account) };
    let all = wanted(hash, TOPIC, account);
    let record = prove(proof, &all, &trusted()).unwrap();
    assert_eq!((record.height, record.note.as_str()), (1, "a note"));
    for other in [
        wanted(sha256(&[b"other"]), TOPIC, account),
        wanted(hash, "other", account),
        wanted(hash, TOPIC, Address([9; 20])),
    ] {
        assert!(prove(proof, &other, &trusted()).is_err(), "another hash, topic or account");
    }
    let mut stranger = trusted();
    stranger.chain_id += 1;
    assert!(prove(proof, &all, &stranger).is_err(), "another network");
    let fields: [fn(&mut StampProof) -> &mut String; 5] = [
        |proof| &mut proof.state_key,
        |proof| &mut proof.state_value,
        |proof| &mut proof.state_proof,
        |proof| &mut proof.header,
        |proof| proof.fact.as_mut().unwrap_or(&mut proof.certificate),
    ];
    for field in fields {
        let mut whole = proof.clone();
        let bytes = hex::decode(field(&mut whole).clone()).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            let (mut altered, mut flipped) = (proof.clone(), bytes.clone());
            flipped[at] ^= 1;
            *field(&mut altered) = hex::encode(flipped);
            assert!(prove(&altered, &all, &trusted()).is_err(), "a flipped bit at {at}");
        }
    }
}

#[test]
fn a_stamp_is_proved_in_the_state_and_after_it_has_left_it() {
    let dir = tempfile::tempdir().unwrap();
    let hash = sha256(&[b"a report"]);
    let chain = chain_with_stamp(dir.path(), hash);
    let account = chain.account.address();
    let early = proof(&chain, hash);
    assert!(early.fact.is_none());
    holds_alone(&early, hash, account);
    while current_epoch(&chain.store.state().unwrap()).unwrap() < 2 {
        chain.commit(&chain.draft(&[]));
    }
    chain.commit(&chain.draft(&[]));
    let late = proof(&chain, hash);
    assert!(late.fact.is_some(), "it has left the state");
    holds_alone(&late, hash, account);
    holds_alone(&early, hash, account);
    let text = serde_json::to_vec(&late).unwrap();
    assert_eq!(parse(&text).unwrap(), late);
    let newer = StampProof { version: STAMP_PROOF_VERSION + 1, ..late };
    assert!(parse(&serde_json::to_vec(&newer).unwrap()).is_err() && parse(b"{}").is_err());
}

#[test]
fn a_hash_a_cid_and_a_file_name_the_same_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report");
    // More than one part.
    let bytes = vec![7; PART_BYTES + 5];
    std::fs::write(&file, &bytes).unwrap();
    let hash = sha256(&[&bytes]);
    for text in [hash.to_string(), format!("0x{hash}"), ContentId::of(&bytes).to_string(), file.display().to_string()] {
        assert_eq!(hash_of(&text).unwrap(), hash, "{text}");
    }
    let refused = |text: &str| hash_of(text).unwrap_err().message().to_owned();
    assert!(refused(&"ab".repeat(31)).contains("62 hexadecimal digits"));
    assert!(refused(&"ab".repeat(33)).contains("66 hexadecimal digits"));
    assert!(refused("/nowhere").contains("/nowhere"));
    assert!(refused(&dir.path().display().to_string()).contains("is a folder"));
}
