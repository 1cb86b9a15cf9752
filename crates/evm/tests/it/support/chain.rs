//! A small chain of generated blocks with every type of transaction, and the JSON that a node would give of it.
//!
//! Encodings come from alloy's own types and the JSON is written by hand, so that a mistake in the crate's way from JSON
//! to those types shows.

use alloy_consensus::transaction::{
    EthereumTxEnvelope, SignerRecoverable, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header, Receipt, ReceiptEnvelope, SignableTransaction, Transaction, TxReceipt, TxType,
    Typed2718, proofs,
};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData, Signature, TxKind, U256, keccak256};
use serde_json::{Value, json};

type Envelope = EthereumTxEnvelope<TxEip4844>;

/// The rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fork {
    /// Receipts with state roots.
    Homestead,
    /// Receipts with status.
    Byzantium,
    London,
    Shanghai,
    Cancun,
    Prague,
}

pub const FORKS: [Fork; 6] =
    [Fork::Homestead, Fork::Byzantium, Fork::London, Fork::Shanghai, Fork::Cancun, Fork::Prague];

/// A block as a node gives it.
#[derive(Clone, Debug)]
pub struct Made {
    pub number: u64,
    pub hash: B256,
    pub block: Value,
    pub receipts: Value,
}

impl Made {
    pub fn block_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.block).unwrap()
    }

    pub fn receipts_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.receipts).unwrap()
    }
}

/// A chain of `length` blocks from `first` on; the seed makes forks differ.
pub fn chain(fork: Fork, first: u64, length: u64, parent: B256, seed: u64) -> Vec<Made> {
    let mut parent = parent;
    let mut blocks = Vec::new();
    for number in first..first + length {
        let made = block(fork, number, parent, seed);
        parent = made.hash;
        blocks.push(made);
    }
    blocks
}

fn bytes32(seed: u64, what: &str) -> B256 {
    keccak256([seed.to_be_bytes().as_slice(), what.as_bytes()].concat())
}

/// A signature that recovers to somebody: nobody's key is needed for that, only an `r` that is on the curve.
fn signed<T: SignableTransaction<Signature> + Clone>(tx: T, seed: u64) -> alloy_consensus::Signed<T>
where
    alloy_consensus::Signed<T>: SignerRecoverable,
{
    for attempt in 0.. {
        let r: U256 = bytes32(seed, &format!("r{attempt}")).into();
        let s: U256 = U256::from_be_bytes(bytes32(seed, "s").0) >> 2;
        let candidate = tx.clone().into_signed(Signature::new(r, s, attempt % 2 == 0));
        if candidate.recover_signer().is_ok() {
            return candidate;
        }
    }
    unreachable!("half of all numbers are on the curve")
}

/// Transactions of every type that the fork knows, with a transfer, a creation and an unprotected one.
fn transactions(fork: Fork, seed: u64) -> Vec<Envelope> {
    let to = Address::from_word(bytes32(seed, "to"));
    let access_list = AccessList(vec![AccessListItem { address: to, storage_keys: vec![bytes32(seed, "key")] }]);
    let (gas_limit, gas_price, value) = (90_000, 30_000_000_000, U256::from(seed) << 130);
    let input = Bytes::from(vec![1, 2, 3, 4, 5]);
    let legacy =
        |chain_id, nonce, to| TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input: input.clone() };
    let mut list = vec![
        Envelope::Legacy(signed(legacy(None, 0, TxKind::Call(to)), seed)),
        Envelope::Legacy(signed(legacy(Some(1), 7, TxKind::Create), seed + 1)),
    ];
    if fork >= Fork::London {
        let (chain_id, nonce) = (1, 9);
        let tx = TxEip2930 {
            chain_id,
            nonce,
            gas_price,
            gas_limit,
            to: to.into(),
            value,
            access_list: access_list.clone(),
            input: input.clone(),
        };
        list.push(Envelope::Eip2930(signed(tx, seed + 2)));
        let (max_fee_per_gas, max_priority_fee_per_gas) = (50_000_000_000, 1_000_000_000);
        let tx = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: to.into(),
            value,
            access_list: access_list.clone(),
            input: input.clone(),
        };
        list.push(Envelope::Eip1559(signed(tx, seed + 3)));
        if fork >= Fork::Cancun {
            let tx = TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list: access_list.clone(),
                blob_versioned_hashes: vec![bytes32(seed, "blob0"), bytes32(seed, "blob1")],
                max_fee_per_blob_gas: 1_000_000,
                input: input.clone(),
            };
            list.push(Envelope::Eip4844(signed(tx, seed + 4)));
        }
        if fork >= Fork::Prague {
            let inner = Authorization { chain_id: U256::from(1), address: to, nonce: 3 };
            let authorization = SignedAuthorization::new_unchecked(inner, 1, U256::from(5), U256::from(6));
            // Valid in a block although it recovers no signer: the protocol skips it.
            let inner = Authorization { chain_id: U256::ZERO, address: to, nonce: u64::MAX };
            let skipped = SignedAuthorization::new_unchecked(inner, 255, U256::from(7), U256::from(8));
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list: vec![authorization, skipped],
                input,
            };
            list.push(Envelope::Eip7702(signed(tx, seed + 5)));
        }
    }
    list
}

