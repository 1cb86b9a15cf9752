//! `openmesh stamp`: a hash with a topic on the ledger, and the proof of one, also offline.
//!
//! Of a file nothing but its SHA-256 leaves this machine. A proof leads from the hash to the stamp in the ledger's state, itself or as a
//! fact of a closed epoch, to a header that validators signed whom the genesis leads to.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use openmesh_api::limits::PAGE_ITEMS_MAX;
use openmesh_api::{Page, STAMP_PROOF_VERSION, StampInfo, StampProof, path};
use openmesh_ledger::{
    ClosedEpoch, Fact, FactProof, FieldInput, Header, StampRecord, StampsAction, StampsError, keys, light,
};
use openmesh_primitives::{Address, ContentId, Digest, Sha256, canonical};
use openmesh_storage::{StateProof, verify_proof};

use super::account::{estimate, given_key, perform};
use super::client::Client;
use super::proved::{Trusted, bytes_of, decode, read, refuse, signatures, trusted};
use super::verify::write_new;
use crate::cli::{StampArgs, StampCheckArgs, StampCommand, StampNewArgs};
use crate::failure::Failure;

/// Bytes of a file that are hashed at once.
const PART_BYTES: usize = 1 << 20;

/// Stamps, or checks stamps.
pub async fn run(arguments: StampArgs) -> Result<(), Failure> {
    match arguments.command {
        Some(StampCommand::Check(check)) => self::check(check).await,
        None => stamp(arguments.new).await,
    }
}

async fn stamp(arguments: StampNewArgs) -> Result<(), Failure> {
    let StampNewArgs { what, topic, note, key, fees, node } = arguments;
    let (Some(what), Some(topic)) = (what, topic) else {
        return Err(Failure::usage("a file or hash, and --topic are needed"));
    };
    let hash = hash_of(&what)?;
    let action = StampsAction::Stamp { hash, topic: topic.clone(), note: note.clone() };
    // Refused here, before anything is asked of a node.
    action.validate().map_err(|e: StampsError| Failure::usage(e.to_string()))?;
    let (client, text) = (Client::new(&node.api)?, FieldInput::Text);
    let fields = BTreeMap::from([
        ("hash".to_owned(), text(hash.to_string())),
        ("topic".to_owned(), text(topic.clone())),
        ("note".to_owned(), text(note)),
    ]);
    if fees.estimate {
        return estimate(&client, "stamp", fields).await;
    }
    let key = given_key(key.as_deref())?;
    let height = perform(&client, &key, "stamp", fields, &fees).await?;
    println!("stamped {hash} under {topic} by {} in block {height}", key.address());
    println!("prove it: openmesh stamp check {hash} --topic {topic} --trust GENESIS");
    Ok(())
}

async fn check(arguments: StampCheckArgs) -> Result<(), Failure> {
    let hash = hash_of(&arguments.what)?;
    let account = arguments.account.as_deref().map(address).transpose()?;
    let trusted = arguments.trust.as_deref().map(trusted).transpose()?;
    let wanted = Wanted { hash, topic: arguments.topic.clone(), account };
    if let (Some(file), Some(trusted)) = (&arguments.proof, &trusted) {
        let record = prove(&parse(&read(file)?)?, &wanted, trusted)?;
        say_proved(&record, trusted);
        return Ok(());
    }
    let client = Client::new(&arguments.node.api)?;
    let stamps = stamps_of(&client, &wanted).await?;
    if stamps.is_empty() {
        let failure = Failure::new(format!("{hash} is not stamped so, as far as this node knows"));
        return Err(failure.hint("an archive knows also stamps that others have given up (storage.archive)"));
    }
    for stamp in &stamps {
        let StampInfo { height, time, account, topic, note, .. } = stamp;
        println!("block {height}  {time}  {account}  {topic}{}{note}", if note.is_empty() { "" } else { "  " });
    }
    let Some(trusted) = trusted else {
        println!("note: this is the node's word; --trust GENESIS proves it");
        return Ok(());
    };
    for (at, stamp) in stamps.iter().enumerate() {
        let proof = proof_of(&client, stamp).await?;
        let record = prove(&proof, &wanted, &trusted)?;
        if let Some(file) = arguments.save.as_ref().filter(|_| at == 0) {
            let text = serde_json::to_vec(&proof).map_err(|e| Failure::from_display("the proof", &e))?;
            write_new(file, &text)?;
            println!("ok  written     {}: the proof of the first stamp", file.display());
        }
        say_proved(&record, &trusted);
    }
    Ok(())
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|e| Failure::usage(format!("{text}: {e}")))
}

/// The stamp that is asked for.
struct Wanted {
    hash: Digest,
    topic: Option<String>,
    account: Option<Address>,
}

/// All stamps that a node knows, oldest first.
async fn stamps_of(client: &Client, wanted: &Wanted) -> Result<Vec<StampInfo>, Failure> {
    let mut filter = format!("hash={}&limit={PAGE_ITEMS_MAX}", wanted.hash);
    if let Some(topic) = &wanted.topic {
        // What a topic is made of needs no encoding in a URL.
        StampsAction::Stamp { hash: wanted.hash, topic: topic.clone(), note: String::new() }
            .validate()
            .map_err(|e| Failure::usage(e.to_string()))?;
        filter += &format!("&topic={topic}");
    }
    if let Some(account) = &wanted.account {
        filter += &format!("&account={account}");
    }
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Page<StampInfo> = client.get(&format!("{}?{filter}{cursor}", path::STAMPS)).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    all.sort_by_key(|stamp| (stamp.height, stamp.number));
    Ok(all)
}

