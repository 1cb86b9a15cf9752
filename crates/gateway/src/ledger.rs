//! Status, blocks, validators, transactions, accounts, incidents.

use axum::Json;
use axum::extract::{Path, Query, State};
use openmesh_api as api;
use openmesh_ledger::{self as ledger, Certificate, Header, Receipt, Transaction};
use openmesh_primitives::{Address, Digest, Height, canonical};
use openmesh_storage::StoredBlock;
use serde::Deserialize;

use crate::error::Refusal;
use crate::node::Node;
use crate::page::PageQuery;

/// Most blocks looked through for one page of a filtered list.
const BLOCKS_SEARCHED_MAX: u64 = 2_000;

/// `GET /v1/status`
#[utoipa::path(get, path = "/v1/status", tag = "ledger", responses((status = 200, body = api::Status)))]
pub async fn status(State(node): State<Node>) -> Result<Json<api::Status>, Refusal> {
    node.status().map(Json)
}

/// Filters of `GET /v1/blocks`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct BlockQuery {
    /// Only blocks of this proposer.
    proposer: Option<String>,
    /// Items wanted.
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
}

/// `GET /v1/blocks`
#[utoipa::path(get, path = "/v1/blocks", tag = "ledger", params(BlockQuery), responses((status = 200, body = api::Page<api::BlockSummary>)))]
pub async fn blocks(
    State(node): State<Node>,
    Query(query): Query<BlockQuery>,
) -> Result<Json<api::Page<api::BlockSummary>>, Refusal> {
    let proposer = query.proposer.as_deref().map(parse_address).transpose()?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let newest = match page.after()? {
        Some(height) => height.saturating_sub(1),
        None => node.store().tip().height,
    };
    node.blocking(move |node| {
        let mut items = Vec::new();
        let mut height = newest;
        let last = newest.saturating_sub(BLOCKS_SEARCHED_MAX);
        while height > last && items.len() < page.limit() {
            if let Some(stored) = node.store().block(height)?
                && proposer.is_none_or(|p| stored.block.header.proposer == p)
            {
                items.push(summary(
                    &stored.block.header,
                    stored.block.transactions.iter().map(Vec::len),
                    &stored.certificate,
                ));
            }
            height -= 1;
        }
        let next = (height > 0).then(|| (height + 1).to_string());
        Ok(Json(api::Page { items, next }))
    })
    .await
}

/// `GET /v1/blocks/{height}`
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "ledger", params(("height" = u64, Path)), responses((status = 200, body = api::BlockDetail), (status = 404, body = api::ErrorBody)))]
pub async fn block(State(node): State<Node>, Path(height): Path<String>) -> Result<Json<api::BlockDetail>, Refusal> {
    let height: Height = height.parse().map_err(|_| {
        Refusal::bad("bad_height", format!("{height:?} is not a height")).hint("a whole number from 1 on")
    })?;
    node.blocking(move |node| {
        let tip = node.store().tip().height;
        let stored = node.store().block(height)?.ok_or_else(|| {
            Refusal::not_found("unknown_block", format!("no block {height} here"))
                .hint(format!("this node holds blocks 1 to {tip}"))
        })?;
        Ok(Json(detail(&stored)))
    })
    .await
}

/// A block as lists show it.
pub fn summary(
    header: &Header,
    transactions: impl ExactSizeIterator<Item = usize>,
    certificate: &Certificate,
) -> api::BlockSummary {
    api::BlockSummary {
        height: header.height,
        hash: header.hash().to_string(),
        time: header.time.to_rfc3339(),
        proposer: header.proposer.to_string(),
        transactions: u32::try_from(transactions.len()).unwrap_or(u32::MAX),
        bytes: transactions.map(|t| t as u64).sum(),
        round: certificate.round,
        signatures: u32::try_from(certificate.signatures.len()).unwrap_or(u32::MAX),
    }
}