/// An ERC-20 transfer, an ERC-721 transfer, a v2 swap, a v3 swap and something else.
fn logs(seed: u64, count: usize) -> Vec<Log> {
    let word = |last: u64| B256::from(U256::from(last));
    let topic = |signature: &str| keccak256(signature);
    let transfer = topic("Transfer(address,address,uint256)");
    let minus = |value: u64| B256::from(U256::ZERO.wrapping_sub(U256::from(value)));
    let all = [
        (vec![transfer, word(1), word(2)], vec![word(seed + 3)]),
        (vec![transfer, word(1), word(2), word(seed)], vec![]),
        (
            vec![topic("Swap(address,uint256,uint256,uint256,uint256,address)"), word(1), word(2)],
            vec![word(0), word(seed), word(9), word(0)],
        ),
        (
            vec![topic("Swap(address,address,int256,int256,uint160,uint128,int24)"), word(1), word(2)],
            vec![minus(seed), word(seed), word(77), word(88), minus(99)],
        ),
        (vec![], vec![word(5)]),
    ];
    let log = |(topics, data): (Vec<B256>, Vec<B256>)| Log {
        address: Address::from_word(bytes32(seed, "contract")),
        data: LogData::new_unchecked(topics, data.iter().flat_map(|word| word.0).collect()),
    };
    all.into_iter().take(count).map(log).collect()
}

fn receipts(fork: Fork, transactions: &[Envelope], seed: u64) -> Vec<ReceiptEnvelope> {
    let mut cumulative_gas_used = 0;
    let mut list = Vec::new();
    for (place, tx) in transactions.iter().enumerate() {
        cumulative_gas_used += 21_000 + place as u64;
        let status = match fork {
            Fork::Homestead => bytes32(seed + place as u64, "state").into(),
            _ => (place % 3 != 2).into(),
        };
        let receipt = Receipt { status, cumulative_gas_used, logs: logs(seed, place * 2) };
        list.push(ReceiptEnvelope::from_typed(TxType::try_from(tx.ty()).unwrap(), receipt.with_bloom()));
    }
    list
}

/// One block.
pub fn block(fork: Fork, number: u64, parent: B256, seed: u64) -> Made {
    let seed = seed * 1_000 + number % 1_000;
    let transactions = transactions(fork, seed);
    let receipts = receipts(fork, &transactions, seed);
    let withdrawals =
        [Withdrawal { index: 5, validator_index: 6, address: Address::repeat_byte(7), amount: 8_000_000_000 }];
    let mut logs_bloom = Bloom::ZERO;
    receipts.iter().for_each(|receipt| logs_bloom.accrue_bloom(&receipt.bloom()));
    let header = Header {
        parent_hash: parent,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: Address::repeat_byte(9),
        state_root: bytes32(seed, "state"),
        transactions_root: proofs::calculate_transaction_root(&transactions),
        receipts_root: proofs::calculate_receipt_root(&receipts),
        logs_bloom,
        difficulty: U256::from(17),
        number,
        gas_limit: 30_000_000,
        gas_used: receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used()),
        timestamp: 1_700_000_000 + number % 1_000_000 * 12,
        extra_data: Bytes::from_static(b"generated"),
        mix_hash: bytes32(seed, "mix"),
        nonce: 0x42_u64.into(),
        base_fee_per_gas: (fork >= Fork::London).then_some(20_000_000_000),
        withdrawals_root: (fork >= Fork::Shanghai).then(|| proofs::calculate_withdrawals_root(&withdrawals)),
        blob_gas_used: (fork >= Fork::Cancun).then_some(2 * 131_072),
        excess_blob_gas: (fork >= Fork::Cancun).then_some(40_000_000),
        parent_beacon_block_root: (fork >= Fork::Cancun).then(|| bytes32(seed, "beacon")),
        requests_hash: (fork >= Fork::Prague).then(|| bytes32(seed, "requests")),
        block_access_list_hash: None,
        slot_number: None,
    };
    let hash = header.hash_slow();
    let mut block = header_json(&header, hash);
    block["transactions"] =
        transactions.iter().enumerate().map(|(place, tx)| transaction_json(&header, hash, place, tx)).collect();
    if fork >= Fork::Shanghai {
        let [only] = &withdrawals;
        block["withdrawals"] = json!([{
            "index": hex(only.index),
            "validatorIndex": hex(only.validator_index),
            "address": only.address,
            "amount": hex(only.amount),
        }]);
    }
    let receipts = receipts_json(fork, &header, hash, &transactions, &receipts);
    Made { number, hash, block, receipts }
}

fn hex(value: impl std::fmt::LowerHex) -> Value {
    format!("{value:#x}").into()
}

