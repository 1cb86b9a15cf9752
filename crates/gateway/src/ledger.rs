//! Status, blocks, validators, accounts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use openmesh_api as api;
use openmesh_ledger::{self as ledger, Certificate, Header};
use openmesh_primitives::{Address, Height};
use openmesh_storage::StoredBlock;
use serde::Deserialize;

use crate::download::tagged_json;
use crate::error::Refusal;
use crate::history;
use crate::node::Node;
use crate::page::{self, ITEMS_MAX, Params, cursor, limited};

/// Most blocks looked through for one page of a filtered list.
const BLOCKS_SEARCHED_MAX: u64 = 2_000;

/// How this node and its network are doing.
#[utoipa::path(get, path = "/v1/status", tag = "ledger", responses((status = 200, body = api::Status)))]
pub async fn status(State(node): State<Node>) -> Result<Json<api::Status>, Refusal> {
    node.blocking(|node| node.status()).await.map(Json)
}

/// Filters of `GET /v1/blocks`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BlockQuery {
    /// Only blocks of this proposer (address).
    proposer: Option<String>,
    /// Only blocks with transactions (`true`), or only empty ones (`false`).
    transactions: Option<bool>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Blocks, newest first.
#[utoipa::path(get, path = "/v1/blocks", tag = "ledger", params(BlockQuery), responses((status = 200, body = api::Page<api::BlockSummary>)))]
pub async fn blocks(
    State(node): State<Node>,
    Params(query): Params<BlockQuery>,
) -> Result<Json<api::Page<api::BlockSummary>>, Refusal> {
    let proposer = query.proposer.as_deref().map(parse_address).transpose()?;
    let limit = page::limit(query.limit)?;
    let newest = match cursor(query.cursor.as_deref(), |text| text.parse::<Height>().ok())? {
        Some(height) => height.saturating_sub(1).min(node.store().tip().height),
        None => node.store().tip().height,
    };
    node.blocking(move |node| {
        let mut items = Vec::new();
        let mut height = newest;
        let last = newest.saturating_sub(BLOCKS_SEARCHED_MAX);
        while height > last && items.len() < limit {
            if let Some(stored) = node.store().block(height)?
                && proposer.is_none_or(|p| stored.block.header.proposer == p)
                && query.transactions.is_none_or(|some| some != stored.block.transactions.is_empty())
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

/// A block with its transactions and its certificate.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "ledger", params(("height" = u64, Path, description = "From 1 on")), responses((status = 200, body = api::BlockDetail), (status = 404, body = api::ErrorBody)))]
pub async fn block(
    State(node): State<Node>,
    Path(height): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let height: Height = height.parse().map_err(|_| {
        Refusal::bad("bad_height", format!("{height:.40?} is not a height"), "a whole number from 1 on")
    })?;
    node.blocking(move |node| {
        let tip = node.store().tip().height;
        let stored = node.store().block(height)?.ok_or_else(|| {
            Refusal::not_found(
                "unknown_block",
                format!("no block {height} here"),
                format!("this node holds blocks 1 to {tip}"),
            )
        })?;
        tagged_json(&headers, &detail(&stored))
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
    let transaction_list = history::of_block(stored).collect();
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

/// Filters of `GET /v1/validators`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ValidatorQuery {
    /// A part of the name or of the address.
    text: Option<String>,
    /// Only those that collect this source in the current epoch.
    source: Option<String>,
    /// Items wanted, 500 where absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Validators by address.
#[utoipa::path(get, path = "/v1/validators", tag = "ledger", params(ValidatorQuery), responses((status = 200, body = api::Page<api::ValidatorInfo>)))]
pub async fn validators(
    State(node): State<Node>,
    Params(query): Params<ValidatorQuery>,
) -> Result<Json<api::Page<api::ValidatorInfo>>, Refusal> {
    let limit = limited("limit", query.limit, ITEMS_MAX, ITEMS_MAX)?;
    let after = cursor(query.cursor.as_deref(), |text| text.parse::<Address>().ok())?;
    let text = query.text.map(|t| t.to_lowercase());
    node.blocking(move |node| {
        let state = node.store().state()?;
        let set = ledger::validators(&state)?;
        let total = set.total_power().max(1);
        let assigned = match &query.source {
            Some(source) => {
                let epoch = ledger::current_epoch(&state)?;
                Some(ledger::assigned(&state, source, epoch)?)
            }
            None => None,
        };
        let mut items = Vec::new();
        let mut more = false;
        for validator in set.iter().filter(|v| after.is_none_or(|a| v.address > a)) {
            let address = validator.address.to_string();
            let named = text.as_ref().is_none_or(|t| {
                validator.name.to_lowercase().contains(t.as_str()) || address.to_lowercase().contains(t.as_str())
            });
            let collects = assigned.as_ref().is_none_or(|a| a.iter().any(|v| v.address == validator.address));
            if !named || !collects {
                continue;
            }
            if items.len() == limit {
                more = true;
                break;
            }
            let record = ledger::validator_record(&state, &validator.address)?;
            let (recent, signed_recent, proposed, last_signed_height) = node.index().signatures(&validator.address);
            items.push(api::ValidatorInfo {
                address,
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
        let next = items.last().filter(|_| more).map(|v: &api::ValidatorInfo| v.address.clone());
        Ok(Json(api::Page { items, next }))
    })
    .await
}

/// Balance and nonce of an account. One that never received anything has neither, which is an answer too.
#[utoipa::path(get, path = "/v1/accounts/{address}", tag = "ledger", params(("address" = String, Path, description = "0x and 40 hexadecimal digits")), responses((status = 200, body = api::AccountInfo), (status = 400, body = api::ErrorBody)))]
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
    text.parse().map_err(|e| {
        Refusal::bad("bad_address", format!("{text:.60}: {e}"), "an address is 0x and 40 hexadecimal digits")
    })
}
