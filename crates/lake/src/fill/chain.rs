//! Ethereum rows to rows of tables.

use std::collections::BTreeMap;

use openmesh_chain::{
    Block, Log, Receipt, SwapDetail, Transaction, U256, decode_nft_transfer, decode_swap, decode_token_transfer, hex0x,
};
use openmesh_market::window::CHUNK_BYTES_MAX;
use openmesh_primitives::{Decimal, Timestamp, canonical};

use super::Part;
use crate::error::LakeError;
use crate::rows::Rows;
use crate::table::Table;

/// Digits between wei and ether.
const ETHER: u8 = 18;
/// Digits between wei and gwei.
const GWEI: u8 = 9;

/// A verified block with what it carries. Receipts and logs are matched to transactions by their index.
#[derive(Clone, Copy, Debug)]
pub struct ChainBlock<'a> {
    /// Header.
    pub block: &'a Block,
    /// Transactions, where known.
    pub transactions: &'a [Transaction],
    /// Receipts, where known.
    pub receipts: &'a [Receipt],
    /// Logs of the whole block.
    pub logs: &'a [Log],
}

/// A copy of a block with what it carries, to be taken to another thread.
#[derive(Clone, Debug)]
pub(crate) struct OwnedBlock {
    block: Block,
    transactions: Vec<Transaction>,
    receipts: Vec<Receipt>,
    logs: Vec<Log>,
}

impl From<&ChainBlock<'_>> for OwnedBlock {
    fn from(of: &ChainBlock<'_>) -> OwnedBlock {
        OwnedBlock {
            block: of.block.clone(),
            transactions: of.transactions.to_vec(),
            receipts: of.receipts.to_vec(),
            logs: of.logs.to_vec(),
        }
    }
}

impl OwnedBlock {
    /// The block, lent.
    pub(crate) fn lent(&self) -> ChainBlock<'_> {
        let OwnedBlock { block, transactions, receipts, logs } = self;
        ChainBlock { block, transactions, receipts, logs }
    }
}

/// Version of the canonical form of a block that is read here (`docs/spec/chain.md`).
const CANONICAL_VERSION: u8 = 1;

/// The rows within the canonical bytes of a block, whose CID was agreed on: that they verify was checked before.
pub(crate) struct CanonicalBlock {
    block: Block,
    transactions: Option<Vec<Transaction>>,
    receipts: Option<Vec<Receipt>>,
    logs: Vec<Log>,
}

impl CanonicalBlock {
    pub(crate) fn decode(bytes: &[u8]) -> Result<CanonicalBlock, LakeError> {
        let body = match bytes.split_first() {
            Some((&CANONICAL_VERSION, body)) if bytes.len() <= CHUNK_BYTES_MAX => body,
            _ => return Err(LakeError::chunk("it is no block of a known version")),
        };
        let (block, transactions, receipts, logs) = canonical::decode(body).map_err(LakeError::chunk)?;
        Ok(CanonicalBlock { block, transactions, receipts, logs })
    }

    pub(crate) fn rows(&self) -> ChainBlock<'_> {
        ChainBlock {
            block: &self.block,
            transactions: self.transactions.as_deref().unwrap_or_default(),
            receipts: self.receipts.as_deref().unwrap_or_default(),
            logs: &self.logs,
        }
    }
}

/// Origin of rows: source, kind of source, chunk.
pub(crate) struct Provenance<'a> {
    pub source: &'a str,
    pub origin: &'a str,
    pub cid: Option<String>,
}

pub(crate) fn rows(from: &Provenance<'_>, chain: &ChainBlock<'_>) -> Result<Vec<Part>, LakeError> {
    let at = block_time(chain.block)?;
    let fill = Fill { from, block: chain.block, hash: hex0x(&chain.block.hash), at };
    let mut tables = vec![(Table::EthBlocks, fill.block())];
    if !chain.transactions.is_empty() {
        tables.push((Table::EthTransactions, fill.transactions(chain.transactions, chain.receipts)));
    }
    if !chain.logs.is_empty() {
        tables.push((Table::EthLogs, fill.logs(chain.logs)?));
        tables.push((Table::EthTokenTransfers, fill.transfers(chain.logs)));
        tables.push((Table::EthSwaps, fill.swaps(chain.logs)));
    }
    let order = format!("{:020}", chain.block.number);
    tables
        .into_iter()
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(table, rows)| Ok(Part { table, at, order: order.clone(), batch: rows.finish()? }))
        .collect()
}