fn header_json(header: &Header, hash: B256) -> Value {
    json!({
        "number": hex(header.number),
        "hash": hash,
        "parentHash": header.parent_hash,
        "nonce": header.nonce,
        "sha3Uncles": header.ommers_hash,
        "uncles": [],
        "logsBloom": header.logs_bloom,
        "transactionsRoot": header.transactions_root,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "miner": header.beneficiary,
        "difficulty": hex(header.difficulty),
        "extraData": header.extra_data,
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "mixHash": header.mix_hash,
        "baseFeePerGas": header.base_fee_per_gas.map(hex),
        "withdrawalsRoot": header.withdrawals_root,
        "blobGasUsed": header.blob_gas_used.map(hex),
        "excessBlobGas": header.excess_blob_gas.map(hex),
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "requestsHash": header.requests_hash,
    })
}

fn transaction_json(header: &Header, hash: B256, place: usize, tx: &Envelope) -> Value {
    let signature = tx.signature();
    let parity = u64::from(signature.v());
    let mut value = json!({
        "hash": tx.tx_hash(),
        "type": hex(tx.ty()),
        "nonce": hex(tx.nonce()),
        "blockHash": hash,
        "blockNumber": hex(header.number),
        "blockTimestamp": hex(header.timestamp),
        "transactionIndex": hex(place),
        "from": tx.recover_signer().unwrap(),
        "to": tx.to(),
        "value": hex(tx.value()),
        "gas": hex(tx.gas_limit()),
        "gasPrice": hex(tx.effective_gas_price(header.base_fee_per_gas)),
        "input": tx.input(),
        "r": hex(signature.r()),
        "s": hex(signature.s()),
    });
    if let Envelope::Legacy(_) = tx {
        value["v"] = hex(tx.chain_id().map_or(27, |chain| 35 + 2 * chain) + parity);
        if let Some(chain) = tx.chain_id() {
            value["chainId"] = hex(chain);
        }
        return value;
    }
    value["v"] = hex(parity);
    value["yParity"] = hex(parity);
    value["chainId"] = hex(tx.chain_id().unwrap());
    let items = tx.access_list().unwrap().iter();
    value["accessList"] =
        items.map(|item| json!({"address": item.address, "storageKeys": item.storage_keys})).collect();
    if let Some(tip) = tx.max_priority_fee_per_gas() {
        value["maxFeePerGas"] = hex(tx.max_fee_per_gas());
        value["maxPriorityFeePerGas"] = hex(tip);
    }
    if let (Some(most), Some(hashes)) = (tx.max_fee_per_blob_gas(), tx.blob_versioned_hashes()) {
        value["maxFeePerBlobGas"] = hex(most);
        value["blobVersionedHashes"] = json!(hashes);
    }
    if let Some(list) = tx.authorization_list() {
        let item = |item: &SignedAuthorization| {
            json!({
                "chainId": hex(item.chain_id),
                "address": item.address,
                "nonce": hex(item.nonce),
                "yParity": hex(item.y_parity()),
                "r": hex(item.r()),
                "s": hex(item.s()),
            })
        };
        value["authorizationList"] = list.iter().map(item).collect();
    }
    value
}

fn receipts_json(
    fork: Fork,
    header: &Header,
    hash: B256,
    transactions: &[Envelope],
    receipts: &[ReceiptEnvelope],
) -> Value {
    let (mut before, mut log_index) = (0, 0);
    let mut list = Vec::new();
    for (place, (tx, receipt)) in transactions.iter().zip(receipts).enumerate() {
        let sender = tx.recover_signer().unwrap();
        let mut value = json!({
            "transactionHash": tx.tx_hash(),
            "transactionIndex": hex(place),
            "blockHash": hash,
            "blockNumber": hex(header.number),
            "from": sender,
            "to": tx.to(),
            "contractAddress": tx.to().is_none().then(|| sender.create(tx.nonce())),
            "cumulativeGasUsed": hex(receipt.cumulative_gas_used()),
            "gasUsed": hex(receipt.cumulative_gas_used() - before),
            "effectiveGasPrice": hex(tx.effective_gas_price(header.base_fee_per_gas)),
            "logsBloom": receipt.bloom(),
            "type": hex(tx.ty()),
        });
        before = receipt.cumulative_gas_used();
        match receipt.status_or_post_state().as_post_state() {
            Some(root) => value["root"] = json!(root),
            None => value["status"] = hex(u8::from(receipt.status())),
        }
        if let Some(hashes) = tx.blob_versioned_hashes() {
            let blobs = if fork >= Fork::Prague {
                alloy_eips::eip7840::BlobParams::prague()
            } else {
                alloy_eips::eip7840::BlobParams::cancun()
            };
            value["blobGasUsed"] = hex(hashes.len() * 131_072);
            value["blobGasPrice"] = hex(header.blob_fee(blobs).unwrap());
        }
        let logs = receipt.logs().iter().map(|log| {
            let value = json!({
                "address": log.address,
                "topics": log.topics(),
                "data": log.data.data,
                "blockHash": hash,
                "blockNumber": hex(header.number),
                "blockTimestamp": hex(header.timestamp),
                "transactionHash": tx.tx_hash(),
                "transactionIndex": hex(place),
                "logIndex": hex(log_index),
                "removed": false,
            });
            log_index += 1;
            value
        });
        value["logs"] = logs.collect();
        list.push(value);
    }
    list.into()
}
