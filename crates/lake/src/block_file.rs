//! Files of one chain block: what a window file is for a market.
//!
//! A block's rows are of several shapes with lists inside, so here a row is an item (block, transaction, receipt, log)
//! as the JSON object of `docs/spec/chain.md`. Making Borsh out of that JSON again would need a second decoder of every
//! shape; instead the canonical bytes stand in the footer, and a file is only accepted where its rows are exactly those
//! that the bytes lead to. Which comes to the same: what a reader sees cannot be altered without the CID telling.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use openmesh_chain::{Row, hex0x};

use crate::error::LakeError;
use crate::fill::chain::CanonicalBlock;
use crate::parquet_file::{self, FOOTER_PROOF, Footer, WINDOW_WRITER};

/// Footer key of a block's canonical bytes, hexadecimal after `0x`.
pub const FOOTER_BLOCK: &str = "openmesh.block";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("type", DataType::Utf8View, false),
        Field::new("position", DataType::Int64, false),
        Field::new("row", DataType::Utf8View, false),
    ]))
});

fn rows(block: &CanonicalBlock) -> Result<RecordBatch, LakeError> {
    let rows = block.rows();
    let mut items = vec![("block", 0, Row::Block(rows.block))];
    items.extend(rows.transactions.iter().enumerate().map(|(at, t)| ("transaction", at, Row::Transaction(t))));
    items.extend(rows.receipts.iter().enumerate().map(|(at, r)| ("receipt", at, Row::Receipt(r))));
    items.extend(rows.logs.iter().enumerate().map(|(at, l)| ("log", at, Row::Log(l))));
    let json: Result<Vec<String>, _> = items.iter().map(|(_, _, row)| serde_json::to_string(row)).collect();
    let json = json.map_err(|e| LakeError::encoding("a block's rows", e))?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(items.iter().map(|(kind, _, _)| *kind))),
        Arc::new(Int64Array::from_iter_values(items.iter().map(|(_, at, _)| *at as i64))),
        Arc::new(StringViewArray::from_iter_values(json)),
    ];
    RecordBatch::try_new(Arc::clone(&SCHEMA), columns).map_err(|e| LakeError::encoding("a block's rows", e))
}

/// A Parquet file of a block.
pub(crate) fn write(chunk_bytes: &[u8], proof_json: Option<&str>) -> Result<Vec<u8>, LakeError> {
    let batch = rows(&CanonicalBlock::decode(chunk_bytes)?)?;
    let mut footer = vec![(FOOTER_BLOCK, hex0x(chunk_bytes))];
    footer.extend(proof_json.map(|proof| (FOOTER_PROOF, proof.to_string())));
    parquet_file::write_as(WINDOW_WRITER, Arc::clone(&SCHEMA), &[batch], &footer)
}

/// The block's bytes, where the file's rows are those that they lead to; `None` where the file is of no block.
pub(crate) fn read(file: Bytes, footer: &Footer) -> Result<Option<Vec<u8>>, LakeError> {
    let Some(text) = footer.value(FOOTER_BLOCK) else { return Ok(None) };
    let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    let bytes = bytes.ok_or_else(|| LakeError::window(format!("its {FOOTER_BLOCK} is not hexadecimal")))?;
    let expected = rows(&CanonicalBlock::decode(&bytes)?)?;
    let found = concat_batches(&SCHEMA, &parquet_file::read_exactly(file, &SCHEMA)?);
    if found.map_err(|e| LakeError::encoding("a block file", e))? == expected {
        Ok(Some(bytes))
    } else {
        Err(LakeError::window("its rows are not those of its block"))
    }
}