fn block_time(block: &Block) -> Result<Timestamp, LakeError> {
    let nanos = i64::try_from(block.timestamp).ok().and_then(|s| s.checked_mul(1_000_000_000));
    nanos.map(Timestamp).ok_or_else(|| LakeError::OutOfRange {
        table: Table::EthBlocks,
        column: "block_timestamp",
        value: block.timestamp.to_string(),
        limit: "times up to the year 2262",
    })
}

/// An integer of wei as a decimal in a larger unit, where the column holds it.
fn scaled(value: impl Into<U256>, digits: u8) -> Option<Decimal> {
    let mantissa = i128::try_from(value.into().to_u128()?).ok()?;
    let value = Decimal::new(mantissa, digits);
    value.mantissa_at(ETHER).filter(|m| *m < 10i128.pow(38)).map(|_| value)
}

fn text_of<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|v| v.to_string())
}

fn hex_of<T: AsRef<[u8]>>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(|v| hex0x(v.as_ref()))
}

/// Lists within rows, as JSON. The values are plain structs of numbers and text, which always serialise.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "[]".to_string())
}

struct Fill<'a> {
    from: &'a Provenance<'a>,
    block: &'a Block,
    hash: String,
    at: Timestamp,
}

impl Fill<'_> {
    fn begin<'r>(&self, rows: &'r mut Rows) -> &'r mut Rows {
        rows.text("ethereum").unsigned(self.block.number).time(self.at).text(self.hash.as_str())
    }

    fn end(&self, rows: &mut Rows) {
        rows.text(self.from.source).text(self.from.origin).text(self.from.cid.as_deref()).end();
    }

    fn block(&self) -> Rows {
        let b = self.block;
        let mut rows = Rows::new(Table::EthBlocks);
        let r = self.begin(&mut rows);
        for bytes in [&b.parent_hash[..], &b.nonce, &b.sha3_uncles, &b.logs_bloom, &b.transactions_root] {
            r.text(hex0x(bytes).as_str());
        }
        for bytes in [&b.state_root[..], &b.receipts_root, &b.miner] {
            r.text(hex0x(bytes).as_str());
        }
        r.text(b.difficulty.to_string().as_str()).unsigned(b.size).text(hex0x(&b.extra_data).as_str());
        r.unsigned(b.gas_limit).unsigned(b.gas_used).unsigned(b.transaction_count);
        r.text(text_of(b.base_fee_per_gas).as_deref());
        r.decimal(b.base_fee_per_gas.and_then(|fee| scaled(fee, GWEI)));
        r.text(hex_of(&b.withdrawals_root).as_deref()).text(b.withdrawals.as_deref().map(json).as_deref());
        r.unsigned(b.blob_gas_used).unsigned(b.excess_blob_gas).text(hex0x(&b.mix_hash).as_str());
        r.text(hex_of(&b.parent_beacon_block_root).as_deref()).text(hex_of(&b.requests_hash).as_deref());
        r.text(hex_of(&b.block_access_list_hash).as_deref()).unsigned(b.slot_number);
        self.end(r);
        rows
    }

    fn transactions(&self, transactions: &[Transaction], receipts: &[Receipt]) -> Rows {
        let receipts: BTreeMap<u64, &Receipt> = receipts.iter().map(|r| (r.transaction_index, r)).collect();
        let mut rows = Rows::new(Table::EthTransactions);
        for t in transactions {
            let r = self.begin(&mut rows);
            r.text(hex0x(&t.hash).as_str()).unsigned(t.transaction_index).unsigned(t.nonce);
            r.text(hex0x(&t.from_address).as_str()).text(hex_of(&t.to_address).as_deref());
            r.text(t.value.to_string().as_str()).decimal(scaled(t.value, ETHER)).unsigned(t.gas);
            r.text(t.gas_price.to_string().as_str()).decimal(scaled(t.gas_price, GWEI));
            r.text(hex0x(&t.input).as_str()).text(text_of(t.max_fee_per_gas).as_deref());
            r.text(text_of(t.max_priority_fee_per_gas).as_deref()).integer(i64::from(t.transaction_type));
            r.text(text_of(t.max_fee_per_blob_gas).as_deref());
            let blobs: Vec<String> = t.blob_versioned_hashes.iter().map(|h| hex0x(h)).collect();
            r.text(json(&blobs).as_str()).unsigned(t.chain_id).text(json(&t.access_list).as_str());
            r.text(json(&t.authorization_list).as_str()).boolean(t.y_parity);
            r.text(t.r.to_string().as_str()).text(t.s.to_string().as_str());
            receipt_cells(r, receipts.get(&t.transaction_index).copied());
            self.end(r);
        }
        rows
    }

    fn logs(&self, logs: &[Log]) -> Result<Rows, LakeError> {
        let mut rows = Rows::new(Table::EthLogs);
        for log in logs {
            if log.topics.len() > 4 {
                return Err(LakeError::chunk(format!(
                    "log {} has {} topics, the EVM allows 4",
                    log.log_index,
                    log.topics.len()
                )));
            }
            let r = self.log_begin(&mut rows, log.log_index, &log.transaction_hash, log.transaction_index);
            r.text(hex0x(&log.address).as_str()).text(hex0x(&log.data).as_str());
            for at in 0..4 {
                r.text(log.topics.get(at).map(|t| hex0x(t)).as_deref());
            }
            self.end(r);
        }
        Ok(rows)
    }

    fn transfers(&self, logs: &[Log]) -> Rows {
        let mut rows = Rows::new(Table::EthTokenTransfers);
        for log in logs {
            let (standard, token, from, to, value) = if let Some(t) = decode_token_transfer(log) {
                ("erc20", t.token_address, t.from_address, t.to_address, t.value)
            } else if let Some(t) = decode_nft_transfer(log) {
                ("erc721", t.token_address, t.from_address, t.to_address, t.token_id)
            } else {
                continue;
            };
            let r = self.log_begin(&mut rows, log.log_index, &log.transaction_hash, log.transaction_index);
            r.text(standard).text(hex0x(&token).as_str()).text(hex0x(&from).as_str()).text(hex0x(&to).as_str());
            r.text(value.to_string().as_str());
            self.end(r);
        }
        rows
    }

    fn swaps(&self, logs: &[Log]) -> Rows {
        let mut rows = Rows::new(Table::EthSwaps);
        for swap in logs.iter().filter_map(decode_swap) {
            let r = self.log_begin(&mut rows, swap.log_index, &swap.transaction_hash, swap.transaction_index);
            r.text(swap.protocol()).text(hex0x(&swap.pool_address).as_str()).text(hex0x(&swap.sender).as_str());
            r.text(hex0x(&swap.recipient).as_str());
            r.text(swap.amount0.to_string().as_str()).text(swap.amount1.to_string().as_str());
            match &swap.detail {
                SwapDetail::UniswapV2 { amount0_in, amount1_in, amount0_out, amount1_out } => {
                    for amount in [amount0_in, amount1_in, amount0_out, amount1_out] {
                        r.text(amount.to_string().as_str());
                    }
                    r.text(None).text(None).integer(None);
                }
                SwapDetail::UniswapV3 { sqrt_price_x96, liquidity, tick } => {
                    r.text(None).text(None).text(None).text(None).text(sqrt_price_x96.to_string().as_str());
                    r.text(liquidity.to_string().as_str()).integer(i64::from(*tick));
                }
            }
            self.end(r);
        }
        rows
    }

    fn log_begin<'r>(&self, rows: &'r mut Rows, log_index: u64, hash: &[u8], index: u64) -> &'r mut Rows {
        self.begin(rows).unsigned(log_index).text(hex0x(hash).as_str()).unsigned(index)
    }
}

fn receipt_cells(r: &mut Rows, receipt: Option<&Receipt>) {
    r.integer(receipt.and_then(|x| x.status).map(i64::from));
    r.text(receipt.and_then(|x| hex_of(&x.root)).as_deref());
    r.unsigned(receipt.map(|x| x.gas_used)).unsigned(receipt.map(|x| x.cumulative_gas_used));
    r.text(receipt.and_then(|x| hex_of(&x.contract_address)).as_deref());
    r.text(receipt.and_then(|x| text_of(x.effective_gas_price)).as_deref());
    r.text(receipt.and_then(|x| text_of(x.blob_gas_price)).as_deref());
    r.unsigned(receipt.and_then(|x| x.blob_gas_used));
}
