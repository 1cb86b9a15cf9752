//! Every single-bit change of a window file is refused, or changes nothing that a reader sees.
//!
//! Twenty windows. Without more, some hundred bits of each are changed; `make verify-bits` changes every bit. A change that is
//! not refused can only lie in the proof's text (which `openmesh verify` checks for itself), and DuckDB, pyarrow and polars must
//! answer of such a file as of the original one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Instant;

use crate::common::{WINDOW_0, block, chunk, one_of_each, stream, trades};
use crate::interop::python;
use openmesh_lake::{WINDOW_WRITER, chunk_of_parquet, window_parquet};
use openmesh_market::window::{BookRow, Chunk, Rows};
use openmesh_market::{Exchange, Feed, Side};
use openmesh_primitives::{ContentId, Decimal, Timestamp};
use tempfile::TempDir;

/// Set: every bit is changed.
const WHOLE: &str = "OPENMESH_VERIFY_BITS";
/// Bits that are changed of each window otherwise: a second or two in all.
const SAMPLE_BITS: usize = 200;
/// The proof's text in the files. Short, since its changes are not refused here and each is read by three readers.
const PROOF: &str = r#"{"p":1}"#;

const SCRIPT: &str = include_str!("readers.py");

/// A book with many levels, some of the same price on both sides.
fn book(levels: i128) -> Chunk {
    let start = WINDOW_0 * 10_000_000_000;
    let row = |at: i128, opening: bool, side| BookRow {
        opening,
        ts: Timestamp(start + if opening { 0 } else { 1_000_000 * at as i64 }),
        side,
        price: Decimal::new(6_000_000 + if side == Side::Buy { -at } else { at }, 2),
        size: Decimal::new(at * 37 % 1000, 4),
    };
    let opening = (1..levels).flat_map(|at| [row(at, true, Side::Buy), row(at, true, Side::Sell)]);
    let changes = (1..levels).map(|at| row(at, false, if at % 2 == 0 { Side::Buy } else { Side::Sell }));
    chunk(stream(Exchange::Bybit, "ETH.USDT", Feed::Book), WINDOW_0, Rows::Book(opening.chain(changes).collect()))
}

/// Canonical bytes of the twenty windows.
fn windows() -> Vec<Vec<u8>> {
    let mut chunks = one_of_each(WINDOW_0);
    for (at, count) in [1, 2, 3, 20, 87, 300].into_iter().enumerate() {
        chunks.push(trades(["BTC.USD", "SHIB.USDT"][at % 2], WINDOW_0 + at as i64, count));
    }
    chunks.extend([2, 10, 50, 120].map(book));
    let mut bytes: Vec<Vec<u8>> = chunks.into_iter().map(|c| c.bytes).collect();
    bytes.push(block::canonical());
    assert_eq!(bytes.len(), 20);
    bytes
}

/// Reads a file that may be damaged, without the panics of the Parquet library on the screen.
fn quietly() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let inside = info.location().is_some_and(|at| at.file().contains("/tests/"));
            if inside {
                before(info);
            }
        }));
    });
}

fn flipped(file: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = file.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

/// The changed files that are neither refused nor those of another chunk, by bit. Each of them differs from the original in the proof's text alone.
fn not_refused(window: &[u8], file: &[u8], bits: &[usize]) -> Vec<usize> {
    let mut kept = Vec::new();
    for &bit in bits {
        let changed = flipped(file, bit);
        let Ok((chunk, proof)) = chunk_of_parquet(&changed) else { continue };
        if chunk != window {
            // Another chunk's whole and sound file: no proof is about its CID.
            assert_ne!(ContentId::of(&chunk), ContentId::of(window));
            continue;
        }
        let proof = proof.expect("a proof");
        assert_ne!(proof, PROOF, "bit {bit} is not in the proof's text");
        assert_eq!(window_parquet(&chunk, Some(&proof)).unwrap(), changed);
        kept.push(bit);
    }
    kept
}

/// A window's file and variants of it, in a folder of their own.
fn folder(root: &Path, name: usize, file: &[u8], bits: &[usize]) -> PathBuf {
    let folder = root.join(name.to_string());
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("original.parquet"), file).unwrap();
    for bit in bits {
        std::fs::write(folder.join(format!("{bit}.parquet")), flipped(file, *bit)).unwrap();
    }
    folder
}

