//! Committed transactions: one, the newest, and those of an account.
//!
//! Read from the stored blocks, newest first. A filter looks through a bounded number of blocks for one page and then
//! gives a cursor to go on from, so a rare transaction costs several pages and never an unbounded request.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_ledger::{self as ledger, Class, Receipt, Transaction};
use openmesh_primitives::{Address, Digest, canonical};
use openmesh_storage::{Store, StoredBlock};
use serde::Deserialize;

use crate::error::Refusal;
use crate::ledger::parse_address;
use crate::node::Node;
use crate::page::{self, Params, cursor, pair};

/// Most blocks looked through for one page: about an hour of them, some tenths of a second of reading.
const BLOCKS_SEARCHED_MAX: u64 = 4_000;

/// Filters of `GET /v1/transactions`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TransactionQuery {
    /// `account`, `attestation` or `evidence`.
    class: Option<String>,
    /// Only transactions that this account (or validator) sent, or that it received as a transfer.
    account: Option<String>,
    /// Only those that took effect (`true`), or that were refused (`false`).
    ok: Option<bool>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

struct Filter {
    class: Option<Class>,
    account: Option<Address>,
    ok: Option<bool>,
}

impl Filter {
    fn of(query: &TransactionQuery) -> Result<Filter, Refusal> {
        let class = match query.class.as_deref() {
            None => None,
            Some("account") => Some(Class::Account),
            Some("attestation") => Some(Class::Attestation),
            Some("evidence") => Some(Class::Evidence),
            Some(other) => {
                return Err(Refusal::bad(
                    "bad_class",
                    format!("{other:.40?} is no class of transactions"),
                    "account, attestation or evidence",
                ));
            }
        };
        let account = query.account.as_deref().map(parse_address).transpose()?;
        Ok(Filter { class, account, ok: query.ok })
    }

    /// Whether a receipt may be wanted; the receiver stands only in the transaction itself.
    fn fits(&self, receipt: &Receipt, bytes: &[u8]) -> bool {
        self.class.is_none_or(|c| c == receipt.class)
            && self.ok.is_none_or(|ok| ok == receipt.ok())
            && self.account.is_none_or(|a| {
                receipt.sender == Some(a) || (receipt.class == Class::Account && receiver(bytes) == Some(a))
            })
    }
}

fn receiver(bytes: &[u8]) -> Option<Address> {
    match canonical::decode(bytes) {
        Ok(Transaction::Account(t)) => match t.action {
            ledger::Action::Accounts(ledger::AccountsAction::Transfer { to, .. }) => Some(to),
            ledger::Action::Sources(_) => None,
        },
        _ => None,
    }
}

/// Committed transactions, newest first.
#[utoipa::path(get, path = "/v1/transactions", tag = "ledger", params(TransactionQuery), responses((status = 200, body = api::Page<api::TransactionSummary>)))]
pub async fn transactions(
    State(node): State<Node>,
    Params(query): Params<TransactionQuery>,
) -> Result<Json<api::Page<api::TransactionSummary>>, Refusal> {
    let filter = Filter::of(&query)?;
    let limit = page::limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), pair)?;
    node.blocking(move |node| {
        let tip = node.store().tip().height;
        // Before position `i` of block `h`, or before anything.
        let (newest, mut below) = match before {
            Some((height, index)) => (height.min(tip), Some(index)),
            None => (tip, None),
        };
        let last = newest.saturating_sub(BLOCKS_SEARCHED_MAX);
        let mut items: Vec<api::TransactionSummary> = Vec::new();
        let mut height = newest;
        while height > last {
            if let Some(stored) = node.store().block(height)?
                && take(&stored, &filter, below, limit, &mut items)
            {
                let next = items.last().and_then(|t| Some(format!("{}-{}", t.height?, t.index?)));
                return Ok(Json(api::Page { items, next }));
            }
            below = None;
            height -= 1;
        }
        // Position 0 of the block above what was looked at: everything in it has been seen.
        let next = (height > 0).then(|| format!("{}-0", height + 1));
        Ok(Json(api::Page { items, next }))
    })
    .await
}

