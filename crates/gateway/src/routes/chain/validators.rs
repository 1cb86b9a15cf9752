//! Validators.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;
use openmesh_api::limits::PAGE_ITEMS_MAX;
use openmesh_ledger::{self as ledger, Validator};
use openmesh_primitives::Address;

use crate::error::Refusal;
use crate::http::request::{Params, cursor, limited};
use crate::node::Node;
use crate::views;

/// Validators by address.
#[utoipa::path(get, path = api::path::VALIDATORS, tag = "ledger", params(api::ValidatorQuery), responses((status = 200, body = api::Page<api::ValidatorInfo>)))]
pub async fn validators(
    State(node): State<Node>,
    Params(query): Params<api::ValidatorQuery>,
) -> Result<Json<api::Page<api::ValidatorInfo>>, Refusal> {
    let limit = limited("limit", query.limit, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)?;
    let after = cursor(query.cursor.as_deref(), |text| text.parse::<Address>().ok())?;
    let text = query.text.map(|t| t.to_lowercase());
    node.read(move |node| {
        let state = node.store().state()?;
        let set = ledger::validators(&state)?;
        let total = set.total_power();
        let assigned = match &query.source {
            Some(source) => Some(ledger::assigned(&state, source, ledger::current_epoch(&state)?)?),
            None => None,
        };
        let collects = |v: &Validator| assigned.as_ref().is_none_or(|all| all.iter().any(|a| a.address == v.address));
        let behind = set.iter().filter(|v| after.is_none_or(|a| v.address > a));
        let mut wanted = behind.filter(|v| named(v, text.as_deref()) && collects(v));
        let mut items = Vec::new();
        for validator in wanted.by_ref().take(limit) {
            let record = ledger::validator_record(&state, &validator.address)?;
            let signatures = node.memory().index().signatures(&validator.address);
            items.push(views::validators::info(validator, total, record.as_ref(), signatures));
        }
        let more = wanted.next().is_some();
        let next = items.last().filter(|_| more).map(|v: &api::ValidatorInfo| v.address.clone());
        Ok(Json(api::Page { items, next }))
    })
    .await
}

/// True where the text, in small letters, is a part of the name or of the address.
fn named(validator: &Validator, text: Option<&str>) -> bool {
    text.is_none_or(|text| {
        validator.name.to_lowercase().contains(text) || validator.address.to_string().to_lowercase().contains(text)
    })
}
