//! A node's claims as rows. What rows do not keep (each receipt's bloom, both forms of a signature's parity, flags) is
//! compared here; what a node left out and follows from the rest is filled in, so that two nodes that differ in what they
//! leave out still lead to the same rows.

use alloy_primitives::{Address, B256, Bytes, U64, U128};
use openmesh_chain::{
    AccessListItem, Authorization, Block, ChainAddress, Hash, Log, Receipt, Transaction, U256, Withdrawal,
};

use crate::report::{Report, VerifyError};
use crate::rpc::{RpcBlock, RpcLog, RpcReceipt, RpcTransaction, RpcTransactions};
use crate::verify::{Rows, Tally, examine, receipt_envelopes};
use crate::{consensus, derive};

fn wide(value: alloy_primitives::U256) -> U256 {
    U256(value.to_be_bytes())
}

fn small(value: Option<U64>) -> Option<u64> {
    value.map(|value| value.to())
}

fn middle(value: Option<U128>) -> Option<u128> {
    value.map(|value| value.to())
}

fn hash(value: Option<B256>) -> Option<Hash> {
    value.map(|value| value.0)
}

fn address(value: Option<Address>) -> Option<ChainAddress> {
    value.map(|value| value.0.0)
}

fn kind(value: Option<U64>, place: impl FnOnce() -> String) -> Result<u8, VerifyError> {
    u8::try_from(small(value).unwrap_or(0)).map_err(|_| {
        let reason = "has a type that is not known here (Ethereum has 0 to 4)".to_owned();
        VerifyError::Field { place: place(), reason }
    })
}

