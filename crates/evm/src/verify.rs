//! Recomputing what a block's hash commits to.
//!
//! Works on rows, not on a node's JSON, so that the same function judges what a node just answered and what another
//! validator wrote into a canonical chunk. All checks are made even after one fails: which of them fail together tells
//! a flipped byte from a receipt of another fork.
//!
//! The chain of reasoning: the header's fields hash to the block's hash; the header holds the roots; transactions,
//! receipts and withdrawals hash to the roots; senders follow from signatures; what a node adds beyond that (gas used by
//! one transaction, created contract, price paid, places and hashes in logs) follows from the former and must agree.
//! What cannot be checked because it was not given is listed in [`Report::not_verified`], never passed over.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{ReceiptEnvelope, proofs};
use alloy_primitives::Bloom;
use openmesh_chain::{Block, Log, Receipt, Transaction, U256, hex0x};

use crate::consensus::{self, Envelope};
use crate::derive;
use crate::report::{Check, Report, VerifyError};

/// A block as rows, with what was given of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Header and withdrawals.
    pub block: Block,
    /// Transactions with bodies; none where they were not given (an empty block has an empty list).
    pub transactions: Option<Vec<Transaction>>,
    /// Receipts; none where they were not given.
    pub receipts: Option<Vec<Receipt>>,
    /// Logs of all receipts in order.
    pub logs: Vec<Log>,
}

/// Many comparisons of one kind as one check.
pub(crate) struct Tally {
    name: &'static str,
    count: usize,
    failure: Option<(String, String, String)>,
}

impl Tally {
    pub(crate) fn new(name: &'static str) -> Tally {
        Tally { name, count: 0, failure: None }
    }

    pub(crate) fn equal<T: PartialEq + Shown>(&mut self, at: impl FnOnce() -> String, expected: &T, got: &T) {
        self.count += 1;
        if expected != got && self.failure.is_none() {
            self.failure = Some((at(), expected.shown(), got.shown()));
        }
    }

    /// A claim that a node need not make.
    pub(crate) fn claim<T: PartialEq + Shown>(&mut self, at: impl FnOnce() -> String, expected: &T, claim: Option<&T>) {
        if let Some(claim) = claim {
            self.equal(at, expected, claim);
        }
    }

    pub(crate) fn into_check(self) -> Check {
        let count = self.count.to_string();
        match self.failure {
            None => Check { name: self.name, ok: true, expected: count.clone(), got: count, at: None },
            Some((at, expected, got)) => Check { name: self.name, ok: false, expected, got, at: Some(at) },
        }
    }
}

/// A value as a message shows it.
pub(crate) trait Shown {
    fn shown(&self) -> String;
}

impl<const N: usize> Shown for [u8; N] {
    fn shown(&self) -> String {
        hex0x(self)
    }
}

macro_rules! shown_as_displayed {
    ($($kind:ty),*) => { $(impl Shown for $kind { fn shown(&self) -> String { self.to_string() } })* };
}
shown_as_displayed!(u8, u64, u128, usize, bool, U256);

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

/// Verifies a block as far as it was given.
///
/// # Errors
/// [`VerifyError::Field`] where a row cannot be encoded, [`VerifyError::Mismatch`] where a check fails.
pub fn verify(rows: &Rows) -> Result<Report, VerifyError> {
    examine(rows)?.judge()
}

/// As [`verify`], with failed checks in the report.
pub(crate) fn examine(rows: &Rows) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let header = consensus::header(&rows.block)?;
    report.compare("block_hash", hex0x(&rows.block.hash), header.hash_slow());
    let envelopes = match &rows.transactions {
        Some(transactions) => Some(transactions.iter().map(consensus::envelope).collect::<Result<Vec<_>, _>>()?),
        None => None,
    };
    match (&rows.transactions, &envelopes) {
        (Some(transactions), Some(envelopes)) => bodies(&rows.block, transactions, envelopes, &mut report),
        _ => {
            for what in ["tx_hashes", "transactions_root", "senders"] {
                report.skip(what, "the bodies of the transactions were not given");
            }
        }
    }
    withdrawals(&rows.block, &mut report)?;
    match &rows.receipts {
        Some(receipts) => receipts_and_logs(rows, receipts, &mut report)?,
        None => {
            for what in ["receipts_root", "logs_bloom"] {
                report.skip(what, "the receipts were not given");
            }
        }
    }
    let size = envelopes.and_then(|envelopes| consensus::block_size(&rows.block, &header, &envelopes));
    derived(rows, size, &mut report);
    positions(rows, &mut report);
    Ok(report)
}

