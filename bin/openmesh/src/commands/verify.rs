//! `openmesh verify`: from a file to the signatures of validators, offline.
//!
//! Four steps, each of which can refuse: the file is the bytes that its rows and proof lead to; the rows' canonical bytes
//! have the CID that the proof is about; the CID stands in the ledger's state under a root, itself or as a fact of a closed epoch
//! that does; the header with that root is
//! signed by validators that the genesis leads to, through every change of the set since.

use std::path::Path;

use openmesh_api::{PROOF_BUNDLE_VERSION, ProofBundle};
use openmesh_lake::{LakeError, chunk_of_parquet, rows_of_parquet, window_parquet};
use openmesh_ledger::{AcceptedChunk, ClosedEpoch, Fact, FactProof, Header, Origin, WindowsFact, keys, light};
use openmesh_primitives::{ContentId, canonical};
use openmesh_storage::{StateProof, verify_proof};

use super::proved::{Trusted, bytes_of, decode, read, refuse, signatures, trusted};
use crate::cli::VerifyArgs;
use crate::failure::Failure;

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

    signatures(trusted, &header, &bundle.certificate, &bundle.changes)
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

/// Writes a file that is not there yet.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::from_display(path.display(), &e);
    let mut file = std::fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => failed(e).hint("it takes a new file and replaces none"),
        _ => failed(e),
    })?;
    std::io::Write::write_all(&mut file, bytes).map_err(failed)
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