/// Takes a block's transactions, last first; `true` as soon as there is one more than wanted.
fn take(
    stored: &StoredBlock,
    filter: &Filter,
    below: Option<u32>,
    limit: usize,
    items: &mut Vec<api::TransactionSummary>,
) -> bool {
    let both = stored.block.transactions.iter().zip(&stored.receipts).rev();
    for (bytes, receipt) in both.filter(|(_, r)| below.is_none_or(|b| r.index < b)) {
        if !filter.fits(receipt, bytes) {
            continue;
        }
        if items.len() == limit {
            return true;
        }
        items.push(summary(bytes, Some((stored, receipt))));
    }
    false
}

/// A transaction: committed, or waiting at this node.
#[utoipa::path(get, path = "/v1/transactions/{hash}", tag = "ledger", params(("hash" = String, Path, description = "SHA-256 of the canonical bytes, 64 hexadecimal digits")), responses((status = 200, body = api::TransactionSummary), (status = 404, body = api::ErrorBody)))]
pub async fn transaction(
    State(node): State<Node>,
    Path(hash): Path<String>,
) -> Result<Json<api::TransactionSummary>, Refusal> {
    let digest: Digest = hash.parse().map_err(|e| {
        Refusal::bad("bad_hash", format!("{hash:.80}: {e}"), "a transaction's hash is 64 hexadecimal digits")
    })?;
    node.blocking(move |node| {
        if let Some(found) = committed(node.store(), &digest)? {
            return Ok(Json(found));
        }
        if let Some(bytes) = node.pending(&digest)? {
            return Ok(Json(summary(&bytes, None)));
        }
        // It may have been committed between the two looks.
        committed(node.store(), &digest)?.map(Json).ok_or_else(|| {
            Refusal::not_found(
                "unknown_transaction",
                format!("{digest} is neither committed nor waiting here"),
                "it may have been dropped (nonce used, fee too low) or sent to another network",
            )
        })
    })
    .await
}

/// A committed transaction.
fn committed(store: &Store, hash: &Digest) -> Result<Option<api::TransactionSummary>, Refusal> {
    let Some((height, index)) = store.transaction(hash)? else { return Ok(None) };
    let Some(stored) = store.block(height)? else { return Ok(None) };
    let both = stored.block.transactions.get(index as usize).zip(stored.receipts.get(index as usize));
    Ok(both.map(|(bytes, receipt)| summary(bytes, Some((&stored, receipt)))))
}

/// All transactions of a block.
pub fn of_block(stored: &StoredBlock) -> impl Iterator<Item = api::TransactionSummary> {
    let both = stored.block.transactions.iter().zip(&stored.receipts);
    both.map(|(bytes, receipt)| summary(bytes, Some((stored, receipt))))
}

/// A transaction in words.
fn summary(bytes: &[u8], committed: Option<(&StoredBlock, &Receipt)>) -> api::TransactionSummary {
    let decoded: Result<Transaction, _> = canonical::decode(bytes);
    let receipt = committed.map(|(_, receipt)| receipt);
    let header = committed.map(|(stored, _)| &stored.block.header);
    let error = receipt.and_then(|r| r.error.as_ref());
    let mut summary = api::TransactionSummary {
        hash: openmesh_primitives::sha256(&[bytes]).to_string(),
        height: header.map(|h| h.height),
        index: receipt.map(|r| r.index),
        time: header.map(|h| h.time.to_rfc3339()),
        class: "unknown".into(),
        sender: "unknown".into(),
        nonce: None,
        kind: "unknown".into(),
        to: None,
        amount: None,
        action: "not decodable".into(),
        fee: "0".into(),
        bytes: bytes.len() as u64,
        ok: receipt.is_some() && error.is_none(),
        error: error.map(ToString::to_string),
    };
    match &decoded {
        Ok(Transaction::Account(t)) => {
            summary.class = "account".into();
            // Known from the receipt once committed: recovering a key from a signature is the costly part.
            let sender = receipt.and_then(|r| r.sender).or_else(|| t.sender().ok());
            summary.sender = sender.map_or_else(|| "unknown".into(), |a| a.to_string());
            summary.nonce = Some(t.nonce);
            summary.fee = receipt.map_or(t.fee, |r| r.fee).to_string();
            tell(&t.action, &mut summary);
        }
        Ok(Transaction::Attestation(a)) => {
            summary.class = "attestation".into();
            summary.kind = "attestation".into();
            summary.sender = a.validator().to_string();
            summary.action = format!("attest {} chunks of {}, window {}", a.chunks.len(), a.source, a.window);
        }
        Ok(Transaction::Evidence(e)) => {
            summary.class = "evidence".into();
            summary.kind = "evidence".into();
            summary.sender = e.validator().to_string();
            summary.action = format!("show two {}s of one validator at height {}", e.step.as_str(), e.height);
        }
        Err(_) => {}
    }
    summary
}