/// Lines of the readers that answer otherwise than of the originals, and the number of variants read.
fn read_otherwise(python: &Path, folders: &[PathBuf]) -> (Vec<String>, usize) {
    let output = Command::new(python).arg("-c").arg(SCRIPT).args(folders).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<String> = said.lines().map(str::to_string).collect();
    let read = lines.pop().and_then(|line| line.strip_prefix("READ ")?.parse().ok()).expect("a last line");
    (lines, read)
}

fn reader() -> Option<PathBuf> {
    let python = python();
    if python.is_none() {
        eprintln!("skipped in part: no Python with pyarrow, duckdb and polars; scripts/readers.sh makes one");
    }
    python
}

#[test]
fn every_changed_bit_is_refused_or_seen_by_no_reader() {
    quietly();
    let whole = std::env::var_os(WHOLE).is_some();
    let began = Instant::now();
    let root = TempDir::new().unwrap();
    let (mut changed, mut kept, mut folders) = (0, 0, Vec::new());
    for (at, window) in windows().iter().enumerate() {
        let file = window_parquet(window, Some(PROOF)).unwrap();
        // An odd step meets every bit of a byte in turn.
        let step = if whole { 1 } else { (file.len() * 8 / SAMPLE_BITS) | 1 };
        let mut bits: Vec<usize> = (0..file.len() * 8).step_by(step).collect();
        if !whole {
            let proof = file.windows(PROOF.len()).position(|part| part == PROOF.as_bytes()).unwrap();
            bits.extend([proof * 8 + 1, (proof + PROOF.len() - 1) * 8]);
        }
        let not_refused = halves(&bits, |bits| not_refused(window, &file, bits));
        assert!(!not_refused.is_empty() && not_refused.len() <= PROOF.len() * 8);
        (changed, kept) = (changed + bits.len(), kept + not_refused.len());
        folders.push(folder(root.path(), at, &file, &not_refused));
    }
    let refusing = began.elapsed();
    if let Some(python) = reader() {
        let (otherwise, read) = read_otherwise(&python, &folders);
        assert!(otherwise.is_empty(), "not refused and read otherwise: {otherwise:?}");
        assert_eq!(read, kept);
    }
    let reading = began.elapsed() - refusing;
    eprintln!("{changed} bits changed in {refusing:?}, {kept} of them not refused and read in {reading:?}");
}

/// Does the work on two threads.
fn halves(bits: &[usize], work: impl Fn(&[usize]) -> Vec<usize> + Sync) -> Vec<usize> {
    let (left, right) = bits.split_at(bits.len() / 2);
    std::thread::scope(|scope| {
        let right = scope.spawn(|| work(right));
        let mut all = work(left);
        all.extend(right.join().unwrap());
        all
    })
}

/// The readers do notice: with a bit of the statistics changed, some find no row of a venue whose rows are all there.
#[test]
fn changed_statistics_mislead_readers_and_are_refused() {
    quietly();
    let window = trades("BTC.USD", WINDOW_0, 87).bytes;
    let file = window_parquet(&window, Some(PROOF)).unwrap();
    let venues = file.windows(6).enumerate().filter(|(_, part)| *part == b"kraken").map(|(at, _)| at);
    let bits: Vec<usize> = venues.flat_map(|at| [at * 8, at * 8 + 2]).collect();
    assert!(bits.len() > 4, "statistics hold the venue's name");
    for bit in &bits {
        assert!(chunk_of_parquet(&flipped(&file, *bit)).is_err(), "bit {bit}");
    }
    if let Some(python) = reader() {
        let root = TempDir::new().unwrap();
        let (otherwise, _) = read_otherwise(&python, &[folder(root.path(), 0, &file, &bits)]);
        assert!(otherwise.iter().any(|line| line.contains("exchange")), "no reader noticed: {otherwise:?}");
    }
}

/// The bytes that are made of a chunk may only change together with the number in [`WINDOW_WRITER`]: files with the same
/// writer's name are compared byte by byte with what this program writes.
#[test]
fn the_same_chunks_make_the_same_files_in_every_version() {
    let files = windows().into_iter().map(|window| ContentId::of(&window_parquet(&window, Some(PROOF)).unwrap()));
    let all: Vec<u8> = files.flat_map(|cid| cid.digest().0).collect();
    let found = (WINDOW_WRITER, ContentId::of(&all).to_string());
    assert_eq!(
        found,
        ("openmesh window file 1", "bafkreibvwaivkwguatwudy5lex5iyhtja42rcv7if5s7a6scih25oo7s2u".to_string()),
        "raise WINDOW_WRITER's number"
    );
}
