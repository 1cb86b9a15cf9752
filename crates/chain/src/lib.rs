//! Ethereum's data as rows of our own: blocks, transactions, receipts, logs, and what logs mean (token transfers, swaps).
//!
//! This crate knows bytes and shapes, not nodes: where a block comes from and whether its roots match is the business
//! of `openmesh-evm`, which fills these rows. They are plain structs without a foreign library in them, because they are
//! a persistent format: canonical chunks (Borsh) and tables are made of them, and a verifier in another language must be
//! able to read them from the description in `docs/spec/chain.md` alone.
//!
//! A log carries no type. It is taken for a transfer or a swap only where its whole shape fits the event's ABI (topic 0,
//! number of topics, length of data, padding of addresses and of narrow integers), since topic 0 alone lies: ERC-20 and
//! ERC-721 share theirs. What does not fit stays a log and nothing is lost. The emitting contract is *not* judged: anyone
//! can deploy a contract that emits `Swap`, so a reader who needs trust joins with a list of known pools.
//!
//! As JSON (one object a line, [`Row`]) names are those of ethereum-etl; integers of up to 64 bits are numbers, amounts
//! of wei and everything of up to 256 bits are decimal strings, bytes are lower-case hexadecimal after `0x`.

mod integer;
mod line;
mod row;
mod swap;
mod text;
mod transfer;

pub use integer::{SignedAmount, U256};
pub use line::Row;
pub use row::{AccessListItem, Authorization, Block, Log, Receipt, Transaction, Withdrawal};
pub use swap::{Swap, SwapDetail, UNISWAP_V2_SWAP, UNISWAP_V3_SWAP, decode_swap};
pub use text::hex0x;
pub use transfer::{NftTransfer, TRANSFER, TokenTransfer, decode_nft_transfer, decode_token_transfer};

/// A 32-byte hash, topic or root.
pub type Hash = [u8; 32];

/// An account or contract, 20 bytes. Not `primitives::Address`, which prints with EIP-55's capital letters: chain tables
/// are joined on lower-case text everywhere else.
pub type ChainAddress = [u8; 20];

/// The address in a 32-byte word, where the word is one as the ABI pads it (12 zero bytes before it).
fn word_address(word: &Hash) -> Option<ChainAddress> {
    let (padding, address) = word.split_at(12);
    if padding.iter().any(|b| *b != 0) {
        return None;
    }
    address.try_into().ok()
}

/// Data of exactly `N` words of 32 bytes.
fn words<const N: usize>(data: &[u8]) -> Option<[Hash; N]> {
    if data.len() != N * 32 {
        return None;
    }
    let mut words = [[0; 32]; N];
    for (word, bytes) in words.iter_mut().zip(data.chunks_exact(32)) {
        word.copy_from_slice(bytes);
    }
    Some(words)
}
