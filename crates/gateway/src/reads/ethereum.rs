//! Answers to wallets from the ledger's store. Clauses 9 to 18 of `docs/spec/rpc.md`.

use openmesh_api::limits::RPC_ANSWER_BYTES_MAX;
use openmesh_engine::EngineStatus;
use openmesh_ledger::{self as ledger, Account, keys};
use openmesh_primitives::{Address, Digest, Height, canonical};
use openmesh_storage::{Store, StoreError, StoredBlock};
use serde::Serialize;
use serde_json::value::RawValue;

use super::blocks;
use crate::error::Refusal;
use crate::fees::Fees;
use crate::memory::Found;
use crate::rpc::{
    Ask, At, Fault, INVALID_INPUT, INVALID_PARAMS, METHOD_NOT_SUPPORTED, RESOURCE_NOT_FOUND, quantity, raw,
};
use crate::views::ethereum::{self as views, Shown};
use crate::work::Budget;

/// Bytes of a transaction that waits, by its hash.
pub type Pending<'a> = &'a dyn Fn(&Digest) -> Result<Option<Vec<u8>>, Refusal>;

/// A node as wallets see it.
pub struct World<'a> {
    /// The ledger's store.
    pub store: &'a Store,
    /// Version of the binary.
    pub version: &'static str,
    /// The network's chain id.
    pub chain_id: u64,
    /// Progress of consensus.
    pub engine: EngineStatus,
    /// Place of a block by its hash.
    pub find: &'a dyn Fn(&Digest) -> Found,
    /// Bytes of a transaction that waits here.
    pub pending: Pending<'a>,
    /// Nonce of an account after what waits here without a gap.
    pub nonce_after: &'a dyn Fn(&Address) -> Option<u64>,
}

/// Progress of a node that is behind. Source: EIP-1474, `eth_syncing`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Syncing {
    starting_block: String,
    current_block: String,
    highest_block: String,
}

/// Answer of `eth_feeHistory`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    oldest_block: String,
    base_fee_per_gas: Vec<String>,
    gas_used_ratio: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<Vec<Vec<String>>>,
}

/// The work of a method, which decides the place that it needs. Clause 6 of `docs/spec/rpc.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Known in memory.
    Memory,
    /// Read by key.
    Read,
    /// Looked for in many blocks.
    Scan,
}

/// The class of a method.
pub const fn class(ask: &Ask) -> Class {
    match ask {
        Ask::ClientVersion
        | Ask::NetVersion
        | Ask::Listening
        | Ask::PeerCount
        | Ask::ChainId
        | Ask::Syncing
        | Ask::Accounts
        | Ask::BlockNumber
        | Ask::Code
        | Ask::Subscribe(_)
        | Ask::Unsubscribe(_) => Class::Memory,
        Ask::GasPrice
        | Ask::PriorityFee
        | Ask::EstimateGas
        | Ask::Balance { .. }
        | Ask::Nonce { .. }
        | Ask::Block { .. }
        | Ask::Transaction(_)
        | Ask::Receipt(_) => Class::Read,
        Ask::FeeHistory { .. } => Class::Scan,
    }
}

/// Fails where a block has more bytes as an answer than any answer may have. Clause 4 of `docs/spec/rpc.md`.
fn short(bytes: usize, most: usize) -> Result<(), Fault> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!("this block would be an answer of {bytes} bytes or more, at most {most} are sent");
    let hint = "ask for it with the hashes of its transactions, and for each of them by eth_getTransactionByHash";
    Err(Fault::new(INVALID_INPUT, message, hint))
}

/// Refusal of a block that there is and that this node does not hold, because it was removed, or lies in the gap after which the node went on
/// from a snapshot; `None` where there is none of this height yet, or ever.
fn no_block(height: Height, tip: Height, oldest: Height) -> Option<Fault> {
    let message = format!("this node does not hold the block at height {height}, its oldest one is at {oldest}");
    let hint = "ask a node that keeps all (storage.archive in its node.toml)";
    (1..=tip).contains(&height).then(|| Fault::new(RESOURCE_NOT_FOUND, message, hint))
}