async fn proof_of(client: &Client, stamp: &StampInfo) -> Result<StampProof, Failure> {
    let StampInfo { hash, topic, account, height, .. } = stamp;
    let path = path::with(path::STAMP_PROOF, hash);
    client.get(&format!("{path}?topic={topic}&account={account}&height={height}")).await
}

/// The hash that a text names: itself, the one within a CID, or that of a file.
fn hash_of(text: &str) -> Result<Digest, Failure> {
    if let Ok(hash) = text.parse::<Digest>() {
        return Ok(hash);
    }
    if let Ok(cid) = text.parse::<ContentId>() {
        return Ok(cid.digest());
    }
    let path = Path::new(text);
    if !path.exists() && text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let length = text.len();
        return Err(Failure::usage(format!("{text:.80}: these are {length} hexadecimal digits, a SHA-256 has 64")));
    }
    let failed = |e: std::io::Error| {
        let failure = Failure::from_display(path.display(), &e);
        failure.hint("a file, 64 hexadecimal digits or a CID (bafkrei...) are expected")
    };
    if path.is_dir() {
        let failure = Failure::usage(format!("{} is a folder", path.display()));
        return Err(failure.hint("stamp one file: a list of hashes, or an archive of the folder"));
    }
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut hasher, mut part) = (Sha256::default(), vec![0; PART_BYTES]);
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(bytes) => hasher.update(&part[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn parse(text: &[u8]) -> Result<StampProof, Failure> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u16,
    }
    let broken = |e: serde_json::Error| Failure::from_display("NOT PROVED: proof: it is not the proof of a stamp", &e);
    let Version { version } = serde_json::from_slice(text).map_err(broken)?;
    if version != STAMP_PROOF_VERSION {
        let other = format!("its version is {version}, this program reads version {STAMP_PROOF_VERSION}");
        return Err(refuse("proof", other));
    }
    serde_json::from_slice(text).map_err(broken)
}

/// Checks a proof and prints each step. Returns the stamp that it shows. Fails with the first step that does not hold, and names it.
fn prove(proof: &StampProof, wanted: &Wanted, trusted: &Trusted) -> Result<StampRecord, Failure> {
    if proof.chain_id != trusted.chain_id {
        let other = format!("it is of chain {}, the genesis is of chain {}", proof.chain_id, trusted.chain_id);
        return Err(refuse("proof", other));
    }
    let value = bytes_of("state_value", &proof.state_value)?;
    let (key, record) = entry(proof, &value)?;
    if bytes_of("state_key", &proof.state_key)? != key {
        return Err(refuse("stamp in the ledger's state", "the entry stands under another key"));
    }
    if record.hash != wanted.hash {
        return Err(refuse("hash", format!("the stamp is of {}, not of {}", record.hash, wanted.hash)));
    }
    if wanted.topic.as_ref().is_some_and(|topic| *topic != record.topic) {
        return Err(refuse("topic", format!("the stamp is under {}", record.topic)));
    }
    if wanted.account.is_some_and(|account| account != record.account) {
        return Err(refuse("account", format!("the stamp is of {}", record.account)));
    }
    println!("ok  hash        {}", record.hash);
    let header: Header = decode("header", &proof.header)?;
    let state_proof: StateProof = decode("state_proof", &proof.state_proof)?;
    verify_proof(&header.state_root, &key, Some(&value), &state_proof).map_err(|e| refuse("state root", e))?;
    println!("ok  state       stamped in block {}, under root {}", record.height, header.state_root);
    signatures(trusted, &header, &proof.certificate, &proof.changes)?;
    Ok(record)
}

/// The key under which a proof's value has to stand, and the stamp that the value, or the fact below it, is.
fn entry(proof: &StampProof, value: &[u8]) -> Result<(Vec<u8>, StampRecord), Failure> {
    const STEP: &str = "stamp in the ledger's state";
    let Some(fact) = &proof.fact else {
        let record: StampRecord = canonical::decode(value).map_err(|e| refuse(STEP, e))?;
        return Ok((keys::stamp(&record.hash, &record.topic, &record.account), record));
    };
    let fact: FactProof = decode("fact", fact)?;
    let closed: ClosedEpoch = canonical::decode(value).map_err(|e| refuse("epoch", e))?;
    light::verify_fact(&closed, &fact).map_err(|e| refuse("epoch", e))?;
    let FactProof { epoch, fact: Fact::Stamp(record), .. } = fact else {
        return Err(refuse("epoch", "the fact is not a stamp"));
    };
    println!("ok  epoch       {} facts of epoch {epoch} lead to its root {}", closed.facts, closed.root);
    Ok((keys::closed_epoch(epoch), record))
}

fn say_proved(record: &StampRecord, trusted: &Trusted) {
    let StampRecord { hash, topic, account, note, height, time, .. } = record;
    let note = if note.is_empty() { String::new() } else { format!(", noting {note:?}") };
    println!(
        "proved: {account} stamped {hash} under {topic}{note} in block {height} of the network {}, made at {}",
        trusted.name,
        time.to_rfc3339()
    );
}

#[cfg(test)]
#[path = "stamp_tests.rs"]
mod tests;