/// Hashes, root and senders of transactions.
fn bodies(block: &Block, transactions: &[Transaction], envelopes: &[Envelope], report: &mut Report) {
    let mut hashes = Tally::new("tx_hashes");
    let mut senders = Tally::new("senders");
    for (row, envelope) in transactions.iter().zip(envelopes) {
        let at = || format!("transaction {}", row.transaction_index);
        hashes.equal(at, &row.hash, &envelope.tx_hash().0);
        // Unchecked means without the demand for a low s (EIP-2), which transactions before Homestead do not meet.
        let sender = envelope.recover_signer_unchecked().ok().map(|sender| sender.0.0);
        senders.equal(at, &Some(row.from_address), &sender);
    }
    report.add(hashes.into_check());
    report.compare("transactions_root", hex0x(&block.transactions_root), proofs::calculate_transaction_root(envelopes));
    report.add(senders.into_check());
}

fn withdrawals(block: &Block, report: &mut Report) -> Result<(), VerifyError> {
    match (block.withdrawals_root, &block.withdrawals) {
        (Some(root), Some(list)) => {
            let computed = proofs::calculate_withdrawals_root(&consensus::withdrawals(list));
            report.compare("withdrawals_root", hex0x(&root), computed);
        }
        (Some(_), None) => report.skip("withdrawals_root", "the withdrawals were not given"),
        (None, Some(list)) if list.is_empty() => {}
        (None, _) => {
            let reason = "must be an empty list, because the header has no withdrawalsRoot".to_owned();
            return Err(VerifyError::Field { place: "block's withdrawals".to_owned(), reason });
        }
    }
    Ok(())
}

/// The receipts' encodings, each with the logs that name its place.
pub(crate) fn receipt_envelopes(receipts: &[Receipt], logs: &[Log]) -> Result<Vec<ReceiptEnvelope>, VerifyError> {
    let mut rest = logs;
    let mut envelopes = Vec::with_capacity(receipts.len());
    for row in receipts {
        let own = rest.iter().take_while(|log| log.transaction_index == row.transaction_index).count();
        let (own, others) = rest.split_at(own);
        rest = others;
        envelopes.push(consensus::receipt(row, own.iter())?);
    }
    // Logs out of order are left over, so that the roots do not match; `positions` says which.
    Ok(envelopes)
}

/// Root, bloom and gas of receipts.
fn receipts_and_logs(rows: &Rows, receipts: &[Receipt], report: &mut Report) -> Result<(), VerifyError> {
    let envelopes = receipt_envelopes(receipts, &rows.logs)?;
    let block = &rows.block;
    report.compare("receipts_root", hex0x(&block.receipts_root), proofs::calculate_receipt_root(&envelopes));
    let mut bloom = Bloom::ZERO;
    for envelope in &envelopes {
        bloom.accrue_bloom(&consensus::bloom(envelope));
    }
    report.compare("logs_bloom", hex0x(&block.logs_bloom), hex0x(bloom.as_slice()));
    let mut gas = Tally::new("gas_used");
    let mut before = 0;
    for row in receipts {
        let own = row.cumulative_gas_used.checked_sub(before);
        gas.equal(|| format!("receipt {}", row.transaction_index), &own, &Some(row.gas_used));
        before = row.cumulative_gas_used;
    }
    gas.equal(|| "the header".to_owned(), &block.gas_used, &before);
    report.add(gas.into_check());
    match &rows.transactions {
        Some(transactions) => receipt_fields(block, transactions, receipts, report),
        None => report.skip(
            "receipt_fields",
            "transaction_hash, from_address, to_address, contract_address, effective_gas_price and blob fields of \
             receipts follow from the bodies of the transactions, which were not given",
        ),
    }
    Ok(())
}

