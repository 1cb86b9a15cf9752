//! The rows: one struct a table. Field order is part of the canonical form (`docs/spec/chain.md`).
//!
//! Rows hold what a block's hash commits to, or what follows from that: a field on which two honest nodes may differ
//! (total difficulty, which newer nodes no longer give) has no place in bytes that validators agree on.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::text::{decimal, decimal_option, hex, hex_list, hex_option};
use super::{ChainAddress, Hash, U256};

/// A block's header and withdrawals (Yellow Paper 4.3; EIP-1559, 4895, 4844, 4788, 7685).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Keccak-256 of the header.
    #[serde(serialize_with = "hex")]
    pub hash: Hash,
    /// Hash of the block before.
    #[serde(serialize_with = "hex")]
    pub parent_hash: Hash,
    /// Proof of work's nonce; zero since the merge.
    #[serde(serialize_with = "hex")]
    pub nonce: [u8; 8],
    /// Hash of the list of uncles.
    #[serde(serialize_with = "hex")]
    pub sha3_uncles: Hash,
    /// Bloom filter over the addresses and topics of all logs, 2048 bits.
    #[serde(serialize_with = "hex")]
    pub logs_bloom: [u8; 256],
    /// Root of the transactions' trie.
    #[serde(serialize_with = "hex")]
    pub transactions_root: Hash,
    /// Root of the state after the block. Not recomputed here: that takes the whole state.
    #[serde(serialize_with = "hex")]
    pub state_root: Hash,
    /// Root of the receipts' trie.
    #[serde(serialize_with = "hex")]
    pub receipts_root: Hash,
    /// Receiver of the fees.
    #[serde(serialize_with = "hex")]
    pub miner: ChainAddress,
    /// Difficulty; zero since the merge.
    pub difficulty: U256,
    /// Length of the block's RLP in bytes, computed here; unknown without the bodies or with uncles.
    pub size: Option<u64>,
    /// At most 32 bytes of the producer's choice.
    #[serde(serialize_with = "hex")]
    pub extra_data: Vec<u8>,
    /// Most gas that the block may use.
    pub gas_limit: u64,
    /// Gas used.
    pub gas_used: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Number of transactions, where bodies or receipts are known.
    pub transaction_count: Option<u64>,
    /// Wei per gas that is burnt (since London).
    #[serde(serialize_with = "decimal_option")]
    pub base_fee_per_gas: Option<u64>,
    /// Root of the withdrawals' trie (since Shanghai).
    #[serde(serialize_with = "hex_option")]
    pub withdrawals_root: Option<Hash>,
    /// Withdrawals, empty before Shanghai; none where the header promises some and they were not given.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Gas used for blobs (since Cancun).
    pub blob_gas_used: Option<u64>,
    /// Blob gas above target, from which its price follows (since Cancun).
    pub excess_blob_gas: Option<u64>,
    /// Proof of work's mix; the beacon chain's randomness since the merge.
    #[serde(serialize_with = "hex")]
    pub mix_hash: Hash,
    /// Root of the parent beacon block (since Cancun).
    #[serde(serialize_with = "hex_option")]
    pub parent_beacon_block_root: Option<Hash>,
    /// Hash of the requests to the consensus layer (since Prague).
    #[serde(serialize_with = "hex_option")]
    pub requests_hash: Option<Hash>,
    /// Hash of the block's access list (EIP-7928).
    #[serde(serialize_with = "hex_option")]
    pub block_access_list_hash: Option<Hash>,
    /// The consensus layer's slot (EIP-7843).
    pub slot_number: Option<u64>,
}

/// Ether leaving the consensus layer (EIP-4895).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Withdrawal {
    /// Running number.
    pub index: u64,
    /// Validator.
    pub validator_index: u64,
    /// Receiver.
    #[serde(serialize_with = "hex")]
    pub address: ChainAddress,
    /// Gwei.
    pub amount: u64,
}

