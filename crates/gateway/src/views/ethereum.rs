//! Blocks, transactions and receipts as wallets know them. Clauses 14 to 17 of `docs/spec/rpc.md`.
//!
//! Only transactions of accounts are shown: attestations and evidence have no sender who pays. Whatever Ethereum has and this ledger has not is zero or
//! empty, never made up.

use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Header, Receipt, Transaction, TransactionError};
use openmesh_primitives::{Address, Amount, Digest, Timestamp, canonical, sha256};
use openmesh_storage::StoredBlock;
use serde::Serialize;

use crate::fees::{self, Fees};
use crate::rpc::{address, bytes, data, digest, quantity};

/// First byte of the transactions of accounts. Clause T of `docs/spec/transactions.md`.
const ACCOUNT_VARIANT: u8 = 0;
/// Bytes of a bloom filter of logs.
const BLOOM_BYTES: usize = 256;
/// Bytes of a nonce of mining.
const MINING_NONCE_BYTES: usize = 8;
/// Hash of the empty list of uncles: Keccak-256 of the RLP of an empty list.
const NO_UNCLES: &str = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";
/// Type of a transaction whose price has two parts, one of them the block's. Source: EIP-1559.
const TWO_PRICES: &str = "0x2";

/// Transactions of a block that are shown with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// None: the block's head.
    Head,
    /// Their hashes.
    Hashes,
    /// All of them.
    Whole,
}

/// A block.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockView {
    number: String,
    hash: String,
    parent_hash: String,
    nonce: String,
    sha3_uncles: &'static str,
    logs_bloom: String,
    transactions_root: String,
    state_root: String,
    receipts_root: String,
    miner: String,
    difficulty: String,
    total_difficulty: String,
    extra_data: String,
    size: String,
    gas_limit: String,
    gas_used: String,
    timestamp: String,
    mix_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_fee_per_gas: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Transactions>,
    uncles: Vec<String>,
}

/// Transactions of a block.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Transactions {
    Hashes(Vec<String>),
    Whole(Vec<TransactionView>),
}

/// A transaction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionView {
    hash: String,
    block_hash: Option<String>,
    block_number: Option<String>,
    transaction_index: Option<String>,
    from: String,
    to: String,
    value: String,
    nonce: String,
    gas: String,
    gas_price: String,
    max_fee_per_gas: String,
    max_priority_fee_per_gas: String,
    access_list: Vec<String>,
    input: String,
    #[serde(rename = "type")]
    kind: &'static str,
    chain_id: String,
    v: String,
    r: String,
    s: String,
    y_parity: String,
    action: &'static str,
    fee: String,
    max_fee: String,
    tip: String,
}

/// A receipt.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptView {
    transaction_hash: String,
    transaction_index: String,
    block_hash: String,
    block_number: String,
    from: String,
    to: String,
    contract_address: Option<String>,
    status: String,
    gas_used: String,
    cumulative_gas_used: String,
    effective_gas_price: String,
    #[serde(rename = "type")]
    kind: &'static str,
    logs: Vec<String>,
    logs_bloom: String,
    fee: String,
    tip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// A transaction of an account with its place among those of its block.
struct Placed<'a> {
    /// Position among all transactions of the block.
    at: usize,
    /// Position among those of accounts.
    place: u64,
    bytes: &'a [u8],
    transaction: AccountTransaction,
    /// None in the block of a snapshot.
    receipt: Option<&'a Receipt>,
}

impl Placed<'_> {
    fn hash(&self) -> Digest {
        self.receipt.map_or_else(|| sha256(&[self.bytes]), |receipt| receipt.hash)
    }

    fn gas(&self) -> u64 {
        gas_of(&self.transaction)
    }
}

