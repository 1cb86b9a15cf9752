//! Tables on object storage: market data, chain data and the ledger's own blocks as Parquet, queryable while they come
//! in.
//!
//! What is agreed on arrives here (accepted chunks, committed blocks) and becomes rows of [`Table`]s. Rows gather in
//! memory and are written as Parquet files by the hour; a manifest of commits says which files are the lake and which
//! chunks they hold. Three promises:
//!
//! - **A row is in the lake once.** Chunks are recognised by CID, ledger blocks by height; files and the list of what
//!   they hold become durable in one commit, so neither a crash nor a second delivery doubles or loses what
//!   [`Lake::flush`] acknowledged. What was only in memory, [`Lake::missing`] names.
//! - **A number is exact.** Decimals are `Decimal128(38, 18)`; what does not fit is an error, never rounded.
//! - **No reader needs us.** Files are plain Parquet in Hive-like folders; chain data also lies there as Avro.
//!
//! The lake does not know the ledger, the engine or SQL: plain rows come in, [`Snapshot`]s go out.

mod avro;
mod block_file;
mod compact;
mod config;
mod disk;
mod encode;
mod error;
mod files;
mod fill;
mod keys;
mod lake;
mod manifest;
mod parquet_file;
mod rows;
mod snapshot;
pub mod table;
mod tail;
mod window_file;

pub use block_file::FOOTER_BLOCK;
pub use config::Config;
pub use error::LakeError;
pub use files::DataFile;
pub use fill::chain::ChainBlock;
pub use fill::ledger::{
    LedgerBlock, LedgerBlockRow, LedgerChunkOutcome, LedgerChunkRow, LedgerIncidentRow, LedgerTransactionRow,
    NodeIncidentRow, RawSegmentRow,
};
pub use lake::{AcceptedChunkMeta, Appended, ChainMeta, Lake, Status};
pub use parquet_file::{FOOTER_HEADER, FOOTER_PROOF, ParquetExport, WINDOW_WRITER};
pub use snapshot::{Snapshot, TableSnapshot};
pub use table::{Column, ColumnType, Table, UnknownTable};
pub use window_file::{WINDOW_FILE_BYTES_MAX, chunk_of_parquet, rows_of_parquet, window_parquet};
