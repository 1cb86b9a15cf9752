//! SQL over HTTP.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::QUERY_ID_BYTES_MAX;
use openmesh_pythia::{Limits, Query};

use crate::error::Refusal;
use crate::http::request::Body;
use crate::node::Node;

/// One read-only query.
#[utoipa::path(post, path = api::path::SQL, tag = "sql", request_body = api::SqlRequest, responses((status = 200, body = api::SqlResponse), (status = 400, body = api::ErrorBody), (status = 408, description = "Stopped when its time was over"), (status = 409, description = "A query of this id runs already"), (status = 413, description = "The body or the query is too long"), (status = 415, description = "The body is not JSON"), (status = 429, body = api::ErrorBody)))]
pub async fn query(
    State(node): State<Node>,
    Body(request): Body<api::SqlRequest>,
) -> Result<Json<api::SqlResponse>, Refusal> {
    let id = match request.query_id {
        Some(id) if id.is_empty() || id.len() > QUERY_ID_BYTES_MAX => {
            let hint = format!("1 to {QUERY_ID_BYTES_MAX} bytes, or leave it away");
            return Err(Refusal::new(ErrorCode::BadQueryId, format!("query_id has {} bytes", id.len()), hint));
        }
        Some(id) => id,
        None => random_id()?,
    };
    let run = node.running().begin(&id).ok_or_else(|| {
        let hint = "choose another query_id, or leave it away";
        Refusal::new(ErrorCode::QueryIdTaken, format!("a query {id:?} runs already"), hint)
    })?;
    let limits =
        Limits { time_ms_max: request.timeout_ms, rows_max: request.limit.map(|l| l as usize), result_bytes_max: None };
    // Before the query looks at them: what comes in meanwhile is no fault.
    let tables = node.tables();
    let result = node.deps().pythia.query(Query { sql: request.sql, limits, cancel: run.token() }).await?;
    let columns = result
        .columns
        .into_iter()
        .map(|c| api::SqlColumn { name: c.name, kind: c.kind.to_uppercase(), description: None })
        .collect();
    Ok(Json(api::SqlResponse {
        query_id: id,
        origin: node.origin(),
        columns,
        rows: result.rows,
        truncated: result.truncated,
        tables,
        elapsed_ms: result.elapsed_ms,
    }))
}

/// Stops a query that runs.
#[utoipa::path(delete, path = api::path::SQL_QUERY, tag = "sql", params(("query_id" = String, Path)), responses((status = 204), (status = 404, body = api::ErrorBody)))]
pub async fn cancel(State(node): State<Node>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    if node.running().cancel(&id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal::new(ErrorCode::UnknownQuery, format!("no query {id:.64} runs here"), "it may have ended already"))
}

/// All tables with their columns, and a query to begin with.
#[utoipa::path(get, path = api::path::CATALOGUE, tag = "sql", responses((status = 200, body = api::Catalogue)))]
pub async fn catalogue(State(node): State<Node>) -> Json<api::Catalogue> {
    let tables = node
        .deps()
        .pythia
        .catalogue()
        .into_iter()
        .map(|table| api::TableInfo {
            name: table.name,
            description: table.about,
            columns: table
                .columns
                .into_iter()
                .map(|c| api::SqlColumn { name: c.name, kind: c.kind.to_uppercase(), description: Some(c.about) })
                .collect(),
            example: table.example,
        })
        .collect();
    Json(api::Catalogue { origin: node.origin(), tables })
}

fn random_id() -> Result<String, Refusal> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|e| Refusal::internal("naming the query", &std::io::Error::other(e.to_string())))?;
    Ok(hex::encode(bytes))
}