fn detail(stored: &StoredBlock) -> api::BlockDetail {
    let header = &stored.block.header;
    let transaction_list = stored
        .block
        .transactions
        .iter()
        .zip(&stored.receipts)
        .map(|(bytes, receipt)| transaction_summary(bytes, Some((header.height, receipt))))
        .collect();
    api::BlockDetail {
        summary: summary(header, stored.block.transactions.iter().map(Vec::len), &stored.certificate),
        parent: header.parent.to_string(),
        state_root: header.state_root.to_string(),
        transactions_root: header.transactions_root.to_string(),
        validators_hash: header.validators_hash.to_string(),
        transaction_list,
        certificate: stored
            .certificate
            .signatures
            .iter()
            .map(|(validator, signature)| api::CertificateSignature {
                validator: validator.to_string(),
                signature: signature.to_string(),
            })
            .collect(),
    }
}

/// A transaction in words.
pub fn transaction_summary(bytes: &[u8], committed: Option<(Height, &Receipt)>) -> api::TransactionSummary {
    let decoded: Result<Transaction, _> = canonical::decode(bytes);
    let (class, sender, action, fee) = match &decoded {
        Ok(Transaction::Account(t)) => (
            "account",
            t.sender().map_or_else(|_| "unknown".into(), |a| a.to_string()),
            action_text(&t.action),
            t.fee.to_string(),
        ),
        Ok(Transaction::Attestation(a)) => (
            "attestation",
            a.validator().to_string(),
            format!("attest {} chunks of {}, window {}", a.chunks.len(), a.source, a.window),
            "0".into(),
        ),
        Ok(Transaction::Evidence(e)) => (
            "evidence",
            e.validator().to_string(),
            format!("show two {}s of one validator at height {}", e.step.as_str(), e.height),
            "0".into(),
        ),
        Err(_) => ("unknown", "unknown".into(), "not decodable".into(), "0".into()),
    };
    let error = committed.and_then(|(_, receipt)| receipt.error.as_ref());
    api::TransactionSummary {
        hash: openmesh_primitives::sha256(&[bytes]).to_string(),
        height: committed.map(|(height, _)| height),
        class: class.into(),
        sender,
        action,
        fee,
        ok: committed.is_some() && error.is_none(),
        error: error.map(|e| e.to_string()),
    }
}

fn action_text(action: &ledger::Action) -> String {
    match action {
        ledger::Action::Transfer { to, amount } => format!("send {} OPEN to {to}", amount.to_open()),
        ledger::Action::RegisterSource(spec) => format!("register source {}", spec.id),
    }
}

/// `GET /v1/validators`
#[utoipa::path(get, path = "/v1/validators", tag = "ledger", responses((status = 200, body = api::Page<api::ValidatorInfo>)))]
pub async fn validators(State(node): State<Node>) -> Result<Json<api::Page<api::ValidatorInfo>>, Refusal> {
    node.blocking(|node| {
        let state = node.store().state()?;
        let set = ledger::validators(&state)?;
        let total = set.total_power().max(1);
        let mut items = Vec::new();
        for validator in set.iter() {
            let record = ledger::validator_record(&state, &validator.address)?;
            let (recent, signed_recent, proposed, last_signed_height) = node.index().signatures(&validator.address);
            items.push(api::ValidatorInfo {
                address: validator.address.to_string(),
                public_key: validator.public_key.to_string(),
                name: validator.name.clone(),
                power: validator.power,
                share: validator.power as f64 / total as f64,
                proposed,
                signed_recent,
                recent,
                last_signed_height,
                attested: record.as_ref().map_or(0, |r| r.attested),
                differing: record.as_ref().map_or(0, |r| r.differing),
                missing: record.as_ref().map_or(0, |r| r.missing),
            });
        }
        Ok(Json(api::Page { items, next: None }))
    })
    .await
}

/// Filters of `GET /v1/incidents`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub struct IncidentQuery {
    /// `differing`, `missing`, `disputed`, or a collector's kind: `gap`, `checksum`, ...
    kind: Option<String>,
    /// Source.
    source: Option<String>,
    /// Validator's address.
    validator: Option<String>,
    /// `ledger` or `collector`.
    site: Option<String>,
    /// Items wanted.
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
}

