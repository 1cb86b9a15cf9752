//! Agreement of the validators: the last windows of the sources as a matrix, read from the ledger's state.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::{AGREEMENT_WINDOWS_DEFAULT, AGREEMENT_WINDOWS_MAX};
use openmesh_ledger as ledger;
use openmesh_primitives::Address;

use crate::error::Refusal;
use crate::http::request::{Params, limited};
use crate::node::Node;
use crate::reads::windows;
use crate::views;
use crate::work::SCAN_ROWS_MAX;

/// The last windows of each source: agreed, disputed or missing, and how each validator stood to them.
#[utoipa::path(get, path = api::path::AGREEMENT, tag = "data", params(api::AgreementQuery), responses((status = 200, body = api::AgreementMatrix), (status = 404, body = api::ErrorBody)))]
pub async fn agreement(
    State(node): State<Node>,
    Params(query): Params<api::AgreementQuery>,
) -> Result<Json<api::AgreementMatrix>, Refusal> {
    let count = limited("windows", query.windows, AGREEMENT_WINDOWS_DEFAULT, AGREEMENT_WINDOWS_MAX)?;
    if query.before.is_some() && query.source.is_none() {
        return Err(Refusal::new(
            ErrorCode::NoSource,
            "before names a window, and each source has windows of its own",
            "name the source too",
        ));
    }
    node.scan(move |node, _| {
        let state = node.store().state()?;
        let records = match &query.source {
            Some(id) => vec![windows::source_of_windows(&state, id)?],
            None => ledger::sources(&state)?,
        };
        if records.len().saturating_mul(count) > SCAN_ROWS_MAX {
            let message = format!("{count} windows of each of {} sources are too many for one answer", records.len());
            return Err(Refusal::new(ErrorCode::BadLimit, message, "name a source, or ask for fewer windows"));
        }
        let rows = records
            .into_iter()
            .map(|record| windows::shown(&state, record, query.before, count))
            .collect::<Result<Vec<_>, Refusal>>()?;
        let names = windows::names(&state, rows.iter().flat_map(|shown| shown.windows.values()))?;
        let addresses: Vec<Address> = names.keys().copied().collect();
        let sources = rows.iter().map(|shown| views::agreement::row(shown, &addresses, count)).collect();
        let validators = names
            .into_iter()
            .map(|(address, name)| api::AgreementValidator { address: address.to_string(), name })
            .collect();
        Ok(Json(api::AgreementMatrix { height: state.tip().height, validators, sources }))
    })
    .await
}
