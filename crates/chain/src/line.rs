//! A row of any kind as a line of JSON.

use serde::Serialize;

use crate::{Block, Log, NftTransfer, Receipt, Swap, TokenTransfer, Transaction};

/// A line of `openmesh chain decode`: any row with its `type` first.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Row<'a> {
    /// A block.
    Block(&'a Block),
    /// A transaction.
    Transaction(&'a Transaction),
    /// A receipt.
    Receipt(&'a Receipt),
    /// A log.
    Log(&'a Log),
    /// A transfer of an ERC-20 token.
    TokenTransfer(&'a TokenTransfer),
    /// A transfer of an ERC-721 token.
    NftTransfer(&'a NftTransfer),
    /// A swap.
    Swap(&'a Swap),
}
