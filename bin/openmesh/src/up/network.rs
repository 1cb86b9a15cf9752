//! The network that a folder holds: looked at before anything is started, and made where there is none.
//!
//! What is lost here is lost for good: a key exists once, and the genesis is the network's name. So nothing that exists is
//! written over, and where parts are missing or do not belong together the start is refused with what is wrong and how to
//! go on. A new network is made whole in a folder beside its place and moved there file by file, the genesis last; a start
//! that finds an unfinished move finishes it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_ledger::{Genesis, GenesisValidator, Origin, Params, SourceKind, SourceSpec};
use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey};
use openmesh_storage::files::{sync_folder, write_private, write_whole};

use super::catalogue::CatalogueEntry;
use super::home::{NodeHome, faucet_file, genesis_file};
use super::market::Market;
use super::terminal::say;
use crate::cli::WindowMs;
use crate::failure::Failure;

/// Chain ids of local networks, one for each kind of market, so that a transaction of one never counts in another.
const CHAIN_IDS: [u64; 3] = [84_201, 84_202, 84_203];
/// Length of a market window of a new network where none is asked for, in milliseconds of the venue's clock: short enough to
/// wait for, long enough that what agreeing costs is little beside the data.
const WINDOW_MS: u64 = 10_000;
/// Balance of the faucet account of a local network, of the pool for the community.
const FAUCET: Amount = Amount::open(50_000_000);
/// Folder of a network that is being made: nothing in it has ever been used.
const DRAFT: &str = "creating";
/// Folder of a network that is whole and on its way to its place.
const WHOLE: &str = "created";

/// The network in a folder; `None` where the folder holds nothing of one.
///
/// # Errors
/// Where parts are missing, damaged, or of different networks.
pub fn inspect(root: &Path, count: usize) -> Result<Option<Genesis>, Failure> {
    finish_creation(root)?;
    let path = genesis_file(root);
    if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return match leftovers(root).first() {
            None => Ok(None),
            Some(part) => Err(without_genesis(root, part)),
        };
    }
    let genesis = read_genesis(&path).map_err(|failure| failure.hint(remedy(root)))?;
    if genesis.validators.len() != count {
        return Err(Failure::usage(format!(
            "the network in {} has {} validators, not {count}",
            root.display(),
            genesis.validators.len()
        ))
        .hint("leave --validators as it was, or begin another network with --home"));
    }
    for (number, validator) in genesis.validators.iter().enumerate() {
        let node = NodeHome::of(root, number);
        check_key(&node, validator)?;
        check_copy(root, &node, &genesis)?;
    }
    Ok(Some(genesis))
}

/// Checks that an existing network has windows of the length that a start asks for.
///
/// # Errors
/// Where it has others: their length is part of the genesis, and stays.
pub fn check_window(root: &Path, genesis: &Genesis, wanted: Option<WindowMs>) -> Result<(), Failure> {
    let Some(WindowMs(wanted)) = wanted else { return Ok(()) };
    let markets = genesis.sources.iter().filter(|source| source.kind == SourceKind::Market);
    let Some(other) = markets.map(|source| source.window_ms).find(|length| *length != wanted) else { return Ok(()) };
    let length = |ms| humantime::format_duration(Duration::from_millis(ms)).to_string().replace(' ', "");
    Err(Failure::usage(format!(
        "the network in {} was made with windows of {}, not {}",
        root.display(),
        length(other),
        length(wanted)
    ))
    .hint("leave --window out to go on with it, or begin another network with --home"))
}

/// Files and folders that only a network which has existed leaves.
fn leftovers(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::iter::once(faucet_file(root)).collect();
    for folder in super::home::process_folders(root) {
        found.extend(["validator.key", "genesis.json", "data"].map(|part| folder.join(part)));
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found
}

fn without_genesis(root: &Path, part: &Path) -> Failure {
    Failure::new(format!("{} is missing, but {} is there", genesis_file(root).display(), part.display()))
        .hint(remedy(root))
}

/// The remedy for a genesis that is missing or damaged, for a person.
fn remedy(root: &Path) -> String {
    let copy = super::home::process_folders(root)
        .into_iter()
        .map(|folder| folder.join("genesis.json"))
        .find(|copy| read_genesis(copy).is_ok());
    let own = genesis_file(root);
    match copy {
        Some(copy) => format!("a validator keeps a copy of it: cp {} {}", copy.display(), own.display()),
        None => format!(
            "put back {} from a backup; or, to begin another network, move {} away: its keys are never replaced",
            own.display(),
            root.display()
        ),
    }
}

fn check_key(node: &NodeHome, validator: &GenesisValidator) -> Result<(), Failure> {
    let path = node.files().key();
    let refused = |what: String| {
        Failure::usage(format!("{}: {what}", path.display()))
            .hint("put the key back from a backup; a new one would be another validator's, so none is made")
    };
    let text = std::fs::read_to_string(&path).map_err(|e| refused(e.to_string()))?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| refused("64 hexadecimal digits are expected".into()))?;
    if ValidatorKey::from_seed(seed).public() != validator.public_key {
        return Err(refused(format!("this is not the key of {} in the genesis", validator.name)));
    }
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        say(format_args!("warning  other users can read a key: chmod 600 {}", path.display()));
    }
    Ok(())
}

