//! Proofs against the state's root, and the bundle that goes with a downloaded window.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use openmesh_api::{ProofBundle, ProvenValidatorChange};
use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::{AcceptedChunk, Certificate, Execution, Header, Tip, keys, light};
use openmesh_primitives::{ContentId, Digest, canonical};
use openmesh_storage::{StateProof, Store, StoreConfig, verify_proof};

use crate::input::Input;
use crate::ledger::{CHAIN_ID, first_block, validator_key};

/// A store's state after one block, and proofs of what is and is not in it.
struct Proven {
    root: Digest,
    /// Key, value (none: absent), proof.
    entries: Vec<(Vec<u8>, Option<Vec<u8>>, StateProof)>,
    /// Proof of the chunk of [`CHUNK`].
    bundle: ProofBundle,
}

const CHUNK: &[u8] = b"a window's bytes";

/// Made once: a store is a file.
fn proven() -> &'static Proven {
    static PROVEN: OnceLock<Proven> = OnceLock::new();
    PROVEN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { proof_heights: 10, cache_bytes_max: 4 << 20, ..StoreConfig::default() };
        let genesis = crate::ledger::genesis_seeds().remove(0);
        let genesis: openmesh_ledger::Genesis = serde_json::from_slice(&genesis).expect("a genesis");
        let store = Store::open_with(folder.path(), config).expect("a store");
        store.initialise(&genesis).expect("a state");
        let accepted = AcceptedChunk { cid: ContentId::of(CHUNK), bytes: CHUNK.len() as u64, events: 1, height: 1 };
        let key = keys::chunk("kraken", 7, "BTC.USD/trades");
        let mut writes: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            (0u8..40).map(|n| (vec![b'x', n], Some(vec![n; usize::from(n)]))).collect();
        writes.insert(key.clone(), Some(canonical::encode(&accepted)));
        let execution = Execution { writes, ..Execution::default() };
        let mut block = first_block(&genesis);
        block.header.state_root = store.tip().state_root;
        let prepared = store.prepare(&execution).expect("a root");
        let root = prepared.state_root;
        store.commit(&block, &certificate(&block.header), &execution, prepared).expect("a commit");
        let names = [key.clone(), vec![b'x', 0], vec![b'x', 7], b"absent".to_vec(), vec![b'x', 200]];
        let prove = |key: &Vec<u8>| {
            let (value, proof) = store.prove(key, 1).expect("a proof");
            (key.clone(), value, proof)
        };
        let entries: Vec<_> = names.iter().map(prove).collect();
        let Tip { block_hash, state_root, .. } = store.tip();
        let next = Header { height: 2, parent: block_hash, state_root, ..block.header.clone() };
        let bundle = ProofBundle {
            version: openmesh_api::PROOF_BUNDLE_VERSION,
            chain_id: CHAIN_ID,
            cid: accepted.cid.to_string(),
            source: "kraken".to_owned(),
            window: 7,
            stream: "BTC.USD/trades".to_owned(),
            state_key: hex::encode(&key),
            state_value: hex::encode(canonical::encode(&accepted)),
            state_proof: entries[0].2.to_string(),
            certificate: hex::encode(canonical::encode(&certificate(&next))),
            header: hex::encode(canonical::encode(&next)),
            fact: None,
            changes: Vec::new(),
        };
        Proven { root, entries, bundle }
    })
}

/// Precommits of all four validators of the seeds' network.
fn certificate(header: &Header) -> Certificate {
    let hash = header.hash();
    let sign = |n: u8| {
        let key = validator_key(n);
        let address = key.public().address();
        let bytes = openmesh_ledger::precommit_sign_bytes(CHAIN_ID, header.height, 0, &hash, &address);
        (address, key.sign(&bytes))
    };
    Certificate { height: header.height, round: 0, block_hash: hash, signatures: (0..4).map(sign).collect() }
}

