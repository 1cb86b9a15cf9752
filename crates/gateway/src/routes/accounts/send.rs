//! Sending transactions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::TRANSACTIONS_BATCH_MAX;
use openmesh_engine::Submission;
use openmesh_ledger::{
    self as ledger, AccountTransaction, Action, FeeOffer, FieldError, FieldInput, Fields, Transaction, estimate_fee,
};
use openmesh_primitives::eip712::Value;
use openmesh_primitives::{AccountSignature, Amount, Digest, canonical};

use crate::error::Refusal;
use crate::http::request::{self, Body, Octets};
use crate::node::Node;
use crate::views::{self, words};

/// Hands a signed transaction to the mempool.
#[utoipa::path(post, path = api::path::TRANSACTIONS, tag = "transactions", request_body = api::TransactionRequest, responses((status = 202, body = api::TransactionAccepted), (status = 400, body = api::ErrorBody)))]
pub async fn send(
    State(node): State<Node>,
    Body(request): Body<api::TransactionRequest>,
) -> Result<(StatusCode, Json<api::TransactionAccepted>), Refusal> {
    let transaction: Submission = match request {
        api::TransactionRequest::Bytes { bytes } => hex::decode(bytes.trim_start_matches("0x"))
            .map(Submission::Bytes)
            .map_err(|e| Refusal::new(ErrorCode::BadBytes, format!("bytes: {e}"), "hexadecimal is expected"))?,
        api::TransactionRequest::Parts { action, nonce, max_fee, tip, signature } => {
            let signature: AccountSignature = signature.parse().map_err(|e| {
                Refusal::new(ErrorCode::BadSignature, format!("signature: {e}"), "65 bytes in hexadecimal are expected")
            })?;
            let offer = FeeOffer::new(amount("max_fee", &max_fee)?, amount("tip", &tip)?);
            let action = parse_action(action)?;
            let transaction = AccountTransaction::with_signature(node.chain_id(), nonce, offer, action, signature);
            Transaction::Account(transaction).into()
        }
    };
    let hash = node.submit(transaction).await?;
    Ok((StatusCode::ACCEPTED, Json(api::TransactionAccepted { hash: hash.to_string() })))
}

/// Hands several signed transactions to the mempool, in their order: the canonical bytes of a list of the canonical bytes of each. One that is refused holds up no other.
#[utoipa::path(post, path = api::path::TRANSACTIONS_BATCH, tag = "transactions", request_body(content = Vec<u8>, description = "Borsh of Vec<Vec<u8>>: a count and each length as four bytes, little-endian", content_type = "application/octet-stream"), responses((status = 200, body = api::BatchOutcomes), (status = 400, body = api::ErrorBody), (status = 415, description = "The body is not said to be bytes", body = api::ErrorBody)))]
pub async fn send_batch(State(node): State<Node>, Octets(body): Octets) -> Result<Json<api::BatchOutcomes>, Refusal> {
    let refused = |why: String| {
        let hint = format!("1 to {TRANSACTIONS_BATCH_MAX} transactions as Borsh of Vec<Vec<u8>> are expected");
        Refusal::new(ErrorCode::BadBatch, why, hint)
    };
    let batch: Vec<Vec<u8>> = canonical::decode(&body).map_err(|error| refused(error.to_string()))?;
    if !(1..=TRANSACTIONS_BATCH_MAX).contains(&batch.len()) {
        return Err(refused(format!("the batch has {} transactions", batch.len())));
    }
    let told = |outcome: Result<Digest, Refusal>| match outcome {
        Ok(hash) => api::BatchOutcome { hash: Some(hash.to_string()), error: None },
        Err(refusal) => api::BatchOutcome { hash: None, error: Some(refusal.into()) },
    };
    let outcomes = node.submit_all(batch).await?.into_iter().map(told).collect();
    Ok(Json(api::BatchOutcomes { outcomes }))
}

/// The typed data (EIP-712) of an action, to be signed by a wallet.
#[utoipa::path(post, path = api::path::TYPED_DATA, tag = "transactions", request_body = api::TypedDataRequest, responses((status = 200, body = api::TypedDataResponse), (status = 400, body = api::ErrorBody)))]
pub async fn typed_data(
    State(node): State<Node>,
    Body(request): Body<api::TypedDataRequest>,
) -> Result<Json<api::TypedDataResponse>, Refusal> {
    let from = request::address(&request.from)?;
    let action = parse_action(request.action)?;
    let max_fee = request.max_fee.map(|f| amount("max_fee", &f)).transpose()?;
    let tip = request.tip.map(|t| amount("tip", &t)).transpose()?;
    node.read(move |node| {
        let state = node.store().state()?;
        let estimate = estimate_fee(&action, ledger::base_fee(&state)?, &ledger::params(&state)?);
        let max_fee = max_fee.unwrap_or(estimate.max_fee);
        // An estimated tip stays a part of what was asked for.
        let offer = FeeOffer::new(max_fee, tip.unwrap_or(estimate.tip.min(max_fee)));
        let nonce = ledger::account(&state, &from)?.nonce;
        let typed_data = typed_json(&action, node.chain_id(), nonce, offer);
        let (max_fee, tip) = (offer.max_fee.to_string(), offer.tip.to_string());
        Ok(Json(api::TypedDataResponse { nonce, max_fee, tip, typed_data }))
    })
    .await
}

