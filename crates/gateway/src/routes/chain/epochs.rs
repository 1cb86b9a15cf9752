//! Epochs: the current one, and those that were closed, of which the root over their facts stays for ever.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_ledger::{self as ledger, ClosedEpoch, keys};
use openmesh_primitives::canonical;
use openmesh_storage::StateView;

use crate::error::Refusal;
use crate::http::request::{self, Params, cursor};
use crate::node::Node;
use crate::views;

/// Epochs, newest first.
#[utoipa::path(get, path = api::path::EPOCHS, tag = "ledger", params(api::EpochQuery), responses((status = 200, body = api::Page<api::EpochInfo>)))]
pub async fn epochs(
    State(node): State<Node>,
    Params(query): Params<api::EpochQuery>,
) -> Result<Json<api::Page<api::EpochInfo>>, Refusal> {
    let limit = request::limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), |text| text.parse::<u64>().ok())?;
    node.scan(move |node, budget| {
        let state = node.store().state()?;
        let current = ledger::current_epoch_record(&state)?;
        let mut items = Vec::new();
        if before.is_none_or(|before| before > current.number) {
            items.push(views::epochs::current(&current, ledger::fact_peaks(&state)?.size()));
        }
        let end = before.map(keys::closed_epoch);
        let wanted = limit.saturating_sub(items.len());
        for (key, value) in state.scan_back(keys::CLOSED_EPOCHS, end.as_deref(), wanted)? {
            if !budget.take() {
                break;
            }
            let closed: ClosedEpoch =
                canonical::decode(&value).map_err(|e| Refusal::internal("reading an epoch", &e))?;
            // The number is what its key ends with, as that of a window.
            let number = keys::window_number(&key).unwrap_or_default();
            items.push(closed_info(&node, number, &closed)?);
        }
        let next = items.last().map(|last| last.number).filter(|last| *last > 0);
        Ok(Json(api::Page { items, next: next.map(|last| last.to_string()) }))
    })
    .await
}

/// One epoch, with its draw as long as that stands in the state.
#[utoipa::path(get, path = api::path::EPOCH, tag = "ledger", params(("number" = u64, Path, description = "From 0 on")), responses((status = 200, body = api::EpochDetail), (status = 404, body = api::ErrorBody)))]
pub async fn epoch(State(node): State<Node>, Path(number): Path<String>) -> Result<Json<api::EpochDetail>, Refusal> {
    let number = request::number(&number)?;
    node.read(move |node| {
        let state = node.store().state()?;
        let current = ledger::current_epoch_record(&state)?;
        let summary = if number == current.number {
            views::epochs::current(&current, ledger::fact_peaks(&state)?.size())
        } else {
            let closed = ledger::closed_epoch(&state, number)?.ok_or_else(|| {
                let message = format!("there is no epoch {number} yet");
                Refusal::new(ErrorCode::UnknownEpoch, message, format!("the current one is {}", current.number))
            })?;
            closed_info(&node, number, &closed)?
        };
        let draw = ledger::epoch(&state, number)?;
        let assignments = if draw.is_some() { assignments(&state, number)? } else { Vec::new() };
        Ok(Json(api::EpochDetail {
            summary,
            seed: draw.as_ref().map(|draw| draw.seed.to_string()),
            drawn_height: draw.as_ref().map(|draw| draw.drawn_height),
            assignments,
        }))
    })
    .await
}

fn closed_info(node: &Node, number: u64, closed: &ClosedEpoch) -> Result<api::EpochInfo, Refusal> {
    let first = node.store().block(closed.first_height)?;
    Ok(views::epochs::closed(number, closed, first.map(|first| first.block.header.time)))
}

/// The validators of each source that was collected in an epoch, as far as it is registered now.
fn assignments(state: &StateView, number: u64) -> Result<Vec<api::EpochAssignment>, Refusal> {
    let active = ledger::sources(state)?.into_iter().filter(|record| record.is_active(number));
    let assigned = active.map(|record| {
        let source = record.spec.id;
        let drawn = ledger::assigned(state, &source, number)?;
        let validators = drawn.iter().map(|validator| validator.address.to_string()).collect();
        Ok(api::EpochAssignment { source, validators })
    });
    assigned.collect()
}
