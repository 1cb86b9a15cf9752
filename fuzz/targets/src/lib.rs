//! Targets of the fuzzer: for each decoder of the product a function of bytes that panics where a promise is broken.
//!
//! The bodies are here, apart from libFuzzer, so that they compile with every build, cannot rot, and are run by
//! `cargo test` over hand-written seeds and some thousands of seeded mutations (`tests/every_target.rs`) without a
//! nightly compiler. `fuzz/fuzz_targets` holds a shell of three lines around each.
//!
//! A target does more than not to panic. Each states properties that need no second implementation: what was accepted is
//! written again as the same bytes (so nothing has two encodings), what was read twice is read alike, a book that counts
//! as in step is the one that the events lead to, a signature that was altered is refused. Where a second
//! implementation is small (wide integers, quorums), the target has its own.
//!
//! Text comes as text and bytes as bytes, so that a corpus can be read and written by hand; see each module.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a broken promise is told by a panic")]

pub mod api;
pub mod catalogues;
#[cfg(feature = "chain")]
pub mod chain;
#[cfg(feature = "consensus")]
pub mod consensus;
pub mod content;
pub mod dialects;
pub mod documents;
pub mod emulated;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "images")]
pub mod images;
pub mod input;
pub mod ledger;
#[cfg(feature = "backups")]
pub mod lending;
pub mod market;
pub mod mutate;
#[cfg(feature = "queries")]
pub mod queries;
pub mod state;
#[cfg(feature = "tables")]
pub mod tables;
pub mod values;
mod wide;

use std::path::Path;

/// Longest input that a target looks at, in bytes; what is longer is cut, since length alone finds nothing here.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;

/// A decoder under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name: of the test, of the fuzzer's binary and of the corpus' folder.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Hand-written inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations of the seeds that the ordinary test runs: fewer where one run costs more.
    pub mutations: u32,
}