/// Rows and their report, with failed checks in it.
pub(crate) fn assemble(
    (block, transactions): (RpcBlock<'_>, RpcTransactions),
    receipts: Option<Vec<RpcReceipt>>,
) -> Result<(Rows, Report), VerifyError> {
    let mut claims = Tally::new("claims");
    let mut row = block_row(&block);
    if let Some(uncles) = &block.uncles {
        claims.equal(|| "whether the block has uncles".to_owned(), &derive::without_uncles(&row), &uncles.is_empty());
    }
    let hashes = match &transactions {
        RpcTransactions::Hashes(hashes) => Some(hashes.as_slice()),
        _ => None,
    };
    let bodies = match &transactions {
        RpcTransactions::Full(list) => {
            let rows = list.iter().enumerate().map(|(place, tx)| transaction_row(&row, place, tx, &mut claims));
            Some(rows.collect::<Result<Vec<_>, _>>()?)
        }
        _ => None,
    };
    let mut logs = Vec::new();
    let receipts = match receipts {
        Some(list) => {
            let expected = bodies.as_ref().map(|bodies| bodies.iter().map(|tx| B256::from(tx.hash)).collect());
            let list = in_block_order(expected.or(hashes.map(<[B256]>::to_vec)), list)?;
            Some(receipt_rows(&row, bodies.as_deref(), hashes, &list, &mut logs, &mut claims)?)
        }
        None => None,
    };
    let count = bodies.as_ref().map(Vec::len).or(hashes.map(<[B256]>::len)).or(receipts.as_ref().map(Vec::len));
    row.transaction_count = count.map(|count| count as u64);
    if let Some(bodies) = &bodies {
        let envelopes = bodies.iter().map(consensus::envelope).collect::<Result<Vec<_>, _>>()?;
        row.size = consensus::block_size(&row, &consensus::header(&row)?, &envelopes);
    }
    let rows = Rows { block: row, transactions: bodies, receipts, logs };
    let mut report = examine(&rows)?;
    report.add(claims.into_check());
    Ok((rows, report))
}

pub(crate) fn block_row(block: &RpcBlock<'_>) -> Block {
    let withdrawals = block.withdrawals.as_ref().map(|list| {
        let row = |item: &crate::rpc::RpcWithdrawal| Withdrawal {
            index: item.index.to(),
            validator_index: item.validator_index.to(),
            address: item.address.0.0,
            amount: item.amount.to(),
        };
        list.iter().map(row).collect()
    });
    Block {
        number: block.number.to(),
        hash: block.hash.0,
        parent_hash: block.parent_hash.0,
        nonce: block.nonce.0,
        sha3_uncles: block.sha3_uncles.0,
        logs_bloom: block.logs_bloom.0.0,
        transactions_root: block.transactions_root.0,
        state_root: block.state_root.0,
        receipts_root: block.receipts_root.0,
        miner: block.miner.0.0,
        difficulty: wide(block.difficulty),
        size: None,
        extra_data: block.extra_data.to_vec(),
        gas_limit: block.gas_limit.to(),
        gas_used: block.gas_used.to(),
        timestamp: block.timestamp.to(),
        transaction_count: None,
        base_fee_per_gas: small(block.base_fee_per_gas),
        withdrawals_root: hash(block.withdrawals_root),
        withdrawals: withdrawals.or_else(|| block.withdrawals_root.is_none().then(Vec::new)),
        blob_gas_used: small(block.blob_gas_used),
        excess_blob_gas: small(block.excess_blob_gas),
        mix_hash: block.mix_hash.0,
        parent_beacon_block_root: hash(block.parent_beacon_block_root),
        requests_hash: hash(block.requests_hash),
        block_access_list_hash: hash(block.block_access_list_hash),
        slot_number: small(block.slot_number),
    }
}

fn transaction_row(
    block: &Block,
    place: usize,
    tx: &RpcTransaction,
    claims: &mut Tally,
) -> Result<Transaction, VerifyError> {
    let kind = kind(tx.kind, || format!("transaction {place}"))?;
    let (y_parity, chain_id) = signature(kind, place, tx, claims)?;
    let of_types = |wanted: bool, value: Option<U128>| if wanted { middle(value) } else { None };
    let mut row = Transaction {
        hash: tx.hash.0,
        nonce: tx.nonce.to(),
        block_hash: hash(tx.block_hash).unwrap_or(block.hash),
        block_number: small(tx.block_number).unwrap_or(block.number),
        block_timestamp: small(tx.block_timestamp).unwrap_or(block.timestamp),
        transaction_index: small(tx.transaction_index).unwrap_or(place as u64),
        from_address: tx.from.0.0,
        to_address: address(tx.to),
        value: wide(tx.value),
        gas: tx.gas.to(),
        gas_price: middle(tx.gas_price).unwrap_or(0),
        input: tx.input.to_vec(),
        max_fee_per_gas: of_types(kind >= 2, tx.max_fee_per_gas),
        max_priority_fee_per_gas: of_types(kind >= 2, tx.max_priority_fee_per_gas),
        transaction_type: kind,
        max_fee_per_blob_gas: of_types(kind == 3, tx.max_fee_per_blob_gas),
        blob_versioned_hashes: Vec::new(),
        chain_id,
        access_list: Vec::new(),
        authorization_list: Vec::new(),
        y_parity,
        r: wide(tx.r),
        s: wide(tx.s),
    };
    if kind == 3 {
        row.blob_versioned_hashes = tx.blob_versioned_hashes.iter().flatten().map(|hash| hash.0).collect();
    }
    if kind > 0 {
        row.access_list = access_list(tx);
    }
    if kind == 4 {
        row.authorization_list = authorizations(place, tx, claims)?;
    }
    if tx.gas_price.is_none() && kind >= 2 {
        row.gas_price = derive::effective_gas_price(&row, block.base_fee_per_gas);
    }
    Ok(row)
}

fn access_list(tx: &RpcTransaction) -> Vec<AccessListItem> {
    let row = |item: &crate::rpc::RpcAccessListItem| AccessListItem {
        address: item.address.0.0,
        storage_keys: item.storage_keys.iter().map(|key| key.0).collect(),
    };
    tx.access_list.iter().flatten().map(row).collect()
}

/// The authorizations of a transaction (EIP-7702). Their parity may be any byte: one that recovers no signer is skipped by
/// the protocol and stays in the transaction.
///
/// # Errors
/// Where an authorization has no parity, or one that is no byte.
fn authorizations(place: usize, tx: &RpcTransaction, claims: &mut Tally) -> Result<Vec<Authorization>, VerifyError> {
    let wrong = |reason: &str| VerifyError::Field {
        place: format!("transaction {place} authorizationList"),
        reason: reason.to_owned(),
    };
    let row = |(at, item): (usize, &crate::rpc::RpcAuthorization)| {
        let parity = small(item.y_parity.or(item.v)).ok_or_else(|| wrong("has neither yParity nor v"))?;
        let name = || format!("transaction {place} authorization {at} v");
        claims.claim(name, &parity, small(item.v).as_ref());
        let y_parity = u8::try_from(parity).map_err(|_| wrong("has a yParity of more than 255"))?;
        Ok(Authorization {
            chain_id: wide(item.chain_id),
            address: item.address.0.0,
            nonce: item.nonce.to(),
            y_parity,
            r: wide(item.r),
            s: wide(item.s),
        })
    };
    tx.authorization_list.iter().flatten().enumerate().map(row).collect()
}

/// Receipts in the order of the block's transactions, one for each; `expected` are the transactions' hashes where they are
/// known. Nodes may answer in another order: then the receipts' own indices say where they belong.
///
/// # Errors
/// Where there are more or fewer receipts than transactions; names the first transaction without one.
fn in_block_order(expected: Option<Vec<B256>>, mut list: Vec<RpcReceipt>) -> Result<Vec<RpcReceipt>, VerifyError> {
    let mut places: Vec<u64> = list.iter().map(|receipt| receipt.transaction_index.to()).collect();
    places.sort_unstable();
    if places.iter().enumerate().all(|(at, place)| *place == at as u64) {
        list.sort_by_key(|receipt| receipt.transaction_index);
    }
    let Some(expected) = expected.filter(|expected| expected.len() != list.len()) else { return Ok(list) };
    let missing = expected.iter().position(|hash| list.iter().all(|receipt| receipt.transaction_hash != *hash));
    let which = missing.map_or_else(String::new, |at| format!("; there is none for transaction {at}"));
    Err(VerifyError::Field {
        place: "receipts".to_owned(),
        reason: format!("are {}, but the block has {} transactions{which}", list.len(), expected.len()),
    })
}

/// Parity and chain, from `v` (EIP-155 for legacy transactions) and `yParity`.
fn signature(
    kind: u8,
    place: usize,
    tx: &RpcTransaction,
    claims: &mut Tally,
) -> Result<(bool, Option<u64>), VerifyError> {
    let at = |field: &'static str| move || format!("transaction {place} {field}");
    let wrong = |reason: &str| VerifyError::Field { place: format!("transaction {place}"), reason: reason.to_owned() };
    let claimed_chain = small(tx.chain_id);
    if kind > 0 {
        let v = small(tx.v).or(small(tx.y_parity)).ok_or_else(|| wrong("has neither v nor yParity"))?;
        claims.claim(at("yParity"), &v, small(tx.y_parity).as_ref());
        return match v {
            0 | 1 => Ok((v == 1, claimed_chain)),
            _ => Err(wrong("has a yParity that is neither 0 nor 1")),
        };
    }
    let v = small(tx.v).ok_or_else(|| wrong("has no v"))?;
    let (parity, chain) = match v {
        27 | 28 => (v == 28, None),
        35.. => ((v - 35) % 2 == 1, Some((v - 35) / 2)),
        _ => return Err(wrong("has a v that no legacy transaction has (27, 28, or 35 and above)")),
    };
    claims.claim(at("yParity"), &u64::from(parity), small(tx.y_parity).as_ref());
    // Nodes differ in whether they name a chain where none is signed.
    if chain.is_some() && claimed_chain.is_some() {
        claims.equal(at("chainId"), &chain, &claimed_chain);
    }
    Ok((parity, chain))
}

pub(crate) fn receipt_rows(
    block: &Block,
    bodies: Option<&[Transaction]>,
    hashes: Option<&[B256]>,
    list: &[RpcReceipt],
    logs: &mut Vec<Log>,
    claims: &mut Tally,
) -> Result<Vec<Receipt>, VerifyError> {
    let mut rows = Vec::with_capacity(list.len());
    for (place, receipt) in list.iter().enumerate() {
        let tx = bodies.and_then(|bodies| bodies.get(place));
        rows.push(receipt_row(block, tx, place, receipt)?);
        for log in &receipt.logs {
            let row = log_row(receipt, log);
            let at = |field: &'static str| move || format!("receipt {place} log {} {field}", log.log_index);
            claims.equal(at("transactionIndex"), &receipt.transaction_index.to(), &row.transaction_index);
            claims.claim(at("blockTimestamp"), &block.timestamp, small(log.block_timestamp).as_ref());
            claims.equal(at("removed"), &false, &log.removed);
            logs.push(row);
        }
    }
    if let Some(hashes) = hashes {
        claims.equal(|| "the number of receipts".to_owned(), &hashes.len(), &list.len());
        for (place, (hash, receipt)) in hashes.iter().zip(list).enumerate() {
            claims.equal(|| format!("receipt {place} transactionHash"), &hash.0, &receipt.transaction_hash.0);
        }
    }
    for (place, (envelope, receipt)) in receipt_envelopes(&rows, logs)?.iter().zip(list).enumerate() {
        let at = || format!("receipt {place} logsBloom");
        claims.equal(at, &receipt.logs_bloom.0.0, &consensus::bloom(envelope).0.0);
    }
    Ok(rows)
}

fn receipt_row(
    block: &Block,
    tx: Option<&Transaction>,
    place: usize,
    receipt: &RpcReceipt,
) -> Result<Receipt, VerifyError> {
    let at = || format!("receipt {place}");
    let status = match small(receipt.status) {
        None => None,
        Some(status @ (0 | 1)) => Some(status as u8),
        Some(_) => {
            return Err(VerifyError::Field { place: at(), reason: "has a status that is neither 0 nor 1".to_owned() });
        }
    };
    let kind = match (receipt.kind, tx) {
        (None, Some(tx)) => tx.transaction_type,
        (claim, _) => kind(claim, at)?,
    };
    let derived_price = tx.map(|tx| derive::effective_gas_price(tx, block.base_fee_per_gas));
    let blobs = kind == 3;
    Ok(Receipt {
        transaction_hash: receipt.transaction_hash.0,
        transaction_index: receipt.transaction_index.to(),
        block_hash: receipt.block_hash.0,
        block_number: receipt.block_number.to(),
        cumulative_gas_used: receipt.cumulative_gas_used.to(),
        gas_used: receipt.gas_used.to(),
        contract_address: address(receipt.contract_address).or_else(|| tx.and_then(derive::contract_address)),
        root: root(receipt.root.as_ref(), place)?,
        status,
        effective_gas_price: middle(receipt.effective_gas_price).or(derived_price),
        blob_gas_price: if blobs { blob_gas_price(block, middle(receipt.blob_gas_price)) } else { None },
        blob_gas_used: if blobs { small(receipt.blob_gas_used).or(tx.and_then(derive::blob_gas_used)) } else { None },
        from_address: receipt.from.0.0,
        to_address: address(receipt.to),
        transaction_type: kind,
    })
}

/// The state root of a receipt before Byzantium; nodes give null or nothing where there is none, some an empty one.
fn root(root: Option<&Bytes>, place: usize) -> Result<Option<Hash>, VerifyError> {
    match root {
        None => Ok(None),
        Some(root) if root.is_empty() => Ok(None),
        Some(root) => root.as_ref().try_into().map(Some).map_err(|_| VerifyError::Field {
            place: format!("receipt {place}"),
            reason: "has a root that is not 32 bytes long".to_owned(),
        }),
    }
}

/// The claimed price, or the only possible one. From Prague on an unknown price is dropped instead of refused: schedules
/// change without a new field in the header, and a new one must not stop the source.
fn blob_gas_price(block: &Block, claim: Option<u128>) -> Option<u128> {
    let prices = derive::blob_gas_prices(block);
    match (claim, prices.as_slice()) {
        (None, [only]) => Some(*only),
        (Some(claim), _) if block.requests_hash.is_some() && !prices.contains(&claim) => None,
        _ => claim,
    }
}

fn log_row(receipt: &RpcReceipt, log: &RpcLog) -> Log {
    Log {
        log_index: log.log_index.to(),
        transaction_hash: hash(log.transaction_hash).unwrap_or(receipt.transaction_hash.0),
        transaction_index: small(log.transaction_index).unwrap_or(receipt.transaction_index.to()),
        block_hash: hash(log.block_hash).unwrap_or(receipt.block_hash.0),
        block_number: small(log.block_number).unwrap_or(receipt.block_number.to()),
        address: log.address.0.0,
        data: log.data.to_vec(),
        topics: log.topics.iter().map(|topic| topic.0).collect(),
    }
}
