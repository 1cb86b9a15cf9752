//! Documents in the forms of others: as flakes of NixOS.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use openmesh_xnode::marks;
use serde::Deserialize;

use super::common::{Shared, blocking};
use crate::error::AgentError;
use crate::export::{self, NixosExport};
use crate::service::Service;

/// The routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/export/nixos", get(nixos))
}

/// Query of an export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wished {
    /// Number of the generation; the wanted one without it.
    #[serde(default)]
    generation: Option<u64>,
}

async fn nixos(State(service): Shared, Query(wished): Query<Wished>) -> Result<Json<NixosExport>, AgentError> {
    let made = blocking(&service, move |service| {
        let number = wished.generation.map_or_else(|| service.wanted(), Ok)?;
        let document = service.document(number)?;
        let portable = marks::generation(&service.agent().machine().paths, number)?.portable.hash();
        export::nixos(&document, Some((number, portable)), None)
    });
    Ok(Json(made.await?))
}