/// Every target, in the order of the rooms.
pub const TARGETS: &[Target] = &[
    Target { name: "decimal", run: values::decimal, seeds: values::decimal_seeds, mutations: 20_000 },
    Target { name: "text", run: values::text, seeds: values::text_seeds, mutations: 20_000 },
    Target { name: "binance_spot", run: dialects::binance_spot, seeds: dialects::binance_spot_seeds, mutations: 2_000 },
    Target { name: "binance_usdm", run: dialects::binance_usdm, seeds: dialects::binance_usdm_seeds, mutations: 2_000 },
    Target { name: "kraken", run: dialects::kraken, seeds: dialects::kraken_seeds, mutations: 2_000 },
    Target { name: "coinbase", run: dialects::coinbase, seeds: dialects::coinbase_seeds, mutations: 2_000 },
    Target { name: "bybit", run: dialects::bybit, seeds: dialects::bybit_seeds, mutations: 2_000 },
    Target { name: "okx", run: dialects::okx, seeds: dialects::okx_seeds, mutations: 2_000 },
    Target { name: "emulated_books", run: emulated::books, seeds: emulated::seeds, mutations: 2_000 },
    Target { name: "venue_side", run: market::venue_side, seeds: market::venue_side_seeds, mutations: 4_000 },
    Target { name: "recording", run: market::recording, seeds: market::recording_seeds, mutations: 4_000 },
    Target { name: "chunk", run: market::chunk, seeds: market::chunk_seeds, mutations: 8_000 },
    Target { name: "chain_rows", run: market::chain_rows, seeds: market::chain_rows_seeds, mutations: 8_000 },
    Target { name: "transaction", run: ledger::transaction, seeds: ledger::transaction_seeds, mutations: 2_000 },
    Target { name: "ledger_types", run: ledger::types, seeds: ledger::types_seeds, mutations: 8_000 },
    Target { name: "genesis", run: ledger::genesis, seeds: ledger::genesis_seeds, mutations: 2_000 },
    Target { name: "execute", run: ledger::execute, seeds: ledger::execute_seeds, mutations: 500 },
    Target { name: "light_client", run: ledger::light_client, seeds: ledger::light_client_seeds, mutations: 1_000 },
    Target { name: "state_proof", run: state::proof, seeds: state::proof_seeds, mutations: 4_000 },
    Target { name: "proof_bundle", run: state::bundle, seeds: state::bundle_seeds, mutations: 2_000 },
    Target {
        name: "block_database",
        run: content::block_database,
        seeds: content::block_database_seeds,
        mutations: 100,
    },
    Target { name: "block_store", run: content::block_store, seeds: content::block_store_seeds, mutations: 300 },
    Target { name: "api_bodies", run: api::bodies, seeds: api::bodies_seeds, mutations: 8_000 },
    Target { name: "sign_in_message", run: api::sign_in_message, seeds: api::sign_in_message_seeds, mutations: 8_000 },
    Target { name: "document_text", run: documents::text, seeds: documents::text_seeds, mutations: 4_000 },
    Target { name: "catalogue", run: catalogues::index, seeds: catalogues::index_seeds, mutations: 2_000 },
    Target { name: "template", run: catalogues::template, seeds: catalogues::template_seeds, mutations: 2_000 },
    Target { name: "compose", run: documents::compose, seeds: documents::compose_seeds, mutations: 2_000 },
    #[cfg(feature = "chain")]
    Target { name: "evm_json", run: chain::json, seeds: chain::json_seeds, mutations: 2_000 },
    #[cfg(feature = "chain")]
    Target { name: "evm_canonical", run: chain::canonical, seeds: chain::canonical_seeds, mutations: 2_000 },
    #[cfg(feature = "chain")]
    Target { name: "evm_replay", run: chain::replay, seeds: chain::replay_seeds, mutations: 4_000 },
    #[cfg(feature = "tables")]
    Target { name: "window_file", run: tables::window_file, seeds: tables::window_file_seeds, mutations: 300 },
    #[cfg(feature = "consensus")]
    Target { name: "consensus", run: consensus::messages, seeds: consensus::messages_seeds, mutations: 8_000 },
    #[cfg(feature = "consensus")]
    Target { name: "block_parts", run: consensus::parts, seeds: consensus::parts_seeds, mutations: 4_000 },
    #[cfg(feature = "consensus")]
    Target { name: "envelope", run: consensus::envelope, seeds: consensus::envelope_seeds, mutations: 8_000 },
    #[cfg(feature = "consensus")]
    Target { name: "block_protocol", run: consensus::protocol, seeds: consensus::protocol_seeds, mutations: 8_000 },
    #[cfg(feature = "queries")]
    Target { name: "sql_statement", run: queries::statement, seeds: queries::statement_seeds, mutations: 500 },
    #[cfg(feature = "gateway")]
    Target { name: "sign_in", run: gateway::sign_in, seeds: gateway::sign_in_seeds, mutations: 2_000 },
    #[cfg(feature = "gateway")]
    Target { name: "json_rpc", run: gateway::json_rpc, seeds: gateway::json_rpc_seeds, mutations: 8_000 },
    #[cfg(feature = "gateway")]
    Target { name: "segment_manifest", run: gateway::segments, seeds: gateway::segments_seeds, mutations: 500 },
    #[cfg(feature = "images")]
    Target { name: "layer_archive", run: images::archive, seeds: images::archive_seeds, mutations: 8_000 },
    #[cfg(feature = "images")]
    Target { name: "image_document", run: images::document, seeds: images::document_seeds, mutations: 8_000 },
    #[cfg(feature = "backups")]
    Target { name: "lend_words", run: lending::words, seeds: lending::words_seeds, mutations: 8_000 },
    #[cfg(feature = "backups")]
    Target { name: "lend_files", run: lending::files, seeds: lending::files_seeds, mutations: 4_000 },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs a target by name, as the fuzzer's shells do.
pub fn run(name: &str, data: &[u8]) {
    match target(name) {
        Some(target) => (target.run)(&data[..data.len().min(INPUT_BYTES_MAX)]),
        None => panic!("there is no target {name}"),
    }
}

/// Prepares a fuzzer's shell before the first input: writes the seeds to the folder that `FUZZ_SEEDS` names, which
/// libFuzzer reads afterwards.
pub fn begin(name: &str) {
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        write_seeds(name, Path::new(&folder)).expect("the corpus' folder can be written");
    }
}

/// Writes a target's seeds, and what recordings there are for it, into a corpus' folder.
pub fn write_seeds(name: &str, folder: &Path) -> std::io::Result<usize> {
    let Some(target) = target(name) else { return Ok(0) };
    let mut seeds = (target.seeds)();
    seeds.extend(dialects::recorded(name));
    std::fs::create_dir_all(folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(seeds.len())
}
