//! Every target over its seeds and some thousands of mutations of them, the same in every run.
//!
//! `FUZZ_SECONDS=60 cargo test -p fuzz-targets --test every_target kraken` goes on for that long instead, from
//! `FUZZ_SEED` (a number) where one is given. What breaks a promise is printed in hexadecimal, and written to the file
//! that the message names, which `cargo fuzz` takes as it is. Where the process itself is killed, `FUZZ_LAST=FILE` keeps the input
//! that did it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fuzz_targets::mutate::mutated;
use fuzz_targets::{INPUT_BYTES_MAX, TARGETS, Target, target};
use openmesh_primitives::SplitMix64;

/// Longest time for one input, in seconds: what takes longer is as bad as what never ends. Generous, since tests share
/// the machine.
const INPUT_SECONDS_MAX: u64 = 20;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn one(target: &Target, input: &[u8], what: &str) {
    let input = &input[..input.len().min(INPUT_BYTES_MAX)];
    if let Ok(file) = std::env::var("FUZZ_LAST") {
        std::fs::write(&file, input).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
    let started = Instant::now();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        let file = std::env::temp_dir().join(format!("fuzz-{}-{:016x}", target.name, fingerprint(input)));
        let kept = std::fs::write(&file, input).map_or_else(|e| e.to_string(), |()| file.display().to_string());
        panic!("{} broke on {what}: {why}\ninput kept: {kept}\n{}", target.name, input.escape_ascii());
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(INPUT_SECONDS_MAX), "{}: {took:?} for {what}", target.name);
}

fn fingerprint(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn exercise(name: &str) {
    let target = target(name).unwrap_or_else(|| panic!("there is no target {name}"));
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    one(target, &[], "nothing");
    for (number, seed) in seeds.iter().enumerate() {
        one(target, seed, &format!("seed {number}"));
    }
    let seconds: Option<u64> = variable("FUZZ_SECONDS");
    let mut random = SplitMix64::new(variable("FUZZ_SEED").unwrap_or_else(|| fingerprint(name.as_bytes())));
    let (started, mut runs) = (Instant::now(), 0u64);
    let more = |runs: u64, started: Instant| match seconds {
        Some(seconds) => started.elapsed() < Duration::from_secs(seconds),
        None => runs < u64::from(target.mutations),
    };
    while more(runs, started) {
        let seed = &seeds[random.index(seeds.len())];
        one(target, &mutated(seed, &seeds, &mut random), &format!("mutation {runs}"));
        runs += 1;
    }
    println!("{name}: {} seeds, {runs} mutations in {:.1?}", seeds.len(), started.elapsed());
}

macro_rules! tests {
    ($($(#[$when:meta])* $name:ident,)*) => {
        $($(#[$when])* #[test] fn $name() { exercise(stringify!($name)); })*

        /// A target without a test here would not be exercised.
        #[test]
        fn all_are_here() {
            let tested: Vec<&str> = vec![$($(#[$when])* stringify!($name),)*];
            let known: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
            assert_eq!(tested, known);
        }
    };
}

tests! {
    decimal,
    text,
    binance_spot,
    binance_usdm,
    kraken,
    coinbase,
    bybit,
    okx,
    emulated_books,
    venue_side,
    recording,
    chunk,
    chain_rows,
    transaction,
    ledger_types,
    genesis,
    execute,
    light_client,
    state_proof,
    proof_bundle,
    block_database,
    block_store,
    api_bodies,
    sign_in_message,
    document_text,
    catalogue,
    template,
    compose,
    #[cfg(feature = "chain")]
    evm_json,
    #[cfg(feature = "chain")]
    evm_canonical,
    #[cfg(feature = "chain")]
    evm_replay,
    #[cfg(feature = "tables")]
    window_file,
    #[cfg(feature = "consensus")]
    consensus,
    #[cfg(feature = "consensus")]
    block_parts,
    #[cfg(feature = "consensus")]
    envelope,
    #[cfg(feature = "consensus")]
    block_protocol,
    #[cfg(feature = "queries")]
    sql_statement,
    #[cfg(feature = "gateway")]
    sign_in,
    #[cfg(feature = "gateway")]
    json_rpc,
    #[cfg(feature = "gateway")]
    segment_manifest,
    #[cfg(feature = "images")]
    layer_archive,
    #[cfg(feature = "images")]
    image_document,
    #[cfg(feature = "backups")]
    lend_words,
    #[cfg(feature = "backups")]
    lend_files,
}

/// The fuzzer's shells and its package name the same targets.
#[test]
fn every_target_has_a_shell() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let manifest = std::fs::read_to_string(format!("{folder}Cargo.toml")).unwrap();
    for target in TARGETS {
        let shell = std::fs::read_to_string(format!("{folder}fuzz_targets/{}.rs", target.name)).unwrap_or_default();
        assert!(shell.contains(&format!("\"{}\"", target.name)), "{} has no shell", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} is not in fuzz/Cargo.toml", target.name);
    }
}