/// Checks what receipts repeat of transactions, or what follows from them.
fn receipt_fields(block: &Block, transactions: &[Transaction], receipts: &[Receipt], report: &mut Report) {
    let mut fields = Tally::new("receipt_fields");
    fields.equal(|| "the number of receipts".to_owned(), &transactions.len(), &receipts.len());
    let prices = derive::blob_gas_prices(block);
    for (tx, receipt) in transactions.iter().zip(receipts) {
        let at = |field| move || format!("receipt {} {field}", receipt.transaction_index);
        fields.equal(at("transactionHash"), &tx.hash, &receipt.transaction_hash);
        fields.equal(at("type"), &tx.transaction_type, &receipt.transaction_type);
        fields.equal(at("from"), &tx.from_address, &receipt.from_address);
        fields.equal(at("to"), &tx.to_address, &receipt.to_address);
        fields.equal(at("contractAddress"), &derive::contract_address(tx), &receipt.contract_address);
        let paid = derive::effective_gas_price(tx, block.base_fee_per_gas);
        fields.equal(at("effectiveGasPrice"), &Some(paid), &receipt.effective_gas_price);
        fields.equal(at("blobGasUsed"), &derive::blob_gas_used(tx), &receipt.blob_gas_used);
        match (tx.transaction_type, receipt.blob_gas_price) {
            (3, None) => report.skip(
                "blob_gas_price",
                format!("receipt {}: no price, or none of a known schedule, was given", receipt.transaction_index),
            ),
            (3, Some(price)) if prices.contains(&price) => {}
            (3, price) => fields.equal(at("blobGasPrice"), &prices.first().copied(), &price),
            (_, price) => fields.equal(at("blobGasPrice"), &None, &price),
        }
    }
    report.add(fields.into_check());
    if let Some(used) = block.blob_gas_used {
        let computed = transactions.iter().filter_map(derive::blob_gas_used).fold(0, u64::saturating_add);
        report.compare("blob_gas_used", used, computed);
    }
}

/// Checks what the rows of the block and its transactions hold beyond what is hashed.
fn derived(rows: &Rows, size: Option<u64>, report: &mut Report) {
    let block = &rows.block;
    let mut derived = Tally::new("derived");
    derived.equal(|| "the block's size".to_owned(), &size, &block.size);
    let bodies = rows.transactions.as_ref().map(|list| list.len() as u64);
    let count = bodies.or(rows.receipts.as_ref().map(|list| list.len() as u64));
    if count.is_some() {
        derived.equal(|| "the number of transactions".to_owned(), &count, &block.transaction_count);
    }
    for tx in rows.transactions.iter().flatten() {
        let paid = derive::effective_gas_price(tx, block.base_fee_per_gas);
        derived.equal(|| format!("transaction {} gasPrice", tx.transaction_index), &paid, &tx.gas_price);
    }
    report.add(derived.into_check());
}

/// Places, and the hashes and heights that every row repeats.
fn positions(rows: &Rows, report: &mut Report) {
    let block = &rows.block;
    let mut tally = Tally::new("positions");
    for (place, tx) in rows.transactions.iter().flatten().enumerate() {
        let at = |field| move || format!("transaction {place} {field}");
        tally.equal(at("transactionIndex"), &(place as u64), &tx.transaction_index);
        tally.equal(at("blockHash"), &block.hash, &tx.block_hash);
        tally.equal(at("blockNumber"), &block.number, &tx.block_number);
        tally.equal(at("blockTimestamp"), &block.timestamp, &tx.block_timestamp);
    }
    let receipts = rows.receipts.as_deref().unwrap_or_default();
    for (place, receipt) in receipts.iter().enumerate() {
        let at = |field| move || format!("receipt {place} {field}");
        tally.equal(at("transactionIndex"), &(place as u64), &receipt.transaction_index);
        tally.equal(at("blockHash"), &block.hash, &receipt.block_hash);
        tally.equal(at("blockNumber"), &block.number, &receipt.block_number);
    }
    let mut earlier = 0;
    for (place, log) in rows.logs.iter().enumerate() {
        let at = |field| move || format!("log {place} {field}");
        tally.equal(at("logIndex"), &(place as u64), &log.log_index);
        tally.equal(at("blockHash"), &block.hash, &log.block_hash);
        tally.equal(at("blockNumber"), &block.number, &log.block_number);
        let receipt = usize::try_from(log.transaction_index).ok().and_then(|index| receipts.get(index));
        let hash = receipt.map(|receipt| receipt.transaction_hash);
        tally.equal(at("transactionHash"), &hash, &Some(log.transaction_hash));
        tally.equal(at("transactionIndex"), &log.transaction_index.max(earlier), &log.transaction_index);
        earlier = log.transaction_index;
    }
    report.add(tally.into_check());
}
