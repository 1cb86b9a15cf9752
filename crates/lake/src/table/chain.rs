//! Tables of Ethereum data, named as ethereum-etl names them.
//!
//! Integers of 128 and 256 bits are decimal text, so that no reader rounds them; where people calculate with them, a
//! decimal column in ether or gwei stands beside (null in the rare case that it does not fit). Bytes are lower-case
//! hexadecimal after `0x`. Lists of structures (withdrawals, access lists) are JSON text: few queries look inside, and
//! every reader of Parquet can.

use super::spec::define::*;
use super::spec::{Column, TableSpec};

fn table(
    name: &'static str,
    about: &'static str,
    own: impl IntoIterator<Item = Column>,
    sort: &'static [&'static str],
    example: &'static str,
) -> TableSpec {
    let mut columns = vec![
        text("chain", "chain: ethereum"),
        integer("block_number", "height of the block"),
        time("block_timestamp", "the block's own time"),
        text("block_hash", "Keccak-256 of the block's header"),
    ];
    columns.extend(own);
    columns.push(text("source", "source that the validators agreed on"));
    columns.push(text("origin", "live, simulated or replay"));
    columns.push(or_null(text("cid", "CID of the canonical chunk that holds this row; null where it came alone")));
    spec(name, about, columns, "block_timestamp", sort, example)
}

/// Columns of what stands in a log or was decoded from one: its place first.
fn of_log<const N: usize>(own: [Column; N]) -> impl Iterator<Item = Column> {
    let place = [
        integer("log_index", "position among the block's logs"),
        text("transaction_hash", "transaction"),
        integer("transaction_index", "the transaction's position in the block"),
    ];
    place.into_iter().chain(own)
}

pub(super) fn blocks() -> TableSpec {
    table(
        "eth_blocks",
        "A block whose header hash and roots were verified.",
        [
            text("parent_hash", "hash of the block before"),
            text("nonce", "proof of work's nonce; zero since the merge"),
            text("sha3_uncles", "hash of the list of uncles"),
            text("logs_bloom", "bloom filter over addresses and topics, 2048 bits"),
            text("transactions_root", "root of the transactions' trie"),
            text("state_root", "root of the state after the block"),
            text("receipts_root", "root of the receipts' trie"),
            text("miner", "who receives the fees"),
            text("difficulty", "difficulty, exact decimal text; 0 since the merge"),
            or_null(integer("size", "bytes of the block's RLP, where known")),
            text("extra_data", "at most 32 bytes of the producer's choice"),
            integer("gas_limit", "most gas that the block may use"),
            integer("gas_used", "gas used"),
            or_null(integer("transaction_count", "number of transactions, where known")),
            or_null(text("base_fee_per_gas", "wei per gas that is burnt, exact decimal text (since London)")),
            or_null(decimal("base_fee_gwei", "the same in gwei")),
            or_null(text("withdrawals_root", "root of the withdrawals' trie (since Shanghai)")),
            or_null(text("withdrawals", "JSON list of {index, validator_index, address, amount in gwei}")),
            or_null(integer("blob_gas_used", "gas used for blobs (since Cancun)")),
            or_null(integer("excess_blob_gas", "blob gas above target (since Cancun)")),
            text("mix_hash", "proof of work's mix; the beacon chain's randomness since the merge"),
            or_null(text("parent_beacon_block_root", "root of the parent beacon block (since Cancun)")),
            or_null(text("requests_hash", "hash of the requests to the consensus layer (since Prague)")),
            or_null(text("block_access_list_hash", "hash of the block's access list (EIP-7928)")),
            or_null(integer("slot_number", "the consensus layer's slot (EIP-7843)")),
        ],
        &["block_number"],
        "SELECT block_number, block_timestamp, transaction_count, gas_used, base_fee_gwei FROM eth_blocks \
         ORDER BY block_number DESC LIMIT 20",
    )
}