/// Proofs. `b`: bytes against a root; `m`: one of a store's proofs, altered, with another key, value or root.
pub fn proof(data: &[u8]) {
    let Proven { root, entries, .. } = proven();
    match data.split_first() {
        Some((b'b', bytes)) => {
            let Ok(proof) = canonical::decode::<StateProof>(bytes) else { return };
            assert_eq!(canonical::encode(&proof), bytes, "two encodings of one proof");
            assert_eq!(proof.to_string().parse().ok(), Some(proof.clone()).filter(|_| bytes.len() <= 20_000));
            let other = entries.iter().map(|(key, value, _)| (key.as_slice(), value.as_deref()));
            for (key, value) in other {
                let held = verify_proof(root, key, value, &proof).is_ok();
                let lie = verify_proof(root, key, Some(b"a lie"), &proof).is_ok();
                assert!(!lie, "a value that is not in the state is proven");
                if value.is_some() && held {
                    assert!(verify_proof(root, key, None, &proof).is_err(), "a key is there and is not");
                }
            }
        }
        Some((b'm', bytes)) => {
            let mut input = Input::new(bytes);
            let (key, value, proof) = &entries[usize::from(input.below(entries.len() as u8))];
            assert_eq!(verify_proof(root, key, value.as_deref(), proof), Ok(()));
            let mut root = *root;
            let (mut key, mut value, mut proof) = (key.clone(), value.clone(), canonical::encode(proof));
            let kind = input.below(4);
            let (at, mask) = (input.number() as usize, input.byte());
            let altered = match kind {
                0 => &mut root.0[..],
                1 => &mut key[..],
                2 => value.get_or_insert_default(),
                _ => &mut proof[..],
            };
            if mask == 0 || altered.is_empty() {
                return;
            }
            let at = at % altered.len();
            altered[at] ^= mask;
            let Ok(decoded) = canonical::decode::<StateProof>(&proof) else { return };
            if verify_proof(&root, &key, value.as_deref(), &decoded).is_ok() {
                // Only what says nothing of its own may differ: the value must be the state's.
                let known = entries.iter().find(|(k, _, _)| *k == key);
                assert!(kind != 0 && kind != 2, "a proof holds for another root or value");
                assert!(known.is_none_or(|(_, v, _)| *v == value), "a lie is proven");
                assert!(kind != 1 || value.is_none(), "a value is proven under another key");
            }
        }
        _ => {}
    }
}

/// The bundle of `openmesh verify` as JSON, checked as the command does. What is believed is the state's own entry.
pub fn bundle(data: &[u8]) {
    let Ok(bundle) = serde_json::from_slice::<ProofBundle>(data) else { return };
    let Some(believed) = checked(&bundle) else { return };
    let honest = &proven().bundle;
    assert_eq!(believed, ContentId::of(CHUNK), "a chunk is believed that nobody agreed on");
    let said = |b: &ProofBundle| (b.source.clone(), b.window, b.stream.clone());
    assert_eq!(said(&bundle), said(honest), "a chunk is believed under another name");
}

fn checked(bundle: &ProofBundle) -> Option<ContentId> {
    fn decode<T: borsh::BorshDeserialize>(text: &str) -> Option<T> {
        canonical::decode(&hex::decode(text).ok()?).ok()
    }
    let key = keys::chunk(&bundle.source, bundle.window, &bundle.stream);
    let value = hex::decode(&bundle.state_value).ok()?;
    let accepted: AcceptedChunk = canonical::decode(&value).ok()?;
    let header: Header = decode(&bundle.header)?;
    let certificate: Certificate = decode(&bundle.certificate)?;
    let proof: StateProof = decode(&bundle.state_proof)?;
    verify_proof(&header.state_root, &key, Some(&value), &proof).ok()?;
    // Trust is the verifier's own: not what the bundle says.
    let genesis = crate::ledger::genesis_seeds().remove(0);
    let genesis: openmesh_ledger::Genesis = serde_json::from_slice(&genesis).ok()?;
    let change = |change: &ProvenValidatorChange| {
        Some(ValidatorChange {
            header: decode(&change.header)?,
            certificate: decode(&change.certificate)?,
            validators: decode(&change.validators)?,
        })
    };
    let changes = bundle.changes.iter().map(change).collect::<Option<Vec<_>>>()?;
    let validators = light::follow(CHAIN_ID, &genesis.validator_set().ok()?, &changes).ok()?;
    light::verify(CHAIN_ID, &validators, &header, &certificate).ok()?;
    Some(accepted.cid)
}

/// Seeds of [`proof`].
pub fn proof_seeds() -> Vec<Vec<u8>> {
    let Proven { entries, .. } = proven();
    let mut seeds: Vec<Vec<u8>> =
        entries.iter().map(|(_, _, proof)| [b"b", canonical::encode(proof).as_slice()].concat()).collect();
    for entry in 0..entries.len() as u8 {
        for kind in 0..4 {
            seeds.push([&b"m"[..], &[entry, kind, 5, 0, 0, 0, 0, 0, 0, 0, 1]].concat());
        }
    }
    seeds
}

/// Seeds of [`bundle`].
pub fn bundle_seeds() -> Vec<Vec<u8>> {
    let honest = &proven().bundle;
    assert!(checked(honest).is_some(), "the honest bundle is not believed");
    vec![serde_json::to_vec(honest).expect("JSON")]
}
