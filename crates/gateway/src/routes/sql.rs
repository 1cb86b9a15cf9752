//! SQL over HTTP.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, future, stream};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::QUERY_ID_BYTES_MAX;
use openmesh_pythia::{Export, Format, Limits, Query};

use crate::error::Refusal;
use crate::http::request::{Body, Params};
use crate::lanes::Pass;
use crate::node::Node;
use crate::peer;
use crate::running::Run;

/// One read-only query. As a file it may have a million rows, and columns of the same name are numbered.
#[utoipa::path(post, path = api::path::SQL, tag = "sql", params(api::SqlQuery), request_body = api::SqlRequest, responses((status = 200, content((api::SqlResponse = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"))), (status = 400, body = api::ErrorBody), (status = 408, description = "Stopped when its time was over"), (status = 409, description = "A query of this id runs already"), (status = 413, description = "The body or the query is too long"), (status = 415, description = "The body is not JSON"), (status = 429, body = api::ErrorBody)))]
pub async fn query(
    State(node): State<Node>,
    Params(api::SqlQuery { format }): Params<api::SqlQuery>,
    Body(request): Body<api::SqlRequest>,
) -> Result<Response, Refusal> {
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
    let query = Query { sql: request.sql, limits, cancel: run.token() };
    let format = match format {
        api::SqlFormat::Json => return answer(&node, id, query).await.map(IntoResponse::into_response),
        api::SqlFormat::Csv => Format::Csv,
        api::SqlFormat::Ndjson => Format::JsonLines,
        api::SqlFormat::Parquet => Format::Parquet,
    };
    let mut pass = node.queries().enter(peer::current()).await?;
    let export = tokio::select! {
        export = node.deps().pythia.export(query, format) => export?,
        busy = pass.overdue() => return Err(busy),
    };
    export_file(export, run, pass, format, request.limit.is_some()).await
}

async fn answer(node: &Node, id: String, query: Query) -> Result<Json<api::SqlResponse>, Refusal> {
    // Before the query looks at them: what comes in meanwhile is no fault.
    let tables = node.tables();
    let mut pass = node.queries().enter(peer::current()).await?;
    let (begun, is_quick) = (Instant::now(), pass.is_quick());
    let result = tokio::select! {
        result = node.deps().pythia.query_among_many(query, is_quick) => result?,
        busy = pass.overdue() => return Err(busy),
    };
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
        elapsed_ms: begun.elapsed().as_millis() as u64,
    }))
}

/// A file that comes piece by piece. Its first piece is awaited, so that a query that fails at once is refused and not a broken
/// file. What fails later, or is cut off by a limit that nobody asked for, breaks the connection: no file looks whole that is not.
async fn export_file(
    mut export: Export,
    run: Run,
    mut pass: Pass,
    format: Format,
    limited: bool,
) -> Result<Response, Refusal> {
    let first = tokio::select! {
        first = export.next() => first?.unwrap_or_default(),
        busy = pass.overdue() => return Err(busy),
    };
    let rest = stream::try_unfold((export, run, pass), move |(mut export, run, mut pass)| async move {
        let next = tokio::select! {
            next = export.next() => next,
            _ = pass.overdue() => return Err(std::io::Error::other("this node has no place for another long query")),
        };
        match next {
            Ok(Some(piece)) => Ok(Some((Bytes::from(piece), (export, run, pass)))),
            Ok(None) if export.is_too_large() || (export.truncated() && !limited) => {
                Err(std::io::Error::other("the file is cut off by a limit of this node"))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(std::io::Error::other(error)),
        }
    });
    let pieces = stream::once(future::ok(Bytes::from(first))).chain(rest);
    let name = format!("attachment; filename=\"query.{}\"", format.extension());
    let headers = [(CONTENT_TYPE, format.media_type().to_string()), (CONTENT_DISPOSITION, name)];
    Ok((headers, axum::body::Body::from_stream(pieces)).into_response())
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