/// A transaction with everything that is signed, and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// Keccak-256 of its EIP-2718 form.
    #[serde(serialize_with = "hex")]
    pub hash: Hash,
    /// Sender's running number.
    pub nonce: u64,
    /// Block's hash.
    #[serde(serialize_with = "hex")]
    pub block_hash: Hash,
    /// Block's height.
    pub block_number: u64,
    /// Block's time, seconds since 1970.
    pub block_timestamp: u64,
    /// Place in the block.
    pub transaction_index: u64,
    /// Sender, recovered from the signature.
    #[serde(serialize_with = "hex")]
    pub from_address: ChainAddress,
    /// Receiver; none for a contract's creation.
    #[serde(serialize_with = "hex_option")]
    pub to_address: Option<ChainAddress>,
    /// Wei.
    pub value: U256,
    /// Most gas it may use.
    pub gas: u64,
    /// Wei per gas: as signed (types 0, 1), as paid (types 2 and up).
    #[serde(serialize_with = "decimal")]
    pub gas_price: u128,
    /// Data of the call, or the code of the creation.
    #[serde(serialize_with = "hex")]
    pub input: Vec<u8>,
    /// Wei per gas at most (types 2 and up).
    #[serde(serialize_with = "decimal_option")]
    pub max_fee_per_gas: Option<u128>,
    /// Wei per gas for the producer at most (types 2 and up).
    #[serde(serialize_with = "decimal_option")]
    pub max_priority_fee_per_gas: Option<u128>,
    /// 0 legacy, 1 EIP-2930, 2 EIP-1559, 3 EIP-4844, 4 EIP-7702.
    pub transaction_type: u8,
    /// Wei per blob gas at most (type 3).
    #[serde(serialize_with = "decimal_option")]
    pub max_fee_per_blob_gas: Option<u128>,
    /// Hashes of its blobs (type 3).
    #[serde(serialize_with = "hex_list")]
    pub blob_versioned_hashes: Vec<Hash>,
    /// Chain it is signed for; none for a legacy transaction without EIP-155.
    pub chain_id: Option<u64>,
    /// Accounts and storage it announces (types 1 and up).
    pub access_list: Vec<AccessListItem>,
    /// Delegations it carries (type 4).
    pub authorization_list: Vec<Authorization>,
    /// Parity of the signature's point: which of the two it is.
    pub y_parity: bool,
    /// Signature's `r`.
    pub r: U256,
    /// Signature's `s`.
    pub s: U256,
}

/// An entry of an access list (EIP-2930).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct AccessListItem {
    /// Account.
    #[serde(serialize_with = "hex")]
    pub address: ChainAddress,
    /// Storage slots.
    #[serde(serialize_with = "hex_list")]
    pub storage_keys: Vec<Hash>,
}

/// A signed delegation of an account to a contract's code (EIP-7702).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Authorization {
    /// Chain; zero for every chain.
    pub chain_id: U256,
    /// Contract whose code is taken on.
    #[serde(serialize_with = "hex")]
    pub address: ChainAddress,
    /// The account's nonce.
    pub nonce: u64,
    /// Parity of the signature's point; the protocol includes invalid ones, so any byte can stand here.
    pub y_parity: u8,
    /// Signature's `r`.
    pub r: U256,
    /// Signature's `s`.
    pub s: U256,
}

/// Outcome of a transaction, its logs apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Transaction.
    #[serde(serialize_with = "hex")]
    pub transaction_hash: Hash,
    /// Place in the block.
    pub transaction_index: u64,
    /// Block's hash.
    #[serde(serialize_with = "hex")]
    pub block_hash: Hash,
    /// Block's height.
    pub block_number: u64,
    /// Gas used by the block up to and with this transaction.
    pub cumulative_gas_used: u64,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// Contract it created.
    #[serde(serialize_with = "hex_option")]
    pub contract_address: Option<ChainAddress>,
    /// Root of the state after it (before Byzantium, in place of `status`).
    #[serde(serialize_with = "hex_option")]
    pub root: Option<Hash>,
    /// 1 success, 0 failure (since Byzantium, EIP-658).
    pub status: Option<u8>,
    /// Wei per gas that was paid; none where neither the node nor the transaction's body tells.
    #[serde(serialize_with = "decimal_option")]
    pub effective_gas_price: Option<u128>,
    /// Wei per blob gas that was paid (type 3), where it could be verified.
    #[serde(serialize_with = "decimal_option")]
    pub blob_gas_price: Option<u128>,
    /// Blob gas used (type 3).
    pub blob_gas_used: Option<u64>,
    /// Sender.
    #[serde(serialize_with = "hex")]
    pub from_address: ChainAddress,
    /// Receiver; none for a contract's creation.
    #[serde(serialize_with = "hex_option")]
    pub to_address: Option<ChainAddress>,
    /// Type of the transaction.
    pub transaction_type: u8,
}

/// An event that a contract emitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Log {
    /// Place among the block's logs.
    pub log_index: u64,
    /// Transaction.
    #[serde(serialize_with = "hex")]
    pub transaction_hash: Hash,
    /// Transaction's place in the block.
    pub transaction_index: u64,
    /// Block's hash.
    #[serde(serialize_with = "hex")]
    pub block_hash: Hash,
    /// Block's height.
    pub block_number: u64,
    /// Contract.
    #[serde(serialize_with = "hex")]
    pub address: ChainAddress,
    /// Arguments that are not indexed.
    #[serde(serialize_with = "hex")]
    pub data: Vec<u8>,
    /// Up to four: the event's signature and its indexed arguments.
    #[serde(serialize_with = "hex_list")]
    pub topics: Vec<Hash>,
}