/// `GET /v1/incidents`
#[utoipa::path(get, path = "/v1/incidents", tag = "ledger", params(IncidentQuery), responses((status = 200, body = api::Page<api::IncidentInfo>)))]
pub async fn incidents(
    State(node): State<Node>,
    Query(query): Query<IncidentQuery>,
) -> Result<Json<api::Page<api::IncidentInfo>>, Refusal> {
    let validator = query.validator.as_deref().map(parse_address).transpose()?.map(|a| a.to_string());
    let page = PageQuery { limit: query.limit, cursor: query.cursor.clone() };
    // The cursor is the time (in nanoseconds) of the last item of the page before: both sites' lists are in that order.
    let before = page.after()?;
    let mut all = node.incidents();
    all.retain(|(nanos, info)| {
        before.is_none_or(|b| u64::try_from(*nanos).is_ok_and(|n| n < b))
            && query.kind.as_ref().is_none_or(|k| *k == info.kind)
            && query.site.as_ref().is_none_or(|s| *s == info.site)
            && query.source.as_ref().is_none_or(|s| info.source.as_ref() == Some(s))
            && validator.as_ref().is_none_or(|v| info.validator.as_ref() == Some(v))
    });
    all.sort_by_key(|(nanos, _)| std::cmp::Reverse(*nanos));
    let more = all.len() > page.limit();
    // Incidents of one block share its time: a page never ends between them, or the rest would be lost.
    let mut end = page.limit().min(all.len());
    while end > 0 && end < all.len() && all[end].0 == all[end - 1].0 {
        end += 1;
    }
    all.truncate(end);
    let next = all.last().filter(|_| more).map(|(nanos, _)| nanos.to_string());
    Ok(Json(api::Page { items: all.into_iter().map(|(_, info)| info).collect(), next }))
}

/// `GET /v1/transactions/{hash}`
#[utoipa::path(get, path = "/v1/transactions/{hash}", tag = "ledger", params(("hash" = String, Path)), responses((status = 200, body = api::TransactionSummary), (status = 404, body = api::ErrorBody)))]
pub async fn transaction(
    State(node): State<Node>,
    Path(hash): Path<String>,
) -> Result<Json<api::TransactionSummary>, Refusal> {
    let digest: Digest = hash.parse().map_err(|e| Refusal::bad("bad_hash", format!("{e}")))?;
    if let Some(bytes) = node.pending(&digest) {
        return Ok(Json(transaction_summary(&bytes, None)));
    }
    node.blocking(move |node| {
        let unknown = || {
            Refusal::not_found("unknown_transaction", format!("{digest} is neither committed nor waiting here"))
                .hint("it may have been dropped (nonce used, fee too low) or sent to another network")
        };
        let (height, index) = node.store().transaction(&digest)?.ok_or_else(unknown)?;
        let stored = node.store().block(height)?.ok_or_else(unknown)?;
        let bytes = stored.block.transactions.get(index as usize).ok_or_else(unknown)?;
        let receipt = stored.receipts.get(index as usize).ok_or_else(unknown)?;
        Ok(Json(transaction_summary(bytes, Some((height, receipt)))))
    })
    .await
}

/// `GET /v1/accounts/{address}`
#[utoipa::path(get, path = "/v1/accounts/{address}", tag = "ledger", params(("address" = String, Path)), responses((status = 200, body = api::AccountInfo), (status = 400, body = api::ErrorBody)))]
pub async fn account(State(node): State<Node>, Path(address): Path<String>) -> Result<Json<api::AccountInfo>, Refusal> {
    let address = parse_address(&address)?;
    node.blocking(move |node| {
        let account = ledger::account(&node.store().state()?, &address)?;
        Ok(Json(api::AccountInfo {
            address: address.to_string(),
            balance: account.balance.to_string(),
            nonce: account.nonce,
        }))
    })
    .await
}

/// An address from a person or a program.
pub fn parse_address(text: &str) -> Result<Address, Refusal> {
    text.parse().map_err(|e| Refusal::bad("bad_address", format!("{text:.60}: {e}")))
}
