//! `openmesh verify`: from a file to the signatures of validators, offline.
//!
//! Four steps, each of which can refuse: the file is the bytes that its rows and proof lead to; the rows' canonical bytes
//! have the CID that the proof is about; the CID stands in the ledger's state under a root, itself or as a fact of a closed epoch
//! that does; the header with that root is
//! signed by validators that the genesis leads to, through every change of the set since.

use std::collections::BTreeMap;
use std::path::Path;

use openmesh_api::{PROOF_BUNDLE_VERSION, ProofBundle, ProvenValidatorChange};
use openmesh_lake::{LakeError, chunk_of_parquet, rows_of_parquet, window_parquet};
use openmesh_ledger::light::{self, ValidatorChange};
use openmesh_ledger::{
    AcceptedChunk, Certificate, ClosedEpoch, Fact, FactProof, Genesis, Header, Origin, ValidatorSet, WindowsFact, keys,
};
use openmesh_primitives::{ContentId, canonical};
use openmesh_storage::{StateProof, verify_proof};

use crate::cli::VerifyArgs;
use crate::failure::Failure;

/// Largest file that is read, in bytes: windows are far smaller.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Checks the file and prints each step.
///
/// Fails with the first step that does not hold, and names it.
pub fn run(arguments: &VerifyArgs) -> Result<(), Failure> {
    let (chunk, proof) = content(arguments)?;
    let bundle = parse_bundle(&proof)?;
    // The file vouches for its proof's text as it does for each other byte. A proof beside it may be formatted by anybody.
    if arguments.proof.is_none() && serde_json::to_string(&bundle).ok().as_deref() != Some(&proof) {
        return Err(refuse("proof", "its text is not the one that a node writes"));
    }
    let trusted = trusted(&arguments.trust)?;
    check(&chunk, &bundle, &trusted)?;
    if let Some(path) = &arguments.write {
        let file = window_parquet(&chunk, Some(&proof)).map_err(|e| Failure::from_display("the window's file", &e))?;
        write_new(path, &file)?;
        println!("ok  written     {}: the proved rows and nothing else", path.display());
    }
    let ProofBundle { stream, source, window, .. } = &bundle;
    let what = if arguments.write.is_some() { "the written file" } else { "this file" };
    println!("proved: {what} is {stream} of {source}, window {window}, as the network {} agreed on", trusted.name);
    // Agreement is not origin: the network may have agreed on simulated data, and the file alone does not tell.
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

/// Returns the canonical bytes that the file holds or leads to, and the proof's text.
fn content(arguments: &VerifyArgs) -> Result<(Vec<u8>, String), Failure> {
    let bytes = read(&arguments.file)?;
    let (chunk, inside) = if bytes.starts_with(b"PAR1") { parquet_content(arguments, &bytes)? } else { (bytes, None) };
    let proof = match (&arguments.proof, inside) {
        (Some(path), _) => String::from_utf8(read(path)?).map_err(|e| Failure::from_display(path.display(), &e))?,
        (None, Some(proof)) => proof,
        (None, None) => {
            return Err(Failure::usage(format!("{} carries no proof", arguments.file.display()))
                .hint("give one with --proof FILE: GET /v1/chunks/<cid>/proof of any node"));
        }
    };
    Ok((chunk, proof))
}

fn parquet_content(arguments: &VerifyArgs, bytes: &[u8]) -> Result<(Vec<u8>, Option<String>), Failure> {
    let file = arguments.file.display();
    if arguments.write.is_some() {
        let (chunk, proof) = rows_of_parquet(bytes).map_err(|e| not_a_window(arguments, &e))?;
        println!(
            "ok  rows        {file}: {} canonical bytes from its rows; statistics and indexes are not looked at",
            chunk.len()
        );
        return Ok((chunk, proof));
    }
    let (chunk, proof) = chunk_of_parquet(bytes).map_err(|e| not_a_window(arguments, &e))?;
    println!("ok  file        {file}: all its {} bytes follow from its rows and proof", bytes.len());
    Ok((chunk, proof))
}

fn not_a_window(arguments: &VerifyArgs, error: &LakeError) -> Failure {
    let failure = Failure::from_display(format!("NOT PROVED: file: {}", arguments.file.display()), error);
    match error {
        LakeError::OtherWriter { .. } => {
            failure.hint("--write NEW_FILE checks the rows alone and writes a new file of what was proved")
        }
        _ => failure,
    }
}

fn parse_bundle(proof: &str) -> Result<ProofBundle, Failure> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u16,
    }
    let broken = |e: serde_json::Error| Failure::from_display("NOT PROVED: proof: it is not a proof bundle", &e);
    let Version { version } = serde_json::from_str(proof).map_err(broken)?;
    if version != PROOF_BUNDLE_VERSION {
        return Err(Failure::new(format!(
            "NOT PROVED: proof: its version is {version}, this program reads version {PROOF_BUNDLE_VERSION}"
        ))
        .hint("fetch it again: GET /v1/chunks/<cid>/proof of a node of this version"));
    }
    serde_json::from_str(proof).map_err(broken)
}

/// The verifier's own knowledge, from the genesis.
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

fn refuse(step: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("NOT PROVED: {step}: {why}"))
}