/// A validator's copy is the same genesis; it is made where there is none.
fn check_copy(root: &Path, node: &NodeHome, genesis: &Genesis) -> Result<(), Failure> {
    let (own, copy) = (genesis_file(root), node.files().genesis());
    if copy.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        let bytes = std::fs::read(&own).map_err(|e| Failure::from_display(own.display(), &e))?;
        return write_whole(&copy, &bytes).map_err(|e| Failure::from_display(copy.display(), &e));
    }
    let again = format!("if {} is the right one: cp it to {}", own.display(), copy.display());
    let theirs = read_genesis(&copy).map_err(|failure| failure.hint(again.clone()))?;
    if theirs.hash() != genesis.hash() {
        return Err(
            Failure::usage(format!("{} and {} are of different networks", own.display(), copy.display())).hint(again)
        );
    }
    Ok(())
}

fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|e| match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(text) if text.get("chain_id").is_some() && text.get("allocation").is_none() => Failure::usage(format!(
            "{} is of an older openmesh, before the supply stood in pools: this one cannot go on with its network ({e})",
            path.display()
        )),
        _ => Failure::usage(format!("{} is damaged: {e}", path.display())),
    })
}

/// Makes a network in a folder that holds none.
///
/// # Errors
/// Where the folder cannot be written; what is unfinished is finished or forgotten by the next start.
pub fn create(
    root: &Path,
    count: usize,
    market: &Market,
    catalogue: &[CatalogueEntry],
    window: Option<WindowMs>,
) -> Result<Genesis, Failure> {
    let draft = root.join(DRAFT);
    let mut validators = Vec::new();
    for number in 0..count {
        let node = NodeHome::of(&draft, number);
        std::fs::create_dir_all(&node.dir).map_err(|e| Failure::from_display(node.dir.display(), &e))?;
        let key = ValidatorKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
        write_key(&node.files().key(), &key.seed())?;
        validators.push(GenesisValidator { public_key: key.public(), power: 100, name: node.name, payout: None });
    }
    let faucet = AccountKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
    write_key(&faucet_file(&draft), &faucet.to_bytes())?;
    let window_ms = window.map_or(WINDOW_MS, |WindowMs(ms)| ms);
    let genesis = genesis(market, catalogue, window_ms, validators, &faucet);
    let text = serde_json::to_vec_pretty(&genesis).map_err(|e| Failure::from_display("genesis", &e))?;
    let path = genesis_file(&draft);
    write_whole(&path, &text).map_err(|e| Failure::from_display(path.display(), &e))?;
    let whole = root.join(WHOLE);
    std::fs::rename(&draft, &whole)
        .and_then(|()| sync_folder(&whole))
        .map_err(|e| Failure::from_display(whole.display(), &e))?;
    finish_creation(root)?;
    Ok(genesis)
}

fn genesis(
    market: &Market,
    catalogue: &[CatalogueEntry],
    window_ms: u64,
    validators: Vec<GenesisValidator>,
    faucet: &AccountKey,
) -> Genesis {
    let (chain_id, name, origin) = match market {
        Market::Live => (CHAIN_IDS[0], "openmesh-local", Origin::Live),
        Market::Simulated => (CHAIN_IDS[1], "openmesh-local-simulated", Origin::Simulated),
        Market::Replay(_) => (CHAIN_IDS[2], "openmesh-local-replay", Origin::Replay),
    };
    let source = |entry: &CatalogueEntry| SourceSpec {
        id: entry.id.clone(),
        exchange: entry.exchange.clone(),
        kind: entry.kind,
        symbols: in_order(&entry.symbols),
        feeds: in_order(&entry.feeds),
        window_ms,
        origin,
    };
    Genesis {
        chain_id,
        name: name.into(),
        time: Timestamp::from_millis(Timestamp::now().millis()),
        validators,
        accounts: vec![(faucet.address(), FAUCET)],
        sources: catalogue.iter().map(source).collect(),
        source_owners: catalogue.iter().map(|entry| (entry.id.clone(), faucet.address())).collect(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

/// The ledger wants lists in ascending order.
fn in_order(list: &[String]) -> Vec<String> {
    let set: std::collections::BTreeSet<String> = list.iter().cloned().collect();
    set.into_iter().collect()
}

/// Moves a whole new network to its place, the genesis last, and forgets one that did not become whole.
fn finish_creation(root: &Path) -> Result<(), Failure> {
    let (draft, whole) = (root.join(DRAFT), root.join(WHOLE));
    remove(&draft)?;
    if !whole.exists() {
        return Ok(());
    }
    let mut parts = vec![faucet_file(&whole)];
    for folder in super::home::process_folders(&whole) {
        parts.push(folder.join("validator.key"));
    }
    parts.push(genesis_file(&whole));
    for part in parts.iter().filter(|part| part.exists()) {
        let relative = part.strip_prefix(&whole).unwrap_or(part);
        put_in_place(part, &root.join(relative))?;
    }
    remove(&whole)
}

fn put_in_place(part: &Path, place: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::from_display(place.display(), &e);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    if place.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} is in the way of a new network's {}", place.display(), part.display()))
            .hint("move one of the two away"));
    }
    std::fs::rename(part, place).and_then(|()| sync_folder(place)).map_err(failed)
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::from_display(folder.display(), &error)),
        _ => Ok(()),
    }
}

/// Writes a new key: 64 hexadecimal digits that only their owner can read.
///
/// # Errors
/// Where there is one already, or the folder cannot be written.
pub fn write_key(path: &Path, key: &[u8; 32]) -> Result<(), Failure> {
    write_private(path, format!("{}\n", hex::encode(key)).as_bytes()).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::from_display(path.display(), &error).hint("an existing key is never overwritten")
        }
        _ => Failure::from_display(path.display(), &error),
    })
}
