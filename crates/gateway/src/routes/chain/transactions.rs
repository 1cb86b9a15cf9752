//! Transactions: the newest, those of an account, and one.
//!
//! Those of an account come through an index; another filter looks through blocks within a budget and then gives a cursor to go
//! on from, so a rare transaction costs several pages and never an unbounded request.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::TRANSACTION_WAIT_MS_MAX;
use openmesh_ledger::Class;
use openmesh_primitives::Digest;
use openmesh_storage::Store;
use tokio::time::Instant;

use crate::error::Refusal;
use crate::http::request::{self, Params, cursor, pair};
use crate::node::Node;
use crate::reads::blocks::{self, Place, TransactionFilter};
use crate::views::transactions::{detail, summary};

/// Committed transactions, newest first.
#[utoipa::path(get, path = api::path::TRANSACTIONS, tag = "ledger", params(api::TransactionQuery), responses((status = 200, body = api::Page<api::TransactionSummary>)))]
pub async fn transactions(
    State(node): State<Node>,
    Params(query): Params<api::TransactionQuery>,
) -> Result<Json<api::Page<api::TransactionSummary>>, Refusal> {
    let filter = filter(&query)?;
    let limit = request::limit(query.limit)?;
    let from = cursor(query.cursor.as_deref(), pair)?.map(|(height, index)| Place { height, index });
    node.scan(move |node, budget| {
        let mut items: Vec<api::TransactionSummary> = Vec::new();
        let next = blocks::transactions(node.store(), from, &filter, budget, |stored, at| {
            let both = stored.block.transactions.get(at).zip(stored.receipts.get(at));
            let wanted = items.len() < limit;
            items.extend(both.filter(|_| wanted).map(|(bytes, r)| summary(bytes, Some((&stored.block.header, r)))));
            wanted
        })?;
        Ok(Json(api::Page { items, next: next.map(|place| format!("{}-{}", place.height, place.index)) }))
    })
    .await
}

fn filter(query: &api::TransactionQuery) -> Result<TransactionFilter, Refusal> {
    let class = query.class.map(|class| match class {
        api::TransactionClass::Account => Class::Account,
        api::TransactionClass::Attestation => Class::Attestation,
        api::TransactionClass::Evidence => Class::Evidence,
        api::TransactionClass::Upgrade => Class::Upgrade,
    });
    let account = query.account.as_deref().map(request::address).transpose()?;
    Ok(TransactionFilter { class, account, ok: query.ok })
}

/// A transaction: committed, or waiting at this node. With `wait_ms` the answer comes as soon as it is in a block.
#[utoipa::path(get, path = api::path::TRANSACTION, tag = "ledger", params(("hash" = String, Path, description = "SHA-256 of the canonical bytes, 64 hexadecimal digits"), api::WaitQuery), responses((status = 200, body = api::TransactionDetail), (status = 404, body = api::ErrorBody)))]
pub async fn transaction(
    State(node): State<Node>,
    Path(hash): Path<String>,
    Params(query): Params<api::WaitQuery>,
) -> Result<Json<api::TransactionDetail>, Refusal> {
    let digest = request::hash(&hash)?;
    let wait_ms = query.wait_ms.unwrap_or(0);
    if wait_ms > TRANSACTION_WAIT_MS_MAX {
        let hint = format!("wait_ms may be 0 to {TRANSACTION_WAIT_MS_MAX}; ask again after that");
        return Err(Refusal::new(ErrorCode::BadLimit, format!("wait_ms is {wait_ms}"), hint));
    }
    let deadline = Instant::now() + Duration::from_millis(wait_ms);
    // Taken before the look, so that no block falls between.
    let mut height = node.memory().height();
    loop {
        height.borrow_and_update();
        let found = node.read(move |node| look(&node, &digest)).await?;
        if found.summary.height.is_some() || tokio::time::timeout_at(deadline, height.changed()).await.is_err() {
            return Ok(Json(found));
        }
    }
}

fn look(node: &Node, digest: &Digest) -> Result<api::TransactionDetail, Refusal> {
    if let Some(found) = committed(node.store(), digest)? {
        return Ok(found);
    }
    if let Some(bytes) = node.pending(digest)? {
        return Ok(detail(&bytes, None));
    }
    // It may have been committed between the two looks.
    committed(node.store(), digest)?.ok_or_else(|| {
        Refusal::new(
            ErrorCode::UnknownTransaction,
            format!("{digest} is neither committed nor waiting here"),
            "it may have been dropped (nonce used, fee too low) or sent to another network",
        )
    })
}

fn committed(store: &Store, hash: &Digest) -> Result<Option<api::TransactionDetail>, Refusal> {
    let Some((stored, at)) = blocks::committed(store, hash)? else { return Ok(None) };
    let both = stored.block.transactions.get(at).zip(stored.receipts.get(at));
    Ok(both.map(|(bytes, receipt)| detail(bytes, Some((&stored.block.header, receipt)))))
}