fn check(chunk: &[u8], bundle: &ProofBundle, trusted: &Trusted) -> Result<(), Failure> {
    if bundle.chain_id != trusted.chain_id {
        let other = format!("it is of chain {}, the genesis is of chain {}", bundle.chain_id, trusted.chain_id);
        return Err(refuse("proof", other));
    }
    let cid = ContentId::of(chunk);
    if cid.to_string() != bundle.cid {
        return Err(refuse("file to CID", format!("the bytes give {cid}, the proof is about {}", bundle.cid)));
    }
    println!("ok  cid         {cid}");

    let Entry { key, value, accepted } = entry(bundle, &cid)?;
    let header: Header = decode("header", &bundle.header)?;
    let proof: StateProof = decode("state_proof", &bundle.state_proof)?;
    verify_proof(&header.state_root, &key, Some(&value), &proof).map_err(|e| refuse("state root", e))?;
    println!("ok  state       accepted at height {}, under root {}", accepted.height, header.state_root);

    let validators = follow(bundle, trusted)?;
    let certificate: Certificate = decode("certificate", &bundle.certificate)?;
    light::verify(trusted.chain_id, &validators, &header, &certificate).map_err(|e| refuse("signatures", e))?;
    println!(
        "ok  signatures  header {} of height {} signed by {} of the {} validators that the genesis leads to (more than 2/3 of their power)",
        header.hash(),
        header.height,
        certificate.signatures.len(),
        validators.len()
    );
    Ok(())
}

/// Entry of the ledger's state that a bundle is about, and the agreement that it shows.
struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
    accepted: AcceptedChunk,
}

/// Returns the entry of the chunk itself, or of the closed epoch whose root holds the chunk as a fact.
fn entry(bundle: &ProofBundle, cid: &ContentId) -> Result<Entry, Failure> {
    const STEP: &str = "CID in the ledger's state";
    let value = bytes_of("state_value", &bundle.state_value)?;
    let (key, accepted) = match &bundle.fact {
        None => {
            let accepted: AcceptedChunk = canonical::decode(&value).map_err(|e| refuse(STEP, e))?;
            (keys::chunk(&bundle.source, bundle.window, &bundle.stream), accepted)
        }
        Some(fact) => {
            let proof: FactProof = decode("fact", fact)?;
            let closed: ClosedEpoch = canonical::decode(&value).map_err(|e| refuse("epoch", e))?;
            light::verify_fact(&closed, &proof).map_err(|e| refuse("epoch", e))?;
            let accepted = chunk_of_fact(bundle, &proof.fact)?;
            println!(
                "ok  epoch       {} facts of epoch {} lead to its root {}",
                closed.facts, proof.epoch, closed.root
            );
            (keys::closed_epoch(proof.epoch), accepted)
        }
    };
    if bytes_of("state_key", &bundle.state_key)? != key || accepted.cid != *cid {
        let found = format!("the entry is about {} under another name or CID", accepted.cid);
        return Err(refuse(STEP, found));
    }
    Ok(Entry { key, value, accepted })
}

fn chunk_of_fact(bundle: &ProofBundle, fact: &Fact) -> Result<AcceptedChunk, Failure> {
    match fact {
        Fact::Windows(WindowsFact::Chunk { source, window, stream, chunk, .. })
            if (source, window, stream) == (&bundle.source, &bundle.window, &bundle.stream) =>
        {
            Ok(*chunk)
        }
        _ => Err(refuse("epoch", "the fact is not about this window of this stream")),
    }
}

/// Returns the validators that are in force after the bundle's changes.
fn follow(bundle: &ProofBundle, trusted: &Trusted) -> Result<ValidatorSet, Failure> {
    let change = |change: &ProvenValidatorChange| {
        Ok(ValidatorChange {
            header: decode("changes.header", &change.header)?,
            certificate: decode("changes.certificate", &change.certificate)?,
            validators: decode("changes.validators", &change.validators)?,
        })
    };
    let changes = bundle.changes.iter().map(change).collect::<Result<Vec<_>, Failure>>()?;
    let validators = light::follow(trusted.chain_id, &trusted.validators, &changes)
        .map_err(|e| refuse("changes of validators", e))?;
    if let Some(last) = changes.last() {
        println!(
            "ok  validators  {} changes of the set followed, the last at height {}",
            changes.len(),
            last.header.height
        );
    }
    Ok(validators)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::from_display(path.display(), &e);
    let mut file = std::fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => failed(e).hint("--write makes a new file and replaces none"),
        _ => failed(e),
    })?;
    std::io::Write::write_all(&mut file, bytes).map_err(failed)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let size = std::fs::metadata(path).map_err(|e| Failure::from_display(path.display(), &e))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{}: {size} bytes are more than any window has", path.display())));
    }
    std::fs::read(path).map_err(|e| Failure::from_display(path.display(), &e))
}

fn bytes_of(field: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let bytes = hex::decode(text).map_err(|e| Failure::from_display(format!("NOT PROVED: the proof's {field}"), &e))?;
    // One text for the same bytes: lower case.
    if hex::encode(&bytes) != text {
        Err(refuse("proof", format!("{field} has letters in upper case")))
    } else {
        Ok(bytes)
    }
}

fn decode<T: borsh::BorshDeserialize>(field: &str, text: &str) -> Result<T, Failure> {
    canonical::decode(&bytes_of(field, text)?)
        .map_err(|e| Failure::from_display(format!("NOT PROVED: the proof's {field}"), &e))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