fn of_accounts(stored: &StoredBlock) -> impl Iterator<Item = Placed<'_>> {
    let all = stored.block.transactions.iter().enumerate();
    let decoded = all.filter_map(|(at, bytes)| Some((at, bytes.as_slice(), decode(bytes)?)));
    decoded.zip(0..).map(move |((at, bytes, transaction), place)| {
        let receipt = stored.receipts.get(at);
        Placed { at, place, bytes, transaction, receipt }
    })
}

/// The transaction of an account; `None` for one of another class.
fn decode(bytes: &[u8]) -> Option<AccountTransaction> {
    match bytes.first() == Some(&ACCOUNT_VARIANT) {
        true => match canonical::decode(bytes) {
            Ok(Transaction::Account(transaction)) => Some(transaction),
            _ => None,
        },
        false => None,
    }
}

fn gas_of(transaction: &AccountTransaction) -> u64 {
    fees::gas(u64::from(transaction.action.descriptor().weight))
}

/// Least bytes of a block as JSON, told by the number of its transactions alone.
pub fn bytes_min(stored: &StoredBlock, shown: Shown) -> usize {
    let each = match shown {
        Shown::Head => 0,
        // The hash in quotation marks.
        Shown::Hashes => 68,
        // Names of members, two hashes, two addresses and the signature.
        Shown::Whole => 512,
    };
    let of_accounts = |bytes: &&Vec<u8>| bytes.first() == Some(&ACCOUNT_VARIANT);
    stored.block.transactions.iter().filter(of_accounts).count().saturating_mul(each)
}

/// A block.
pub fn block(stored: &StoredBlock, fees: &Fees, shown: Shown) -> BlockView {
    let header = &stored.block.header;
    let hash = digest(&header.hash());
    let placed: Vec<Placed<'_>> = of_accounts(stored).collect();
    let gas_used = placed.iter().fold(0u64, |sum, placed| sum.saturating_add(placed.gas()));
    let transactions = match shown {
        Shown::Head => None,
        Shown::Hashes => Some(Transactions::Hashes(placed.iter().map(|placed| digest(&placed.hash())).collect())),
        Shown::Whole => {
            Some(Transactions::Whole(placed.iter().map(|placed| in_block(placed, header, &hash)).collect()))
        }
    };
    BlockView {
        number: quantity(header.height),
        parent_hash: digest(&header.parent),
        nonce: data(&[0; MINING_NONCE_BYTES]),
        sha3_uncles: NO_UNCLES,
        logs_bloom: data(&[0; BLOOM_BYTES]),
        transactions_root: digest(&header.transactions_root),
        state_root: digest(&header.state_root),
        receipts_root: digest(&Digest::ZERO),
        miner: address(&header.proposer),
        difficulty: quantity(0u64),
        total_difficulty: quantity(0u64),
        extra_data: data(&[]),
        size: quantity(stored.block.transaction_bytes()),
        gas_limit: quantity(fees.gas_limit()),
        gas_used: quantity(gas_used),
        timestamp: quantity(seconds(header.time)),
        mix_hash: digest(&Digest::ZERO),
        base_fee_per_gas: fees.base_fees_per_gas(stored).map(|(base, _)| quantity(base)),
        transactions,
        uncles: Vec::new(),
        hash,
    }
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.nanos() / 1_000_000_000).unwrap_or(0)
}

/// A committed transaction by its position in its block; `None` where that is of no account.
pub fn committed(stored: &StoredBlock, at: usize) -> Option<TransactionView> {
    let header = &stored.block.header;
    let placed = of_accounts(stored).find(|placed| placed.at == at)?;
    Some(in_block(&placed, header, &digest(&header.hash())))
}

/// A transaction that waits; `None` where it is of no account.
pub fn waiting(bytes: &[u8]) -> Option<TransactionView> {
    let transaction = decode(bytes)?;
    let sender = transaction.sender().ok();
    Some(view(&sha256(&[bytes]), &transaction, sender, transaction.offer.max_fee))
}