/// The fees of an action, if it is in the next block.
#[utoipa::path(post, path = api::path::ESTIMATE, tag = "transactions", request_body = api::EstimateRequest, responses((status = 200, body = api::EstimateInfo), (status = 400, body = api::ErrorBody)))]
pub async fn estimate(
    State(node): State<Node>,
    Body(request): Body<api::EstimateRequest>,
) -> Result<Json<api::EstimateInfo>, Refusal> {
    let action = parse_action(request.action)?;
    node.read(move |node| {
        let state = node.store().state()?;
        let estimate = estimate_fee(&action, ledger::base_fee(&state)?, &ledger::params(&state)?);
        Ok(Json(views::supply::estimate(&estimate, action.spends())))
    })
    .await
}

/// The argument of `eth_signTypedData_v4`. Source: EIP-712.
fn typed_json(action: &Action, chain_id: u64, nonce: u64, offer: FeeOffer) -> serde_json::Value {
    let message = action.typed_message(nonce, offer);
    let (name, version) = ledger::TypedMessage::domain();
    let fields: Vec<serde_json::Value> =
        message.fields.iter().map(|f| serde_json::json!({ "name": f.name, "type": f.kind })).collect();
    let values: serde_json::Map<String, serde_json::Value> =
        message.fields.iter().map(|f| (f.name.to_string(), json_value(&f.value))).collect();
    serde_json::json!({
        "domain": { "name": name, "version": version, "chainId": chain_id },
        "primaryType": message.primary_type,
        "types": {
            "EIP712Domain": [
                { "name": "name", "type": "string" },
                { "name": "version", "type": "string" },
                { "name": "chainId", "type": "uint256" },
            ],
            message.primary_type: fields,
        },
        "message": values,
    })
}

fn json_value(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Text(text) => (*text).into(),
        Value::Address(address) => address.to_string().into(),
        Value::Uint(number) => number.to_string().into(),
        Value::Bytes32(bytes) => format!("0x{}", hex::encode(bytes)).into(),
        Value::Texts(texts) => texts.to_vec().into(),
    }
}

/// Declared actions with their fields, from which forms and command lines are made.
#[utoipa::path(get, path = api::path::ACTIONS, tag = "transactions", responses((status = 200, body = Vec<api::ActionInfo>)))]
pub async fn actions(State(node): State<Node>) -> Result<Json<Vec<api::ActionInfo>>, Refusal> {
    node.read(|node| {
        let state = node.store().state()?;
        let (params, base_fee) = (ledger::params(&state)?, ledger::base_fee(&state)?);
        let version = ledger::rules_in_force(&state)?.version;
        let sets = node.deps().engine.rule_sets();
        let in_force = Action::descriptors().into_iter().filter(|action| sets.has_action(version, action.tag));
        Ok(Json(in_force.map(|action| words::action_info(action, &params, base_fee)).collect()))
    })
    .await
}

fn parse_action(request: api::ActionRequest) -> Result<Action, Refusal> {
    let input = |value| match value {
        api::FieldValue::Number(number) => FieldInput::Number(number),
        api::FieldValue::Text(text) => FieldInput::Text(text),
        api::FieldValue::Texts(texts) => FieldInput::Texts(texts),
    };
    let fields = request.fields.into_iter().map(|(name, value)| (name, input(value))).collect();
    Action::from_fields(&request.kind, Fields::new(fields)).map_err(|error| {
        let code = if matches!(error, FieldError::Hash { .. }) { ErrorCode::BadHash } else { ErrorCode::BadAction };
        Refusal::new(code, error.to_string(), "the actions and their fields are in /v1/actions")
    })
}

fn amount(field: &str, text: &str) -> Result<Amount, Refusal> {
    text.parse().map_err(|e| {
        Refusal::new(ErrorCode::BadAmount, format!("{field}: {e}"), "a whole number of 10^-18 OPEN, as text")
    })
}
