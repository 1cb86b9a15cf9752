//! Values that follow from other fields, and therefore are computed instead of believed.

use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::Address;
use openmesh_chain::{Block, ChainAddress, Transaction};

/// Blob gas of one blob (EIP-4844).
const BLOB_GAS: u64 = 1 << 17;

/// Wei per gas that a transaction paid (EIP-1559).
pub(crate) fn effective_gas_price(transaction: &Transaction, base_fee: Option<u64>) -> u128 {
    match (transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas) {
        (Some(most), Some(tip)) => most.min(u128::from(base_fee.unwrap_or(0)).saturating_add(tip)),
        _ => transaction.gas_price,
    }
}

/// The contract that a transaction without receiver creates (Yellow Paper 7).
pub(crate) fn contract_address(transaction: &Transaction) -> Option<ChainAddress> {
    match transaction.to_address {
        Some(_) => None,
        None => Some(Address::from(transaction.from_address).create(transaction.nonce).0.0),
    }
}

/// Blob gas of a transaction; none where it is of another type.
pub(crate) fn blob_gas_used(transaction: &Transaction) -> Option<u64> {
    (transaction.transaction_type == 3).then(|| BLOB_GAS.saturating_mul(transaction.blob_versioned_hashes.len() as u64))
}

/// The prices of blob gas that can hold in a block, by what is known of fork schedules. One for Cancun; from Prague on
/// the header alone does not tell which schedule is in force (EIP-7892 changes it without a fork), so there are several.
pub(crate) fn blob_gas_prices(block: &Block) -> Vec<u128> {
    let Some(excess) = block.excess_blob_gas else { return Vec::new() };
    let schedules = match block.requests_hash {
        None => vec![BlobParams::cancun()],
        Some(_) => vec![BlobParams::prague(), BlobParams::bpo1(), BlobParams::bpo2()],
    };
    let mut prices: Vec<u128> = schedules.iter().map(|schedule| schedule.calc_blob_fee(excess)).collect();
    prices.dedup();
    prices
}

/// Returns true when the header says that the block has no uncles.
pub(crate) fn without_uncles(block: &Block) -> bool {
    block.sha3_uncles == EMPTY_OMMER_ROOT_HASH.0
}