fn tell(action: &ledger::Action, summary: &mut api::TransactionSummary) {
    match action {
        ledger::Action::Accounts(ledger::AccountsAction::Transfer { to, amount }) => {
            summary.kind = "transfer".into();
            summary.to = Some(to.to_string());
            summary.amount = Some(amount.to_string());
            summary.action = format!("send {} OPEN to {to}", amount.to_open());
        }
        ledger::Action::Sources(ledger::SourcesAction::Register(spec)) => {
            summary.kind = "register_source".into();
            summary.action = format!("register source {}", spec.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Block, Certificate, Header};
    use openmesh_primitives::{AccountKey, Amount, Height, Timestamp};

    const CHAIN: u64 = 7;

    /// A block with a transfer of each amount from the first key to the second.
    fn block(height: Height, amounts: &[u128]) -> StoredBlock {
        let keys = [1, 2].map(|n| AccountKey::from_bytes([n; 32]).unwrap());
        let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
        for (index, amount) in (0u32..).zip(amounts) {
            let action = Action::Accounts(AccountsAction::Transfer { to: keys[1].address(), amount: Amount(*amount) });
            let signed = AccountTransaction::sign(&keys[0], CHAIN, u64::from(index), Amount(5), action).unwrap();
            let bytes = Transaction::Account(signed).encode();
            receipts.push(Receipt {
                hash: openmesh_primitives::sha256(&[&bytes]),
                index,
                class: Class::Account,
                sender: Some(keys[0].address()),
                nonce: Some(u64::from(index)),
                fee: Amount(5),
                error: None,
            });
            transactions.push(bytes);
        }
        let header = Header {
            version: ledger::HEADER_VERSION,
            chain_id: CHAIN,
            height,
            time: Timestamp(0),
            parent: Digest::ZERO,
            state_root: Digest::ZERO,
            transactions_root: Digest::ZERO,
            last_commit_hash: Digest::ZERO,
            proposer: Address([3; 20]),
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
        };
        let certificate = Certificate { height, round: 0, block_hash: Digest::ZERO, signatures: Vec::new() };
        StoredBlock {
            block: Block { header, last_commit: None, transactions },
            certificate,
            receipts,
            events: Vec::new(),
        }
    }

    #[test]
    fn an_account_sees_what_it_sent_and_received() {
        let stored = block(9, &[10, 20, 30]);
        let receiver = AccountKey::from_bytes([2; 32]).unwrap().address();
        let query = |account: Address| TransactionQuery { account: Some(account.to_string()), ..Default::default() };
        for (account, expected) in [(stored.receipts[0].sender.unwrap(), 3), (receiver, 3), (Address([9; 20]), 0)] {
            let filter = Filter::of(&query(account)).unwrap();
            let mut items = Vec::new();
            assert!(!take(&stored, &filter, None, 10, &mut items));
            assert_eq!(items.len(), expected);
        }
    }

    #[test]
    fn a_page_ends_inside_a_block_and_goes_on_there() {
        let stored = block(9, &[10, 20, 30]);
        let filter = Filter::of(&TransactionQuery::default()).unwrap();
        let mut items = Vec::new();
        assert!(take(&stored, &filter, None, 2, &mut items), "there is more");
        let amounts =
            |items: &[api::TransactionSummary]| items.iter().filter_map(|t| t.amount.clone()).collect::<Vec<_>>();
        assert_eq!(amounts(&items), ["30", "20"]);
        let below = items.last().and_then(|t| t.index);
        let mut rest = Vec::new();
        assert!(!take(&stored, &filter, below, 2, &mut rest));
        assert_eq!(amounts(&rest), ["10"]);
        assert_eq!((rest[0].height, rest[0].ok, rest[0].kind.as_str()), (Some(9), true, "transfer"));
    }

    #[test]
    fn a_class_that_is_none_is_refused() {
        let query = TransactionQuery { class: Some("vote".into()), ..Default::default() };
        assert!(Filter::of(&query).is_err());
    }
}