pub(super) fn transactions() -> TableSpec {
    table(
        "eth_transactions",
        "A transaction, with its receipt where known.",
        [
            text("hash", "Keccak-256 of its EIP-2718 form"),
            integer("transaction_index", "position in the block"),
            integer("nonce", "the sender's running number"),
            text("from_address", "sender, recovered from the signature"),
            or_null(text("to_address", "receiver; null for a contract's creation")),
            text("value", "wei, exact decimal text"),
            or_null(decimal("value_ether", "the same in ether")),
            integer("gas", "most gas it may use"),
            text("gas_price", "wei per gas, exact decimal text"),
            or_null(decimal("gas_price_gwei", "the same in gwei")),
            text("input", "data of the call, or the code of the creation"),
            or_null(text("max_fee_per_gas", "wei per gas at most, exact decimal text (types 2 and up)")),
            or_null(text("max_priority_fee_per_gas", "wei per gas for the producer at most, exact decimal text")),
            integer("transaction_type", "0 legacy, 1 EIP-2930, 2 EIP-1559, 3 EIP-4844, 4 EIP-7702"),
            or_null(text("max_fee_per_blob_gas", "wei per blob gas at most, exact decimal text (type 3)")),
            text("blob_versioned_hashes", "JSON list of hashes (type 3)"),
            or_null(integer("chain_id", "chain it is signed for; null for a legacy transaction without EIP-155")),
            text("access_list", "JSON list of {address, storage_keys} (types 1 and up)"),
            text("authorization_list", "JSON list of delegations (type 4)"),
            boolean("y_parity", "which of the two points of the signature"),
            text("r", "signature's r, exact decimal text"),
            text("s", "signature's s, exact decimal text"),
            or_null(integer("receipt_status", "1 success, 0 failure; null before Byzantium or without receipt")),
            or_null(text("receipt_root", "root of the state after it (before Byzantium)")),
            or_null(integer("receipt_gas_used", "gas used by this transaction")),
            or_null(integer("receipt_cumulative_gas_used", "gas used by the block up to and with it")),
            or_null(text("receipt_contract_address", "contract it created")),
            or_null(text("receipt_effective_gas_price", "wei per gas that was paid, exact decimal text")),
            or_null(text("receipt_blob_gas_price", "wei per blob gas that was paid, exact decimal text")),
            or_null(integer("receipt_blob_gas_used", "blob gas used")),
        ],
        &["block_number", "transaction_index"],
        "SELECT from_address, count(*) AS transactions, sum(value_ether) AS ether FROM eth_transactions \
         GROUP BY from_address ORDER BY ether DESC LIMIT 10",
    )
}

pub(super) fn logs() -> TableSpec {
    table(
        "eth_logs",
        "An event that a contract emitted.",
        of_log([
            text("address", "contract"),
            text("data", "arguments that are not indexed"),
            or_null(text("topic0", "most often the hash of the event's signature")),
            or_null(text("topic1", "first indexed argument")),
            or_null(text("topic2", "second indexed argument")),
            or_null(text("topic3", "third indexed argument")),
        ]),
        &["block_number", "log_index"],
        "SELECT topic0, count(*) AS logs FROM eth_logs GROUP BY topic0 ORDER BY logs DESC LIMIT 10",
    )
}

pub(super) fn token_transfers() -> TableSpec {
    table(
        "eth_token_transfers",
        "A transfer of an ERC-20 or ERC-721 token, decoded from a log.",
        of_log([
            text("standard", "erc20 or erc721"),
            text("token_address", "the token's contract"),
            text("from_address", "payer; the zero address for minting"),
            text("to_address", "receiver; the zero address for burning"),
            text("value", "amount in the token's smallest unit, exact decimal text; for ERC-721 the token's id"),
        ]),
        &["block_number", "log_index"],
        "SELECT token_address, count(*) AS transfers FROM eth_token_transfers WHERE standard = 'erc20' \
         GROUP BY token_address ORDER BY transfers DESC LIMIT 10",
    )
}

pub(super) fn swaps() -> TableSpec {
    table(
        "eth_swaps",
        "A swap in a pool of two tokens, decoded from a log with the event of Uniswap v2 or v3.",
        of_log([
            text("protocol", "uniswap_v2 or uniswap_v3: the event's, many other markets emit the same"),
            text("pool_address", "the pool's contract"),
            text("sender", "who called the pool, most often a router"),
            text("recipient", "who received the tokens bought"),
            text("amount0", "change of the pool's holding of token 0, exact signed decimal text"),
            text("amount1", "change of the pool's holding of token 1, exact signed decimal text"),
            or_null(text("amount0_in", "v2: token 0 paid in")),
            or_null(text("amount1_in", "v2: token 1 paid in")),
            or_null(text("amount0_out", "v2: token 0 taken out")),
            or_null(text("amount1_out", "v2: token 1 taken out")),
            or_null(text("sqrt_price_x96", "v3: square root of the price after the swap, times 2^96")),
            or_null(text("liquidity", "v3: liquidity in range after the swap")),
            or_null(integer("tick", "v3: tick after the swap")),
        ]),
        &["block_number", "log_index"],
        "SELECT pool_address, protocol, count(*) AS swaps FROM eth_swaps GROUP BY pool_address, protocol \
         ORDER BY swaps DESC LIMIT 10",
    )
}
