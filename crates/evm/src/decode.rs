//! From a node's JSON to verified rows, and to lines of JSON.

use std::io::Write;

use openmesh_chain::{
    Block, Log, NftTransfer, Receipt, Row, Swap, TokenTransfer, Transaction, decode_nft_transfer, decode_swap,
    decode_token_transfer, hex0x,
};
use serde::Serialize;

use crate::assemble::assemble;
use crate::report::{Check, NotVerified, Report, VerifyError};
use crate::rpc;
use crate::verify::Rows;

/// A verified block with what its logs mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Rows as verified.
    pub rows: Rows,
    /// ERC-20 transfers, in order of the logs.
    pub token_transfers: Vec<TokenTransfer>,
    /// ERC-721 transfers, in order of the logs.
    pub nft_transfers: Vec<NftTransfer>,
    /// Swaps, in order of the logs.
    pub swaps: Vec<Swap>,
    /// Checks that were made; all hold.
    pub checks: Vec<Check>,
    /// Checks that could not be made.
    pub not_verified: Vec<NotVerified>,
}

impl Decoded {
    pub(crate) fn new(rows: Rows, report: Report) -> Decoded {
        Decoded {
            token_transfers: rows.logs.iter().filter_map(decode_token_transfer).collect(),
            nft_transfers: rows.logs.iter().filter_map(decode_nft_transfer).collect(),
            swaps: rows.logs.iter().filter_map(decode_swap).collect(),
            rows,
            checks: report.checks,
            not_verified: report.not_verified,
        }
    }

    /// Header and withdrawals.
    pub fn block(&self) -> &Block {
        &self.rows.block
    }

    /// Transactions; empty where bodies were not given.
    pub fn transactions(&self) -> &[Transaction] {
        self.rows.transactions.as_deref().unwrap_or_default()
    }

    /// Receipts; empty where they were not given.
    pub fn receipts(&self) -> &[Receipt] {
        self.rows.receipts.as_deref().unwrap_or_default()
    }

    /// Logs.
    pub fn logs(&self) -> &[Log] {
        &self.rows.logs
    }

    /// Returns true when bodies, receipts and withdrawals were all there to be verified.
    pub fn is_complete(&self) -> bool {
        let block = &self.rows.block;
        self.rows.transactions.is_some() && self.rows.receipts.is_some() && block.withdrawals.is_some()
    }
}

/// Verifies and decodes a block from the JSON of `eth_getBlockByNumber` (with full transactions) and
/// `eth_getBlockReceipts`, each the result alone or the whole JSON-RPC envelope, which may be the only one of a batch.
///
/// # Errors
/// Whatever keeps the data from being believed; [`VerifyError::checks`] has all checks that were made.
pub fn decode(block_json: &[u8], receipts_json: &[u8]) -> Result<Decoded, VerifyError> {
    decode_parts(block_json, Some(receipts_json))
}

/// As [`decode`], for a block whose receipts are not at hand.
///
/// # Errors
/// As [`decode`].
pub fn decode_block(block_json: &[u8]) -> Result<Decoded, VerifyError> {
    decode_parts(block_json, None)
}

fn decode_parts(block_json: &[u8], receipts_json: Option<&[u8]>) -> Result<Decoded, VerifyError> {
    let block = rpc::parse_block(rpc::unpacked(block_json))?;
    let receipts = receipts_json.map(|json| rpc::parse_receipts(rpc::unpacked(json))).transpose()?;
    let (rows, report) = assemble(block, receipts)?;
    Ok(Decoded::new(rows, report.judge()?))
}

/// `{"type":"verification",...}`: `ok` is true or false, and null where the check could not be made (`why` says so).
#[derive(Serialize)]
#[serde(tag = "type", rename = "verification")]
struct MadeLine<'a> {
    #[serde(flatten)]
    check: &'a Check,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "verification")]
struct NotMadeLine<'a> {
    check: &'a str,
    ok: Option<bool>,
    why: &'a str,
}

/// A transaction with what its receipt tells, as ethereum-etl streams it.
#[derive(Serialize)]
struct TransactionLine<'a> {
    #[serde(flatten)]
    transaction: Row<'a>,
    #[serde(flatten)]
    receipt: Option<ReceiptColumns>,
}

#[derive(Serialize)]
struct ReceiptColumns {
    receipt_cumulative_gas_used: u64,
    receipt_gas_used: u64,
    receipt_contract_address: Option<String>,
    receipt_root: Option<String>,
    receipt_status: Option<u8>,
    receipt_effective_gas_price: Option<String>,
}

impl From<&Receipt> for ReceiptColumns {
    fn from(receipt: &Receipt) -> ReceiptColumns {
        ReceiptColumns {
            receipt_cumulative_gas_used: receipt.cumulative_gas_used,
            receipt_gas_used: receipt.gas_used,
            receipt_contract_address: receipt.contract_address.map(|address| hex0x(&address)),
            receipt_root: receipt.root.map(|root| hex0x(&root)),
            receipt_status: receipt.status,
            receipt_effective_gas_price: receipt.effective_gas_price.map(|price| price.to_string()),
        }
    }
}

/// Writes checks as JSON lines. For a refused block, with [`VerifyError::checks`].
///
/// # Errors
/// Whatever the writer says.
pub fn write_checks(checks: &[Check], not_verified: &[NotVerified], out: &mut impl Write) -> std::io::Result<()> {
    for check in checks {
        line(&MadeLine { check }, out)?;
    }
    for NotVerified { what, why } in not_verified {
        line(&NotMadeLine { check: what, ok: None, why }, out)?;
    }
    Ok(())
}

/// Writes everything as JSON lines, `type` first: verification, block, transactions, receipts, logs, token transfers
/// (ERC-20), NFT transfers (ERC-721), swaps.
///
/// # Errors
/// Whatever the writer says.
pub fn write_json_lines(decoded: &Decoded, out: &mut impl Write) -> std::io::Result<()> {
    write_checks(&decoded.checks, &decoded.not_verified, out)?;
    line(&Row::Block(decoded.block()), out)?;
    for (place, transaction) in decoded.transactions().iter().enumerate() {
        let receipt = decoded.receipts().get(place).map(ReceiptColumns::from);
        line(&TransactionLine { transaction: Row::Transaction(transaction), receipt }, out)?;
    }
    let rows = decoded.receipts().iter().map(Row::Receipt);
    let rows = rows.chain(decoded.logs().iter().map(Row::Log));
    let rows = rows.chain(decoded.token_transfers.iter().map(Row::TokenTransfer));
    let rows = rows.chain(decoded.nft_transfers.iter().map(Row::NftTransfer));
    let mut rows = rows.chain(decoded.swaps.iter().map(Row::Swap));
    rows.try_for_each(|row| line(&row, out))
}

fn line(value: &impl Serialize, out: &mut impl Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
