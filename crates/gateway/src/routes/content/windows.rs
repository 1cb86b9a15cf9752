//! One window of a source.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_ledger as ledger;

use crate::error::Refusal;
use crate::http::request;
use crate::node::Node;
use crate::reads::windows::{abstentions, source_of_windows};
use crate::views;

/// A window of a source, as long as it stands in the state.
#[utoipa::path(get, path = api::path::WINDOW, tag = "data", params(("id" = String, Path, description = "Of the source"), ("window" = u64, Path, description = "Number of the window")), responses((status = 200, body = api::WindowInfo), (status = 404, body = api::ErrorBody)))]
pub async fn window(
    State(node): State<Node>,
    Path((id, window)): Path<(String, String)>,
) -> Result<Json<api::WindowInfo>, Refusal> {
    let window = request::number(&window)?;
    node.read(move |node| {
        let state = node.store().state()?;
        let spec = source_of_windows(&state, &id)?.spec;
        let record = ledger::window(&state, &id, window)?.ok_or_else(|| {
            let message = format!("window {window} of {id} does not stand in the state");
            let hint =
                "nobody attested it, or it is some epochs old: the table ledger_chunks has the chunks of all windows";
            Refusal::new(ErrorCode::UnknownWindow, message, hint)
        })?;
        let abstentions = abstentions(&state, &id, window, &record)?;
        Ok(Json(views::windows::info(&spec, window, &record, &abstentions)))
    })
    .await
}
