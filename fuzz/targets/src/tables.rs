//! Downloaded windows: Parquet files that a stranger hands over. (Avro is only written by the product, never read.)

use std::cell::Cell;
use std::panic;
use std::sync::Once;

use openmesh_lake::{chunk_of_parquet, window_parquet};
use openmesh_market::window::Chunk;

use crate::input::Input;
use crate::market::{canonical_chunk, made};

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// The Parquet library asserts some of what a damaged file breaks; the lake catches that. libFuzzer ends the process in the
/// panic hook already, so while a file is read the hook stays silent.
fn read(file: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !READING.get() {
                before(info);
            }
        }));
    });
    READING.set(true);
    let result = panic::catch_unwind(|| chunk_of_parquet(file));
    READING.set(false);
    result.expect("a damaged file stops the reader").ok()
}

/// `p`: a file's bytes; `s`: rows made of bytes, written as a window file, read back, and read again with bytes of the file
/// altered. What is read has one canonical form, which makes a file of the same rows.
pub fn window_file(data: &[u8]) {
    match data.split_first() {
        Some((b'p', file)) => accepted(file),
        Some((b's', bytes)) => {
            let mut input = Input::new(bytes);
            let Some((header, rows)) = made(&mut input) else { return };
            let Ok(chunk) = Chunk::encode(header, rows) else { return };
            // Some numbers do not fit the tables' columns, and that is said.
            let Ok(mut file) = window_parquet(&chunk.bytes, Some("{}")) else { return };
            let (same, proof) = read(&file).expect("what was written is read");
            assert!(same == chunk.bytes && proof.as_deref() == Some("{}"), "another chunk came back");
            for _ in 0..=input.below(4) {
                let at = input.number() as usize % file.len();
                file[at] ^= input.byte();
            }
            accepted(&file);
        }
        _ => {}
    }
}

fn accepted(file: &[u8]) {
    let Some((chunk, proof)) = read(file) else { return };
    canonical_chunk(&chunk);
    let again = window_parquet(&chunk, proof.as_deref()).expect("what was read can be written");
    assert_eq!(read(&again), Some((chunk, proof)), "what was read is written as something else");
}

/// Seeds of [`window_file`].
pub fn window_file_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for seed in crate::market::chunk_seeds() {
        if seed[0] == b's' {
            seeds.push(seed);
        } else if let Ok(file) = window_parquet(&seed[1..], None) {
            seeds.push([b"p", file.as_slice()].concat());
        }
    }
    seeds
}
