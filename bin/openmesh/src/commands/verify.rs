//! `openmesh verify`: from a file to the signatures of validators, offline.

use std::collections::BTreeMap;
use std::path::Path;

use openmesh_api::ProofBundle;
use openmesh_ledger::{AcceptedChunk, Certificate, Genesis, Header, Origin, ValidatorSet, keys, light};
use openmesh_primitives::{ContentId, Digest, canonical};
use openmesh_storage::{StateProof, verify_proof};

use crate::cli::VerifyArgs;
use crate::failure::Failure;

/// Largest file that is read, in bytes: windows are far smaller.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Version of the proof bundle that is understood.
const BUNDLE_VERSION: u16 = 1;

/// Checks the file and prints each step. The first step that fails ends it with an error that names it.
pub fn run(arguments: &VerifyArgs) -> Result<(), Failure> {
    let bytes = read(&arguments.file)?;
    let file = arguments.file.display();
    let (chunk, inside) = if bytes.starts_with(b"PAR1") {
        let (chunk, proof) = openmesh_lake::chunk_of_parquet(&bytes)
            .map_err(|e| Failure::from_display(format!("{file}: the rows are not those of an agreed window"), &e))?;
        println!("ok  rows        {file}: canonical bytes made again from its rows, {} bytes", chunk.len());
        (chunk, proof)
    } else {
        (bytes, None)
    };
    let proof = match (&arguments.proof, inside) {
        (Some(path), _) => String::from_utf8(read(path)?).map_err(|e| Failure::from_display(path.display(), &e))?,
        (None, Some(proof)) => proof,
        (None, None) => {
            return Err(Failure::usage(format!("{file} carries no proof"))
                .hint("give one with --proof FILE: GET /v1/chunks/<cid>/proof of any node"));
        }
    };
    let bundle: ProofBundle =
        serde_json::from_str(&proof).map_err(|e| Failure::from_display("the proof is not what it should be", &e))?;
    if bundle.version != BUNDLE_VERSION {
        return Err(Failure::new(format!("proof version {} is not known here", bundle.version))
            .hint("a newer openmesh may know it"));
    }
    let trusted = trusted(&arguments.trust)?;
    check(&chunk, &bundle, &trusted)?;
    let ProofBundle { stream, source, window, .. } = &bundle;
    println!("proved: {stream} of {source}, window {window}, is what the network {} agreed on", trusted.name);
    // What was agreed on is not by that real, and the file alone does not tell.
    match trusted.origins.get(source) {
        Some(Origin::Live) => {}
        Some(Origin::Simulated) => println!("note: this network's {source} is SIMULATED: these prices are not real"),
        Some(Origin::Replay) => println!("note: this network's {source} is a REPLAY of recorded traffic"),
        None => {
            println!("note: {source} was registered later; whether it is live, simulated or a replay is not shown here")
        }
    }
    Ok(())
}

/// Validators, the chain id they vote on, and what the genesis tells of the sources.
struct Trusted {
    name: String,
    chain_id: u64,
    validators: ValidatorSet,
    origins: BTreeMap<String, Origin>,
}

fn trusted(path: &Path) -> Result<Trusted, Failure> {
    let genesis: Genesis = serde_json::from_slice(&read(path)?).map_err(|e| {
        Failure::from_display(format!("{} is not a genesis file", path.display()), &e)
            .hint("take genesis.json from somebody you trust, not from where the window came from")
    })?;
    let validators = genesis.validator_set().map_err(|e| Failure::from_display(path.display(), &e))?;
    let origins = genesis.sources.into_iter().map(|source| (source.id.to_string(), source.origin)).collect();
    Ok(Trusted { name: genesis.name, chain_id: genesis.chain_id, validators, origins })
}

fn check(chunk: &[u8], bundle: &ProofBundle, trusted: &Trusted) -> Result<(), Failure> {
    let refuse = |step: &str, why: String| Failure::new(format!("NOT PROVED: {step}: {why}"));

    let cid = ContentId::of(chunk);
    if cid.to_string() != bundle.cid {
        return Err(refuse("file to CID", format!("the bytes give {cid}, the proof is about {}", bundle.cid)));
    }
    println!("ok  cid         {cid}");

    let key = keys::chunk(&bundle.source, bundle.window, &bundle.stream);
    let value = bytes_of("state_value", &bundle.state_value)?;
    let accepted: AcceptedChunk =
        canonical::decode(&value).map_err(|e| refuse("CID in the ledger's state", e.to_string()))?;
    if bytes_of("state_key", &bundle.state_key)? != key || accepted.cid != cid {
        let found = format!("the entry is about {} under another name or CID", accepted.cid);
        return Err(refuse("CID in the ledger's state", found));
    }
    let header: Header = decode("header", &bundle.header)?;
    let proof: StateProof = decode("state_proof", &bundle.state_proof)?;
    verify_proof(&header.state_root, &key, Some(&value), &proof).map_err(|e| refuse("state root", e.to_string()))?;
    println!("ok  state       accepted at height {}, under root {}", accepted.height, header.state_root);

    let certificate: Certificate = decode("certificate", &bundle.certificate)?;
    light::verify(trusted.chain_id, &trusted.validators, &header, &certificate)
        .map_err(|e| refuse("signatures", e.to_string()))?;
    let hash: Digest = header.hash();
    println!(
        "ok  signatures  header {hash} of height {} signed by {} of the {} validators you trust (more than 2/3 of their power)",
        header.height,
        certificate.signatures.len(),
        trusted.validators.len()
    );
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let size = std::fs::metadata(path).map_err(|e| Failure::from_display(path.display(), &e))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{}: {size} bytes are more than any window has", path.display())));
    }
    std::fs::read(path).map_err(|e| Failure::from_display(path.display(), &e))
}

fn bytes_of(field: &str, text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text).map_err(|e| Failure::from_display(format!("the proof's {field}"), &e))
}

fn decode<T: borsh::BorshDeserialize>(field: &str, text: &str) -> Result<T, Failure> {
    canonical::decode(&bytes_of(field, text)?).map_err(|e| Failure::from_display(format!("the proof's {field}"), &e))
}
