//! Decided blocks for peers that catch up.

use std::ops::RangeInclusive;

use malachite_app::types::core::{ExtendedCommitCertificate, ExtendedCommitSignature, Round};
use malachite_sync::RawDecidedValue;
use openmesh_primitives::canonical;
use openmesh_storage::{Store, StoredBlock};

use crate::consensus::context::Context;
use crate::consensus::types::{Address, BlockId, Height};

/// Bytes of blocks in one answer, unless a single one is longer: a second of a 64 Mbit/s line.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Blocks in one answer.
const ANSWER_BLOCKS_MAX: u64 = 64;

/// The blocks of a range, from its beginning, as many as fit an answer. Fewer, or none, is a valid answer.
pub(crate) fn decided_values(store: &Store, range: RangeInclusive<Height>) -> Vec<RawDecidedValue<Context>> {
    let mut values = Vec::new();
    let mut bytes = 0;
    for height in (range.start().0..=range.end().0).take(ANSWER_BLOCKS_MAX as usize) {
        let block = match store.block(height) {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(height, error = crate::chain::report(&error), "a block cannot be read for a peer");
                break;
            }
        };
        let value = decided_value(&block);
        bytes += value.value_bytes.len();
        if !values.is_empty() && bytes > ANSWER_BYTES_MAX {
            break;
        }
        values.push(value);
    }
    values
}

fn decided_value(stored: &StoredBlock) -> RawDecidedValue<Context> {
    let certificate = &stored.certificate;
    let signature = |(address, signature): &(_, _)| ExtendedCommitSignature::new(Address(*address), *signature, None);
    let certificate = ExtendedCommitCertificate {
        height: Height(certificate.height),
        round: u32::try_from(certificate.round).map_or(Round::Nil, Round::new),
        value_id: BlockId(certificate.block_hash),
        commit_signatures: certificate.signatures.iter().map(signature).collect(),
    };
    RawDecidedValue::new(canonical::encode(&stored.block).into(), certificate)
}