/// Refusal of a state that this node does not keep, where `oldest` is the first height of which it would.
fn not_kept(height: Height, oldest: Height) -> Fault {
    let message = match height < oldest {
        true => format!("the state after height {height} is not kept here any more, none before {oldest} is"),
        false => format!("this node joined the network after height {height} and never had the state after it"),
    };
    let hint = "latest is the newest block; a node with a larger storage.proof_heights in its node.toml has older ones";
    Fault::new(RESOURCE_NOT_FOUND, message, hint)
}

impl World<'_> {
    /// The answer to a method. Each block that `eth_feeHistory` looks at takes one row of the budget. Fails where this node does not hold
    /// what is asked for, or cannot read it.
    pub fn answer(&self, ask: &Ask, budget: &mut Budget) -> Result<Box<RawValue>, Fault> {
        match ask {
            Ask::ClientVersion => raw(&format!("openmesh/{}", self.version)),
            Ask::NetVersion => raw(&self.chain_id.to_string()),
            Ask::Listening => raw(&true),
            Ask::PeerCount => raw(&quantity(self.engine.peers)),
            Ask::ChainId => raw(&quantity(self.chain_id)),
            Ask::Syncing => self.syncing(),
            // A node holds no keys.
            Ask::Accounts => raw(&Vec::<String>::new()),
            Ask::BlockNumber => raw(&quantity(self.store.tip().height)),
            Ask::Code => raw(&"0x"),
            Ask::GasPrice => raw(&quantity(self.fees()?.gas_price())),
            Ask::PriorityFee => raw(&quantity(self.fees()?.priority_fee_per_gas())),
            Ask::EstimateGas => raw(&quantity(self.fees()?.transfer_gas())),
            Ask::Balance { address, at } => raw(&quantity(self.account(address, *at)?.balance.0)),
            Ask::Nonce { address, at } => raw(&quantity(self.nonce(address, *at)?)),
            Ask::Block { at, whole } => self.shown(*at, if *whole { Shown::Whole } else { Shown::Hashes }),
            Ask::Transaction(hash) => self.transaction(hash),
            Ask::Receipt(hash) => self.receipt(hash),
            Ask::FeeHistory { count, newest, percentiles } => self.fee_history(*count, *newest, percentiles, budget),
            Ask::Subscribe(_) | Ask::Unsubscribe(_) => Err(Fault::new(
                METHOD_NOT_SUPPORTED,
                "subscriptions need a WebSocket",
                "connect to this address with ws:// or wss://, or ask eth_blockNumber again and again",
            )),
        }
    }

    /// The head of a block, as subscriptions tell it; `None` where this node does not hold it.
    pub fn head(&self, height: Height) -> Result<Option<Box<RawValue>>, Fault> {
        let Some(stored) = self.store.block(height)? else { return Ok(None) };
        raw(&views::block(&stored, &self.fees()?, Shown::Head)).map(Some)
    }

    fn fees(&self) -> Result<Fees, Fault> {
        let state = self.store.state()?;
        Ok(Fees::of(&ledger::params(&state)?, ledger::base_fee(&state)?))
    }

    fn syncing(&self) -> Result<Box<RawValue>, Fault> {
        let EngineStatus { syncing, height, deciding, .. } = self.engine;
        if !syncing {
            return raw(&false);
        }
        raw(&Syncing {
            // Of where it began a node remembers nothing that it could say.
            starting_block: quantity(0u64),
            current_block: quantity(height),
            highest_block: quantity(deciding.max(height)),
        })
    }

    /// The height of a block; `None` for a hash of no block here.
    fn height(&self, at: At) -> Result<Option<Height>, Fault> {
        match at {
            At::Newest | At::Pending => Ok(Some(self.store.tip().height)),
            At::Oldest => Ok(Some(self.store.oldest_block().max(1))),
            At::Height(height) => Ok(Some(height)),
            At::Hash(hash) => match self.place(&hash)? {
                Found::At(height) => Ok(Some(height)),
                Found::Nowhere => Ok(None),
                Found::NotSince(from) => {
                    let message =
                        format!("no block from height {from} on has this hash, of older ones none is remembered");
                    Err(Fault::new(RESOURCE_NOT_FOUND, message, "ask for it by its height: eth_getBlockByNumber"))
                }
            },
        }
    }

    /// The place of a block by its hash. The memory of hashes may be a moment behind the store, so the newest blocks are looked at too.
    fn place(&self, hash: &Digest) -> Result<Found, Fault> {
        let (found, tip) = ((self.find)(hash), self.store.tip());
        if matches!(found, Found::At(_)) || tip.height == 0 {
            return Ok(found);
        }
        if tip.block_hash == *hash {
            return Ok(Found::At(tip.height));
        }
        let is_parent = self.store.block(tip.height)?.is_some_and(|newest| newest.block.header.parent == *hash);
        Ok(if is_parent && tip.height > 1 { Found::At(tip.height - 1) } else { found })
    }

    /// A block; `None` where there is none yet, or none of this hash.
    fn block(&self, at: At) -> Result<Option<StoredBlock>, Fault> {
        // Before the block is looked for: one that is committed after that look is none yet.
        let tip = self.store.tip().height;
        let Some(height) = self.height(at)? else { return Ok(None) };
        match self.store.block(height)? {
            Some(found) => Ok(Some(found)),
            None => no_block(height, tip, self.store.oldest_block()).map_or(Ok(None), Err),
        }
    }

    /// A block as it is asked for; `null` where there is none yet, or none of this hash. Fails also where it would be too long: of that
    /// nothing is built where its number of transactions tells.
    fn shown(&self, at: At, shown: Shown) -> Result<Box<RawValue>, Fault> {
        let Some(stored) = self.block(at)? else { return raw(&None::<()>) };
        short(views::bytes_min(&stored, shown), RPC_ANSWER_BYTES_MAX)?;
        let answer = raw(&views::block(&stored, &self.fees()?, shown))?;
        short(answer.get().len(), RPC_ANSWER_BYTES_MAX)?;
        Ok(answer)
    }

    /// The next nonce of an account after a block, and after what waits where that is asked for. That is looked at first: a block that is
    /// committed between the two looks then makes the account's own nonce the higher one.
    fn nonce(&self, address: &Address, at: At) -> Result<u64, Fault> {
        let waiting = if at == At::Pending { (self.nonce_after)(address) } else { None };
        let committed = self.account(address, at)?.nonce;
        Ok(waiting.map_or(committed, |after| after.max(committed)))
    }

    /// An account after a block; one that never received anything is empty.
    fn account(&self, address: &Address, at: At) -> Result<Account, Fault> {
        let state = self.store.state()?;
        let height = match at {
            At::Newest | At::Pending => state.tip().height,
            other => self.height(other)?.ok_or_else(|| {
                Fault::new(RESOURCE_NOT_FOUND, "no block here has this hash", "latest is the newest block")
            })?,
        };
        if height == state.tip().height {
            return Ok(ledger::account(&state, address)?);
        }
        let value = match self.store.prove(&keys::account(address), height) {
            Ok((value, _)) => value,
            Err(StoreError::Pruned { oldest, .. }) => return Err(not_kept(height, oldest)),
            Err(StoreError::Beyond { tip, .. }) => {
                let message = format!("there is no block {height} yet, the newest is {tip}");
                return Err(Fault::new(RESOURCE_NOT_FOUND, message, "latest is the newest block"));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(value) = value else { return Ok(Account::default()) };
        canonical::decode(&value).map_err(|error| Refusal::internal("reading an account", &error).into())
    }

    fn transaction(&self, hash: &Digest) -> Result<Box<RawValue>, Fault> {
        if let Some((stored, at)) = blocks::committed(self.store, hash)? {
            return raw(&views::committed(&stored, at));
        }
        if let Some(bytes) = (self.pending)(hash)? {
            return raw(&views::waiting(&bytes));
        }
        // It may have been committed between the two looks.
        let committed = blocks::committed(self.store, hash)?;
        raw(&committed.and_then(|(stored, at)| views::committed(&stored, at)))
    }

    fn receipt(&self, hash: &Digest) -> Result<Box<RawValue>, Fault> {
        let Some((stored, at)) = blocks::committed(self.store, hash)? else { return raw(&None::<()>) };
        if !stored.has_receipts() {
            let height = stored.block.header.height;
            let message = format!("this node joined by the snapshot of block {height}, which came without receipts");
            return Err(Fault::new(RESOURCE_NOT_FOUND, message, "ask a node that was there"));
        }
        raw(&views::receipt(&stored, at))
    }

    /// Looks back from the newest block, so that a budget that ends leaves the older ones out.
    fn fee_history(
        &self,
        count: u64,
        newest: At,
        percentiles: &[u32],
        budget: &mut Budget,
    ) -> Result<Box<RawValue>, Fault> {
        let (fees, tip) = (self.fees()?, self.store.tip().height);
        let newest = self.height(newest)?.unwrap_or(tip);
        if newest > tip {
            let message = format!("parameter 2 (newest block): there is no block {newest} yet, the newest is {tip}");
            return Err(Fault::new(INVALID_PARAMS, message, "latest is the newest block"));
        }
        let oldest = self.store.oldest_block().max(1);
        let (mut rows, mut height) = (Vec::new(), newest);
        while (rows.len() as u64) < count && height >= oldest && budget.take() {
            let stored = self.store.block(height)?;
            // Of the block of a snapshot nothing is known, and before it there is none.
            let Some(row) = stored.and_then(|stored| views::fee_row(&stored, &fees, percentiles)) else { break };
            rows.push(row);
            height -= 1;
        }
        rows.reverse();
        // By the newest of the blocks itself: the state may be a block ahead by now.
        let after = rows.last().map_or_else(|| fees.next_base_fee_per_gas(), |row: &views::FeeRow| row.next);
        let bases = rows.iter().map(|row| row.base).chain([after]).map(quantity).collect();
        let rewards_of = |row: &views::FeeRow| row.rewards.iter().map(|price| quantity(*price)).collect::<Vec<_>>();
        raw(&FeeHistory {
            oldest_block: quantity(newest.saturating_add(1).saturating_sub(rows.len() as u64)),
            base_fee_per_gas: bases,
            gas_used_ratio: rows.iter().map(|row| row.used).collect(),
            reward: (!percentiles.is_empty()).then(|| rows.iter().map(rewards_of).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Hashes;
    use crate::rpc::Incoming;
    use crate::testing::{Chain, receiver, sender};
    use serde_json::{Value, json};
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    const ENGINE: EngineStatus = EngineStatus {
        height: 3,
        deciding: 4,
        round: 0,
        peers: 17,
        syncing: false,
        mempool_transactions: 0,
        mempool_bytes: 0,
    };

    /// Three blocks: two transfers, none, one.
    fn chain() -> Chain {
        let mut chain = Chain::new();
        [2, 0, 1].into_iter().for_each(|transfers| chain.transfers(transfers));
        chain
    }

    /// The answer to a method; a fault as its number.
    fn asked(chain: &Chain, engine: EngineStatus, rows: usize, method: &str, params: Value) -> Result<Value, i32> {
        let mut hashes = Hashes::default();
        for height in 2..=chain.store.tip().height {
            hashes.remember(height, chain.store.block(height).unwrap().unwrap().block.hash());
        }
        let find = |hash: &Digest| hashes.find(hash, chain.store.oldest_block());
        let waits = chain.store.block(1).unwrap().unwrap().block.transactions.remove(0);
        let pending = |hash: &Digest| -> Result<Option<Vec<u8>>, Refusal> {
            Ok((*hash == Digest([9; 32])).then(|| waits.clone()))
        };
        // Two of the payer wait.
        let nonce_after = |of: &Address| (*of == sender()).then_some(5);
        let world = World {
            store: &chain.store,
            version: "1.2.3",
            chain_id: 7,
            engine,
            find: &find,
            pending: &pending,
            nonce_after: &nonce_after,
        };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let Ok(Incoming::One(call)) = crate::rpc::parse(body.as_bytes()) else { panic!("{body}") };
        let mut budget = Budget::new(rows, Duration::from_secs(3_600), CancellationToken::new());
        let answer = call.ask.and_then(|ask| world.answer(&ask, &mut budget));
        answer.map(|raw| serde_json::from_str(raw.get()).unwrap()).map_err(|fault| fault.code)
    }

    fn ask(chain: &Chain, method: &str, params: Value) -> Result<Value, i32> {
        asked(chain, ENGINE, 100, method, params)
    }

    /// Golden answers: one row for each method whose answer is one value.
    #[test]
    fn each_method_has_its_answer() {
        let chain = chain();
        let (payer, unknown) = (sender().to_string(), format!("0x{}", "ee".repeat(20)));
        // 1,000 OPEN less three transfers of 10^-18 OPEN, each for a fee of 1 OPEN; the proposer has no account of its own in between.
        for (method, params, expected) in [
            ("web3_clientVersion", json!([]), json!("openmesh/1.2.3")),
            ("net_version", json!([]), json!("7")),
            ("net_listening", json!([]), json!(true)),
            ("net_peerCount", json!([]), json!("0x11")),
            ("eth_chainId", json!([]), json!("0x7")),
            ("eth_syncing", json!([]), json!(false)),
            ("eth_accounts", json!([]), json!([])),
            ("eth_blockNumber", json!([]), json!("0x3")),
            ("eth_getCode", json!([payer, "latest"]), json!("0x")),
            // 10^12 by 21,000, and a tip of a tenth of it, each rounded up.
            ("eth_gasPrice", json!([]), json!(format!("{:#x}", 47_619_048 + 4_761_905))),
            ("eth_maxPriorityFeePerGas", json!([]), json!(format!("{:#x}", 4_761_905))),
            ("eth_estimateGas", json!([{ "from": payer, "to": unknown, "value": "0x1" }]), json!("0x5208")),
            ("eth_getBalance", json!([payer, "latest"]), json!(format!("{:#x}", 997 * 10u128.pow(18) - 3))),
            ("eth_getBalance", json!([payer, "0x3"]), json!(format!("{:#x}", 997 * 10u128.pow(18) - 3))),
            ("eth_getBalance", json!([payer, "0x2"]), json!(format!("{:#x}", 998 * 10u128.pow(18) - 2))),
            ("eth_getBalance", json!([payer, "0x1"]), json!(format!("{:#x}", 998 * 10u128.pow(18) - 2))),
            ("eth_getBalance", json!([payer, "0x0"]), json!(format!("{:#x}", 1_000 * 10u128.pow(18)))),
            ("eth_getBalance", json!([unknown, "0x1"]), json!("0x0")),
            ("eth_getBalance", json!([unknown]), json!("0x0")),
            ("eth_getTransactionCount", json!([payer]), json!("0x3")),
            ("eth_getTransactionCount", json!([payer, "pending"]), json!("0x5")),
            ("eth_getTransactionCount", json!([payer, "0x3"]), json!("0x3")),
            ("eth_getTransactionCount", json!([receiver().to_string(), "pending"]), json!("0x0")),
            ("eth_getTransactionCount", json!([unknown, "pending"]), json!("0x0")),
            ("eth_getBalance", json!([payer, "pending"]), json!(format!("{:#x}", 997 * 10u128.pow(18) - 3))),
            ("eth_getTransactionCount", json!([payer, "earliest"]), json!("0x2")),
            ("eth_getTransactionCount", json!([receiver().to_string(), "latest"]), json!("0x0")),
            ("eth_getBlockByNumber", json!(["0x4", false]), json!(null)),
            ("eth_getBlockByNumber", json!(["0x0", false]), json!(null)),
            ("eth_getTransactionByHash", json!([format!("0x{}", "00".repeat(32))]), json!(null)),
            ("eth_getTransactionReceipt", json!([format!("0x{}", "00".repeat(32))]), json!(null)),
        ] {
            assert_eq!(ask(&chain, method, params.clone()), Ok(expected), "{method} {params}");
        }
        let behind = EngineStatus { syncing: true, ..ENGINE };
        let expected = json!({ "startingBlock": "0x0", "currentBlock": "0x3", "highestBlock": "0x4" });
        assert_eq!(asked(&chain, behind, 1, "eth_syncing", json!([])), Ok(expected));
    }

    #[test]
    fn blocks_and_transactions_are_found_by_number_and_hash() {
        let chain = chain();
        let of = |height: u64| chain.store.block(height).unwrap().unwrap();
        let hash = |height: u64| format!("0x{}", of(height).block.hash());
        let number = |method: &str, params: Value| ask(&chain, method, params).map(|block| block["number"].clone());
        let newest = ["latest", "safe", "finalized", "pending"].map(|tag| (tag, "0x3"));
        for (tag, expected) in newest.into_iter().chain([("earliest", "0x1"), ("0x2", "0x2")]) {
            assert_eq!(number("eth_getBlockByNumber", json!([tag, true])), Ok(json!(expected)), "{tag}");
        }
        assert_eq!(number("eth_getBlockByHash", json!([hash(3), false])), Ok(json!("0x3")));
        let forgotten = number("eth_getBlockByHash", json!([hash(1), false]));
        assert_eq!(forgotten, Err(RESOURCE_NOT_FOUND), "it is not remembered");
        let count = |at: Value| ask(&chain, "eth_getTransactionCount", json!([sender().to_string(), at]));
        assert_eq!(count(json!({ "blockHash": hash(2), "requireCanonical": true })), Ok(json!("0x2")));
        assert_eq!(count(json!("0x9")), Err(RESOURCE_NOT_FOUND), "there is no such block yet");
        let transaction = format!("0x{}", of(3).receipts[0].hash);
        let shown = ask(&chain, "eth_getTransactionByHash", json!([transaction])).unwrap();
        assert_eq!((&shown["hash"], &shown["nonce"]), (&json!(transaction), &json!("0x2")));
        assert_eq!(shown["blockNumber"], "0x3");
        let receipt = ask(&chain, "eth_getTransactionReceipt", json!([transaction])).unwrap();
        assert_eq!((&receipt["status"], &receipt["blockHash"]), (&json!("0x1"), &json!(hash(3))));
        let waits = ask(&chain, "eth_getTransactionByHash", json!([format!("0x{}", "09".repeat(32))])).unwrap();
        assert_eq!((&waits["nonce"], &waits["blockHash"]), (&json!("0x0"), &json!(null)));
    }

    #[test]
    fn the_history_of_fees_ends_with_its_budget() {
        let chain = chain();
        // A fee of 1 OPEN less the base fee of a transfer, by its gas.
        let (base, price) = ("0x2d69be8", format!("{:#x}", 47_619_000_000_000u64));
        let expected = json!({
            "oldestBlock": "0x2",
            "baseFeePerGas": [base, base, base],
            "gasUsedRatio": [0.0, 0.00005],
            "reward": [["0x0", "0x0"], [price, price]],
        });
        assert_eq!(ask(&chain, "eth_feeHistory", json!(["0x2", "latest", [10, 90]])), Ok(expected));
        let short = asked(&chain, ENGINE, 1, "eth_feeHistory", json!(["0x400", "latest"])).unwrap();
        assert_eq!(short, json!({ "oldestBlock": "0x3", "baseFeePerGas": [base, base], "gasUsedRatio": [0.00005] }));
        let older = ask(&chain, "eth_feeHistory", json!(["0x400", "0x2", []])).unwrap();
        assert_eq!((&older["oldestBlock"], older["baseFeePerGas"].as_array().map(Vec::len)), (&json!("0x1"), Some(3)));
        let none = ask(&chain, "eth_feeHistory", json!(["0x0", "latest", []])).unwrap();
        assert_eq!((&none["oldestBlock"], &none["gasUsedRatio"]), (&json!("0x4"), &json!([])));
        assert_eq!(ask(&chain, "eth_feeHistory", json!(["0x1", "0x4", []])), Err(INVALID_PARAMS));
    }

    #[test]
    fn a_block_that_is_not_held_is_told_apart_from_one_that_is_not_there() {
        for (height, is_elsewhere) in [(0, false), (1, true), (4, true), (7, true), (9, true), (10, false)] {
            let fault = no_block(height, 9, 5);
            assert_eq!(fault.map(|fault| fault.code), is_elsewhere.then_some(RESOURCE_NOT_FOUND), "{height}");
        }
    }

    #[test]
    fn a_state_that_is_not_kept_is_told_apart_from_one_that_never_was_here() {
        let (gone, never) = (not_kept(4, 5), not_kept(5, 5));
        assert_eq!((gone.code, never.code), (RESOURCE_NOT_FOUND, RESOURCE_NOT_FOUND));
        assert!(gone.message.contains("before 5") && never.message.contains("joined"), "{gone:?} {never:?}");
    }

    #[test]
    fn an_answer_that_is_too_long_is_refused_with_what_to_ask_for() {
        assert_eq!(short(10, 10), Ok(()));
        let fault = short(11, 10).unwrap_err();
        assert_eq!(fault.code, INVALID_INPUT);
        assert!(fault.message.contains("11") && fault.hint.contains("eth_getTransactionByHash"), "{fault:?}");
    }

    #[test]
    fn a_head_is_a_block_without_transactions() {
        let chain = chain();
        let world = World {
            store: &chain.store,
            version: "1.2.3",
            chain_id: 7,
            engine: ENGINE,
            find: &|_| Found::Nowhere,
            pending: &|_| Ok(None),
            // As before the last two blocks.
            nonce_after: &|_| Some(1),
        };
        let head: Value = serde_json::from_str(world.head(3).unwrap().unwrap().get()).unwrap();
        assert_eq!((&head["number"], head.get("transactions")), (&json!("0x3"), None));
        assert!(world.head(4).unwrap().is_none());
        let mut budget = Budget::new(1, Duration::from_secs(1), CancellationToken::new());
        for (height, expected) in [(3, json!("0x3")), (2, json!("0x2")), (1, Value::Null)] {
            let hash = chain.store.block(height).unwrap().unwrap().block.hash();
            let answer = world.answer(&Ask::Block { at: At::Hash(hash), whole: false }, &mut budget).unwrap();
            let block: Value = serde_json::from_str(answer.get()).unwrap();
            assert_eq!(block["number"], expected, "the memory of hashes may be behind");
        }
        let pending = world.answer(&Ask::Nonce { address: sender(), at: At::Pending }, &mut budget).unwrap();
        assert_eq!(pending.get(), "\"0x3\"", "a look at what waits may be a block old");
        let refused = world.answer(&Ask::Subscribe(crate::rpc::Subject::NewHeads), &mut budget).unwrap_err();
        assert_eq!(refused.code, METHOD_NOT_SUPPORTED);
    }
}