fn in_block(placed: &Placed<'_>, header: &Header, hash: &str) -> TransactionView {
    let fee = placed.receipt.map_or(placed.transaction.offer.max_fee, |receipt| receipt.fee);
    TransactionView {
        block_hash: Some(hash.to_string()),
        block_number: Some(quantity(header.height)),
        transaction_index: Some(quantity(placed.place)),
        ..view(&placed.hash(), &placed.transaction, sender(placed), fee)
    }
}

/// The sender: known from the receipt, since recovering a key from a signature is the costly part.
fn sender(placed: &Placed<'_>) -> Option<Address> {
    match placed.receipt {
        Some(receipt) => receipt.sender,
        None => placed.transaction.sender().ok(),
    }
}

/// A transaction without its place, with the fee that it paid, or may pay at most while that is not known. One whose signature does not verify, which only a faulty proposer puts into a block, is of the zero address.
fn view(hash: &Digest, transaction: &AccountTransaction, sender: Option<Address>, fee: Amount) -> TransactionView {
    let AccountTransaction { chain_id, nonce, offer, action, signature } = transaction;
    let gas = gas_of(transaction);
    let (value, input) = match action {
        Action::Accounts(AccountsAction::Transfer { amount, .. }) => (amount.0, Vec::new()),
        other => (0, canonical::encode(other)),
    };
    let (r, rest) = signature.0.split_at(32);
    let (s, v) = rest.split_at(32);
    // 27 or 28: the only forms that the ledger takes.
    let parity = quantity(v.first().map_or(0, |v| u64::from(v.saturating_sub(27))));
    TransactionView {
        hash: digest(hash),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        from: address(&sender.unwrap_or_default()),
        to: address(&receiver(action)),
        value: quantity(value),
        nonce: quantity(*nonce),
        gas: quantity(gas),
        gas_price: quantity(fees::price(fee, gas)),
        max_fee_per_gas: quantity(fees::price(offer.max_fee, gas)),
        max_priority_fee_per_gas: quantity(fees::price(offer.tip, gas)),
        access_list: Vec::new(),
        input: data(&input),
        kind: TWO_PRICES,
        chain_id: quantity(*chain_id),
        v: parity.clone(),
        r: bytes(r),
        s: bytes(s),
        y_parity: parity,
        action: action.descriptor().kind,
        fee: quantity(fee.0),
        max_fee: quantity(offer.max_fee.0),
        tip: quantity(offer.tip.0),
    }
}

/// The receiver of a transfer; of every other action the zero address, which stands for the ledger.
fn receiver(action: &Action) -> Address {
    match action {
        Action::Accounts(AccountsAction::Transfer { to, .. }) => *to,
        _ => Address::default(),
    }
}

/// The receipt of a transaction by its position in its block; `None` where that is of no account, or where the block has no receipts here.
pub fn receipt(stored: &StoredBlock, at: usize) -> Option<ReceiptView> {
    let header = &stored.block.header;
    let mut cumulative = 0u64;
    for placed in of_accounts(stored) {
        cumulative = cumulative.saturating_add(placed.gas());
        if placed.at != at {
            continue;
        }
        let receipt = placed.receipt?;
        return Some(ReceiptView {
            transaction_hash: digest(&receipt.hash),
            transaction_index: quantity(placed.place),
            block_hash: digest(&header.hash()),
            block_number: quantity(header.height),
            from: address(&receipt.sender.unwrap_or_default()),
            to: address(&receiver(&placed.transaction.action)),
            contract_address: None,
            status: quantity(u64::from(receipt.ok())),
            gas_used: quantity(placed.gas()),
            cumulative_gas_used: quantity(cumulative),
            effective_gas_price: quantity(fees::price(receipt.fee, placed.gas())),
            kind: TWO_PRICES,
            logs: Vec::new(),
            logs_bloom: data(&[0; BLOOM_BYTES]),
            fee: quantity(receipt.fee.0),
            tip: quantity(receipt.tip.0),
            error: receipt.error.as_ref().map(TransactionError::code),
            message: receipt.error.as_ref().map(ToString::to_string),
        });
    }
    None
}

