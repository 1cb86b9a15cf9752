//! SQL over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use openmesh_api as api;
use openmesh_pythia::{Limits, Query, QueryError};
use tokio_util::sync::CancellationToken;

use crate::error::Refusal;
use crate::node::Node;
use crate::page::Body;

/// Longest id that a client may give its query, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Queries that run, so that they can be cancelled by id.
#[derive(Default)]
pub struct Running(Mutex<BTreeMap<String, CancellationToken>>);

impl Running {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, CancellationToken>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes the query off the list and stops it, also where the client went away and the handler was dropped.
struct Entry {
    node: Node,
    id: String,
    cancel: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.node.running().with(|all| all.remove(&self.id));
    }
}

/// One read-only query.
#[utoipa::path(post, path = "/v1/sql", tag = "sql", request_body = api::SqlRequest, responses((status = 200, body = api::SqlResponse), (status = 400, body = api::ErrorBody), (status = 408, description = "Stopped when its time was over"), (status = 409, description = "A query of this id runs already"), (status = 413, description = "The body or the query is too long"), (status = 415, description = "The body is not JSON"), (status = 429, body = api::ErrorBody)))]
pub async fn query(
    State(node): State<Node>,
    Body(request): Body<api::SqlRequest>,
) -> Result<Json<api::SqlResponse>, Refusal> {
    let id = match request.query_id {
        Some(id) if id.is_empty() || id.len() > ID_BYTES_MAX => {
            let hint = format!("1 to {ID_BYTES_MAX} bytes, or leave it away");
            return Err(Refusal::bad("bad_query_id", format!("query_id has {} bytes", id.len()), hint));
        }
        Some(id) => id,
        None => random_id()?,
    };
    let cancel = CancellationToken::new();
    let taken = node.running().with(|all| match all.entry(id.clone()) {
        std::collections::btree_map::Entry::Occupied(_) => true,
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert(cancel.clone());
            false
        }
    });
    if taken {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "query_id_taken",
            format!("a query {id:?} runs already"),
            "choose another query_id, or leave it away",
        ));
    }
    let _entry = Entry { node: node.clone(), id: id.clone(), cancel: cancel.clone() };
    let limits =
        Limits { time_ms_max: request.timeout_ms, rows_max: request.limit.map(|l| l as usize), result_bytes_max: None };
    // Before the query looks at them: what comes in meanwhile is no fault.
    let tables = node.tables();
    let result = node.pythia().query(Query { sql: request.sql, limits, cancel }).await.map_err(refuse)?;
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
#[utoipa::path(delete, path = "/v1/sql/{query_id}", tag = "sql", params(("query_id" = String, Path)), responses((status = 204), (status = 404, body = api::ErrorBody)))]
pub async fn cancel(State(node): State<Node>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    match node.running().with(|all| all.get(&id).cloned()) {
        Some(token) => {
            token.cancel();
            Ok(StatusCode::NO_CONTENT)
        }
        None => Err(Refusal::not_found(
            "unknown_query",
            format!("no query {id:.64} runs here"),
            "it may have ended already",
        )),
    }
}

/// All tables with their columns, and a query to begin with.
#[utoipa::path(get, path = "/v1/catalogue", tag = "sql", responses((status = 200, body = api::Catalogue)))]
pub async fn catalogue(State(node): State<Node>) -> Json<api::Catalogue> {
    let tables = node
        .pythia()
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

/// A query's error as an answer.
pub fn refuse(error: QueryError) -> Refusal {
    let status = match &error {
        QueryError::TooManyQueries { .. } => StatusCode::TOO_MANY_REQUESTS,
        QueryError::TimedOut { .. } => StatusCode::REQUEST_TIMEOUT,
        QueryError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        QueryError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let hint = error.hint().unwrap_or_else(|| "/v1/catalogue describes all tables, with a query for each".into());
    Refusal::new(status, error.code(), error.to_string(), hint)
}

fn random_id() -> Result<String, Refusal> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|e| Refusal::internal("naming the query", &std::io::Error::other(e.to_string())))?;
    Ok(hex::encode(bytes))
}
