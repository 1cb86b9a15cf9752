//! Rows as the consensus types whose encodings are hashed.

use alloy_consensus::transaction::{EthereumTxEnvelope, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_consensus::{Eip658Value, Header, ReceiptEnvelope, Signed, TxReceipt, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bloom, Bytes, LogData, Signature, TxKind, U256};
use alloy_rlp::Encodable;
use openmesh_chain::{Block, Log, Receipt, Transaction};

use crate::derive::without_uncles;
use crate::report::VerifyError;

/// A signed transaction without blobs.
pub(crate) type Envelope = EthereumTxEnvelope<TxEip4844>;

const UNKNOWN_TYPE: &str = "has a type that is not known here (Ethereum has 0 to 4)";

fn field(place: impl Into<String>, reason: &'static str) -> VerifyError {
    VerifyError::Field { place: place.into(), reason: reason.to_owned() }
}

fn wide(value: openmesh_chain::U256) -> U256 {
    U256::from_be_bytes(value.0)
}

/// The header. Fields of later forks must not stand without those before them: the encoding is positional, so a value
/// under a wrong name would hash the same.
pub(crate) fn header(block: &Block) -> Result<Header, VerifyError> {
    let by_fork = [
        ("baseFeePerGas", block.base_fee_per_gas.is_some()),
        ("withdrawalsRoot", block.withdrawals_root.is_some()),
        ("blobGasUsed", block.blob_gas_used.is_some()),
        ("excessBlobGas", block.excess_blob_gas.is_some()),
        ("parentBeaconBlockRoot", block.parent_beacon_block_root.is_some()),
        ("requestsHash", block.requests_hash.is_some()),
        ("blockAccessListHash", block.block_access_list_hash.is_some()),
        ("slotNumber", block.slot_number.is_some()),
    ];
    for pair in by_fork.windows(2) {
        if let [(before, false), (after, true)] = pair {
            let reason = format!("is given without {before}, which an earlier fork brought");
            return Err(VerifyError::Field { place: format!("block's {after}"), reason });
        }
    }
    Ok(Header {
        parent_hash: block.parent_hash.into(),
        ommers_hash: block.sha3_uncles.into(),
        beneficiary: block.miner.into(),
        state_root: block.state_root.into(),
        transactions_root: block.transactions_root.into(),
        receipts_root: block.receipts_root.into(),
        logs_bloom: Bloom::from(block.logs_bloom),
        difficulty: wide(block.difficulty),
        number: block.number,
        gas_limit: block.gas_limit,
        gas_used: block.gas_used,
        timestamp: block.timestamp,
        extra_data: Bytes::copy_from_slice(&block.extra_data),
        mix_hash: block.mix_hash.into(),
        nonce: block.nonce.into(),
        base_fee_per_gas: block.base_fee_per_gas,
        withdrawals_root: block.withdrawals_root.map(B256::from),
        blob_gas_used: block.blob_gas_used,
        excess_blob_gas: block.excess_blob_gas,
        parent_beacon_block_root: block.parent_beacon_block_root.map(B256::from),
        requests_hash: block.requests_hash.map(B256::from),
        block_access_list_hash: block.block_access_list_hash.map(B256::from),
        slot_number: block.slot_number,
    })
}

/// The withdrawals.
pub(crate) fn withdrawals(rows: &[openmesh_chain::Withdrawal]) -> Vec<Withdrawal> {
    let withdrawal = |row: &openmesh_chain::Withdrawal| Withdrawal {
        index: row.index,
        validator_index: row.validator_index,
        address: row.address.into(),
        amount: row.amount,
    };
    rows.iter().map(withdrawal).collect()
}

/// Length of the block's RLP: header, transactions, no uncles, withdrawals. None with uncles, which rows do not hold.
pub(crate) fn block_size(block: &Block, header: &Header, transactions: &[Envelope]) -> Option<u64> {
    if !without_uncles(block) {
        return None;
    }
    let list = |payload: usize| alloy_rlp::length_of_length(payload) + payload;
    let bodies: usize = transactions.iter().map(Encodable2718::network_len).sum();
    let mut payload = header.length() + list(bodies) + list(0);
    if block.withdrawals_root.is_some() {
        let withdrawals = withdrawals(block.withdrawals.as_deref()?);
        payload += list(withdrawals.iter().map(Encodable::length).sum());
    }
    Some(list(payload) as u64)
}

/// A transaction with its signature. Refuses fields that its type does not have, since nothing would bind them.
pub(crate) fn envelope(row: &Transaction) -> Result<Envelope, VerifyError> {
    let place = || format!("transaction {}", row.transaction_index);
    let kind = row.transaction_type;
    let foreign = (kind < 2 && (row.max_fee_per_gas.is_some() || row.max_priority_fee_per_gas.is_some()))
        || (kind != 3 && (row.max_fee_per_blob_gas.is_some() || !row.blob_versioned_hashes.is_empty()))
        || (kind == 0 && !row.access_list.is_empty())
        || (kind != 4 && !row.authorization_list.is_empty());
    if foreign {
        return Err(field(place(), "has fields that its type does not have"));
    }
    let signature = Signature::new(wide(row.r), wide(row.s), row.y_parity);
    Ok(match kind {
        0 => Envelope::Legacy(Signed::new_unhashed(legacy(row), signature)),
        1 => Envelope::Eip2930(Signed::new_unhashed(eip2930(row)?, signature)),
        2 => Envelope::Eip1559(Signed::new_unhashed(eip1559(row)?, signature)),
        3 => Envelope::Eip4844(Signed::new_unhashed(eip4844(row)?, signature)),
        4 => Envelope::Eip7702(Signed::new_unhashed(eip7702(row)?, signature)),
        _ => return Err(field(place(), UNKNOWN_TYPE)),
    })
}

/// A field that the transaction's type must have.
fn required<T>(row: &Transaction, value: Option<T>, reason: &'static str) -> Result<T, VerifyError> {
    value.ok_or_else(|| field(format!("transaction {}", row.transaction_index), reason))
}

fn chain_id(row: &Transaction) -> Result<u64, VerifyError> {
    required(row, row.chain_id, "has no chain id, although its type demands one")
}

/// `maxFeePerGas` and `maxPriorityFeePerGas`.
fn fees(row: &Transaction) -> Result<(u128, u128), VerifyError> {
    let most = required(row, row.max_fee_per_gas, "has no maxFeePerGas")?;
    Ok((most, required(row, row.max_priority_fee_per_gas, "has no maxPriorityFeePerGas")?))
}

fn kind(row: &Transaction) -> TxKind {
    row.to_address.map_or(TxKind::Create, |to| TxKind::Call(to.into()))
}

/// The receiver, for types that cannot create contracts.
fn receiver(row: &Transaction) -> Result<Address, VerifyError> {
    required(row, row.to_address.map(Address::from), "has no receiver, although its type demands one")
}

fn input(row: &Transaction) -> Bytes {
    Bytes::copy_from_slice(&row.input)
}

fn legacy(row: &Transaction) -> TxLegacy {
    TxLegacy {
        chain_id: row.chain_id,
        nonce: row.nonce,
        gas_price: row.gas_price,
        gas_limit: row.gas,
        to: kind(row),
        value: wide(row.value),
        input: input(row),
    }
}

fn eip2930(row: &Transaction) -> Result<TxEip2930, VerifyError> {
    Ok(TxEip2930 {
        chain_id: chain_id(row)?,
        nonce: row.nonce,
        gas_price: row.gas_price,
        gas_limit: row.gas,
        to: kind(row),
        value: wide(row.value),
        access_list: access_list(row),
        input: input(row),
    })
}

fn eip1559(row: &Transaction) -> Result<TxEip1559, VerifyError> {
    let (max_fee_per_gas, max_priority_fee_per_gas) = fees(row)?;
    Ok(TxEip1559 {
        chain_id: chain_id(row)?,
        nonce: row.nonce,
        gas_limit: row.gas,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to: kind(row),
        value: wide(row.value),
        access_list: access_list(row),
        input: input(row),
    })
}

fn eip4844(row: &Transaction) -> Result<TxEip4844, VerifyError> {
    let (max_fee_per_gas, max_priority_fee_per_gas) = fees(row)?;
    Ok(TxEip4844 {
        chain_id: chain_id(row)?,
        nonce: row.nonce,
        gas_limit: row.gas,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to: receiver(row)?,
        value: wide(row.value),
        access_list: access_list(row),
        blob_versioned_hashes: row.blob_versioned_hashes.iter().map(B256::from).collect(),
        max_fee_per_blob_gas: required(row, row.max_fee_per_blob_gas, "has no maxFeePerBlobGas")?,
        input: input(row),
    })
}

fn eip7702(row: &Transaction) -> Result<TxEip7702, VerifyError> {
    let (max_fee_per_gas, max_priority_fee_per_gas) = fees(row)?;
    Ok(TxEip7702 {
        chain_id: chain_id(row)?,
        nonce: row.nonce,
        gas_limit: row.gas,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to: receiver(row)?,
        value: wide(row.value),
        access_list: access_list(row),
        authorization_list: authorizations(row),
        input: input(row),
    })
}

fn access_list(row: &Transaction) -> AccessList {
    let item = |item: &openmesh_chain::AccessListItem| AccessListItem {
        address: item.address.into(),
        storage_keys: item.storage_keys.iter().map(B256::from).collect(),
    };
    AccessList(row.access_list.iter().map(item).collect())
}

fn authorizations(row: &Transaction) -> Vec<SignedAuthorization> {
    let item = |item: &openmesh_chain::Authorization| {
        let inner = Authorization { chain_id: wide(item.chain_id), address: item.address.into(), nonce: item.nonce };
        SignedAuthorization::new_unchecked(inner, item.y_parity, wide(item.r), wide(item.s))
    };
    row.authorization_list.iter().map(item).collect()
}

/// A receipt with its logs and the bloom computed from them.
pub(crate) fn receipt<'a>(row: &Receipt, logs: impl Iterator<Item = &'a Log>) -> Result<ReceiptEnvelope, VerifyError> {
    let place = || format!("receipt {}", row.transaction_index);
    let kind = TxType::try_from(row.transaction_type).map_err(|_| field(place(), UNKNOWN_TYPE))?;
    let status = match (row.status, row.root) {
        (Some(0), None) => Eip658Value::Eip658(false),
        (Some(1), None) => Eip658Value::Eip658(true),
        (None, Some(root)) => Eip658Value::PostState(root.into()),
        _ => return Err(field(place(), "must have either a status of 0 or 1, or a state root")),
    };
    let log = |log: &Log| alloy_primitives::Log {
        address: log.address.into(),
        data: LogData::new_unchecked(log.topics.iter().map(B256::from).collect(), Bytes::copy_from_slice(&log.data)),
    };
    let receipt = alloy_consensus::Receipt {
        status,
        cumulative_gas_used: row.cumulative_gas_used,
        logs: logs.map(log).collect(),
    };
    Ok(ReceiptEnvelope::from_typed(kind, receipt.with_bloom()))
}

/// The bloom of a receipt's logs.
pub(crate) fn bloom(receipt: &ReceiptEnvelope) -> Bloom {
    receipt.bloom()
}