/// Gas and prices of a block for `eth_feeHistory`.
#[derive(Debug, Clone, PartialEq)]
pub struct FeeRow {
    /// Base fee, which is the same for all.
    pub base: u128,
    /// The same in the next block.
    pub next: u128,
    /// Part of the block's gas that was bought.
    pub used: f64,
    /// Tips by gas, one for each percentile of gas.
    pub rewards: Vec<u128>,
}

/// Gas and prices of a block at percentiles in thousandths of a percent, ascending; `None` in the block of a snapshot, which came without
/// receipts. What a block refused has paid no tip.
pub fn fee_row(stored: &StoredBlock, fees: &Fees, percentiles: &[u32]) -> Option<FeeRow> {
    let (base, next) = fees.base_fees_per_gas(stored)?;
    let paid = |placed: Placed<'_>| Some((fees::price(placed.receipt?.tip, placed.gas()), placed.gas()));
    let mut bought: Vec<(u128, u64)> = of_accounts(stored).filter_map(paid).collect();
    bought.sort_unstable();
    let total = bought.iter().fold(0u64, |sum, (_, gas)| sum.saturating_add(*gas));
    let reward = |percentile: &u32| {
        // The first price up to which that part of the gas was bought.
        let wanted = u128::from(total) * u128::from(*percentile);
        let mut sum = 0u128;
        let reaches = bought.iter().find(|(_, gas)| {
            sum += u128::from(*gas) * 100_000;
            sum >= wanted
        });
        reaches.map_or(0, |(price, _)| *price)
    };
    let rewards = percentiles.iter().map(reward).collect();
    let used = if fees.gas_limit() == 0 { 0.0 } else { total as f64 / fees.gas_limit() as f64 };
    Some(FeeRow { base, next, used, rewards })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chain, receiver as aa, sender as payer, source};
    use openmesh_ledger::{EnvelopeError, Params, SourcesAction};
    use openmesh_primitives::keccak256;
    use serde_json::{Value, json};

    /// The base fee of gas in a block at the least, 10^12 by 21,000, rounded up.
    const BASE: u128 = 47_619_048;

    fn fees() -> Fees {
        let params = Params::default();
        Fees::of(&params, params.accounts.fee_min)
    }

    fn json_of(view: &impl Serialize) -> Value {
        serde_json::to_value(view).unwrap()
    }

    #[test]
    fn the_empty_list_of_uncles_has_its_hash() {
        assert_eq!(digest(&keccak256(&[&[0xc0]])), NO_UNCLES);
    }

    #[test]
    fn a_block_is_ethereums_with_what_the_ledger_has() {
        let mut chain = Chain::new();
        chain.transfers(2);
        let stored = chain.store.block(1).unwrap().unwrap();
        let header = &stored.block.header;
        let zero = |bytes: usize| format!("0x{}", "00".repeat(bytes));
        let hashes: Vec<String> = stored.receipts.iter().map(|receipt| format!("0x{}", receipt.hash)).collect();
        let expected = json!({
            "number": "0x1",
            "hash": format!("0x{}", header.hash()),
            "parentHash": format!("0x{}", header.parent),
            "nonce": zero(8),
            "sha3Uncles": NO_UNCLES,
            "logsBloom": zero(256),
            "transactionsRoot": format!("0x{}", header.transactions_root),
            "stateRoot": format!("0x{}", header.state_root),
            "receiptsRoot": zero(32),
            "miner": header.proposer.to_string().to_lowercase(),
            "difficulty": "0x0",
            "totalDifficulty": "0x0",
            "extraData": "0x",
            "size": format!("{:#x}", stored.block.transaction_bytes()),
            "gasLimit": "0x1908b100",
            "gasUsed": "0xa410",
            // A second after the genesis of the test.
            "timestamp": format!("{:#x}", 1_800_000_001),
            "mixHash": zero(32),
            "baseFeePerGas": quantity(BASE),
            "transactions": hashes,
            "uncles": [],
        });
        assert_eq!(json_of(&block(&stored, &fees(), Shown::Hashes)), expected);
        let mut head = expected;
        head.as_object_mut().unwrap().remove("transactions");
        assert_eq!(json_of(&block(&stored, &fees(), Shown::Head)), head);
    }

    #[test]
    fn a_transfer_and_its_receipt() {
        let mut chain = Chain::new();
        chain.transfers(2);
        let stored = chain.store.block(1).unwrap().unwrap();
        let (hash, block_hash) = (stored.receipts[1].hash, stored.block.hash());
        let Ok(Transaction::Account(signed)) = canonical::decode(&stored.block.transactions[1]) else { panic!() };
        let signature = hex::encode(signed.signature.0);
        let number = |digits: &str| format!("0x{}", digits.trim_start_matches('0'));
        let parity = if signed.signature.0[64] == 28 { "0x1" } else { "0x0" };
        let price = format!("{:#x}", 47_619_047_619_047u64);
        let expected = json!({
            "hash": format!("0x{hash}"),
            "blockHash": format!("0x{block_hash}"),
            "blockNumber": "0x1",
            "transactionIndex": "0x1",
            "from": payer().to_string().to_lowercase(),
            "to": aa().to_string().to_lowercase(),
            "value": "0x1",
            "nonce": "0x1",
            "gas": "0x5208",
            // 10^18 by 21,000: the fee is offered whole, and what the base fee leaves is the tip.
            "gasPrice": price,
            "maxFeePerGas": price,
            "maxPriorityFeePerGas": price,
            "accessList": [],
            "input": "0x",
            "type": "0x2",
            "chainId": "0x7",
            "v": parity,
            "r": number(&signature[..64]),
            "s": number(&signature[64..128]),
            "yParity": parity,
            "action": "transfer",
            "fee": "0xde0b6b3a7640000",
            "maxFee": "0xde0b6b3a7640000",
            "tip": "0xde0b6b3a7640000",
        });
        assert_eq!(json_of(&committed(&stored, 1).unwrap()), expected);
        let mut unplaced = expected;
        for member in ["blockHash", "blockNumber", "transactionIndex"] {
            unplaced[member] = Value::Null;
        }
        assert_eq!(json_of(&waiting(&stored.block.transactions[1]).unwrap()), unplaced);
        assert!(committed(&stored, 2).is_none() && waiting(&[1, 2]).is_none() && waiting(&[0]).is_none());
        let expected = json!({
            "transactionHash": format!("0x{hash}"),
            "transactionIndex": "0x1",
            "blockHash": format!("0x{block_hash}"),
            "blockNumber": "0x1",
            "from": payer().to_string().to_lowercase(),
            "to": aa().to_string().to_lowercase(),
            "contractAddress": null,
            "status": "0x1",
            "gasUsed": "0x5208",
            "cumulativeGasUsed": "0xa410",
            "effectiveGasPrice": price,
            "type": "0x2",
            "logs": [],
            "logsBloom": format!("0x{}", "00".repeat(256)),
            "fee": "0xde0b6b3a7640000",
            // 10^18 less the base fee of 10^12.
            "tip": format!("{:#x}", 999_999_000_000_000_000u64),
        });
        assert_eq!(json_of(&receipt(&stored, 1).unwrap()), expected);
    }

    #[test]
    fn an_action_goes_to_the_ledger_and_carries_its_bytes() {
        let mut chain = Chain::new();
        let action = Action::from(SourcesAction::Register(source("okx", "okx")));
        chain.actions(vec![action.clone()]);
        let stored = chain.store.block(1).unwrap().unwrap();
        let shown = json_of(&committed(&stored, 0).unwrap());
        assert_eq!(shown["to"], format!("0x{}", "00".repeat(20)));
        assert_eq!((&shown["value"], &shown["action"]), (&json!("0x0"), &json!("register_source")));
        assert_eq!(shown["input"], data(&canonical::encode(&action)));
        assert_eq!(shown["gas"], quantity(4 * 21_000u64), "its weight");
        let whole = json_of(&block(&stored, &fees(), Shown::Whole));
        assert_eq!((&whole["transactions"][0], &whole["gasUsed"]), (&shown, &shown["gas"]));
    }

    #[test]
    fn the_least_length_of_a_block_is_no_more_than_its_length() {
        let mut chain = Chain::new();
        chain.transfers(40);
        let stored = chain.store.block(1).unwrap().unwrap();
        for (shown, least) in [(Shown::Head, 0), (Shown::Hashes, 40 * 68), (Shown::Whole, 40 * 512)] {
            assert_eq!(bytes_min(&stored, shown), least);
            let length = json_of(&block(&stored, &fees(), shown)).to_string().len();
            assert!((least..least * 2 + 4_096).contains(&length), "{shown:?}: {length}");
        }
    }

    #[test]
    fn a_transaction_that_a_block_refused_has_paid_nothing() {
        let mut chain = Chain::new();
        chain.transfers(1);
        let mut stored = chain.store.block(1).unwrap().unwrap();
        (stored.receipts[0].fee, stored.receipts[0].tip) = (Amount::ZERO, Amount::ZERO);
        stored.receipts[0].error = Some(TransactionError::Envelope(EnvelopeError::Signature));
        let shown = json_of(&receipt(&stored, 0).unwrap());
        assert_eq!((&shown["status"], &shown["fee"], &shown["tip"]), (&json!("0x0"), &json!("0x0"), &json!("0x0")));
        assert_eq!(shown["error"], "signature");
        assert_eq!(fee_row(&stored, &fees(), &[50_000]).unwrap().rewards, [0]);
        assert!(shown["message"].as_str().is_some_and(|words| !words.is_empty()));
        stored.receipts.clear();
        assert!(receipt(&stored, 0).is_none(), "the block of a snapshot has none");
        let shown = json_of(&committed(&stored, 0).unwrap());
        assert_eq!((&shown["from"], &shown["fee"]), (&json!(payer().to_string().to_lowercase()), &shown["maxFee"]));
        assert!(fee_row(&stored, &fees(), &[]).is_none(), "and says nothing of its fees");
        assert_eq!(json_of(&block(&stored, &fees(), Shown::Head)).get("baseFeePerGas"), None);
    }

    #[test]
    fn percentiles_are_of_gas() {
        let mut chain = Chain::new();
        // Three of gas 1 and one of gas 4; each pays 1 OPEN less the base fee to the proposer, so that gas of the last costs a quarter.
        let register = Action::from(SourcesAction::Register(source("okx", "okx")));
        let transfer = || Action::from(AccountsAction::Transfer { to: aa(), amount: Amount(1) });
        chain.actions(vec![transfer(), transfer(), transfer(), register]);
        let stored = chain.store.block(1).unwrap().unwrap();
        let (dear, cheap) = (47_619_000_000_000, 11_904_714_285_714);
        let row = fee_row(&stored, &fees(), &[0, 50_000, 57_142, 57_143, 100_000]).unwrap();
        assert_eq!((row.base, row.next), (BASE, BASE));
        assert_eq!(row.rewards, [cheap, cheap, cheap, dear, dear]);
        assert!((row.used - 7.0 / 20_000.0).abs() < 1e-12);
        chain.transfers(0);
        let empty = fee_row(&chain.store.block(2).unwrap().unwrap(), &fees(), &[50_000]);
        assert_eq!(empty, Some(FeeRow { base: BASE, next: BASE, used: 0.0, rewards: vec![0] }));
    }
}
