//! Parts of every handler: the service, who asks for what, threads for disks, names, streams of lines.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use openmesh_access::Principal;
use openmesh_blueprint::document::{Name, NameError};
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::service::{Asked, Service};
use crate::views;

/// Pause between two readings of a log that is followed.
pub(super) const LOG_PAUSE: Duration = Duration::from_millis(200);

/// The service, as a handler gets it.
pub(crate) type Shared = State<Arc<Service>>;

impl IntoResponse for AgentError {
    fn into_response(self) -> Response {
        let (code, status) = self.code();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(views::Failure { code: code.into(), message: self.to_string() })).into_response()
    }
}

/// Does what reads disks and asks shims on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    does: impl FnOnce(&Service) -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    let service = service.clone();
    tokio::task::spawn_blocking(move || does(&service)).await.map_err(|_| AgentError::Worker)?
}

/// A name in a path or a query.
pub(crate) fn name(text: &str) -> Result<Name, AgentError> {
    text.parse().map_err(|error: NameError| AgentError::Name(error.to_string()))
}

/// Query of whatever changes something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Whoever asks, where root asks for somebody.
    #[serde(default)]
    by: Option<String>,
    /// Principal of the request, which no query can name.
    #[serde(skip)]
    pub principal: Option<Principal>,
    /// Reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// Number of the wanted generation that the caller has seen.
    #[serde(default)]
    pub expected: Option<u64>,
    /// Only the plan is wanted.
    #[serde(default)]
    pub plan: bool,
    /// Tags of a deployed document are looked up anew; else those that an application had already keep their images.
    #[serde(default)]
    pub refresh: bool,
    /// Secrets that the templates of a deployed document make, and that are not there, are made with it.
    #[serde(default)]
    pub make_secrets: bool,
    /// Version of its template to which an application is brought.
    #[serde(default)]
    pub version: Option<String>,
    /// Fate of the data of an application that is removed.
    #[serde(default)]
    pub data: Option<String>,
    /// The one instance of an application that is meant, by name or number.
    #[serde(default)]
    pub instance: Option<String>,
    /// Lines of data to which a roll back returns, as `APPLICATION/VOLUME:NUMBER` with commas between them.
    #[serde(default)]
    pub lines: Option<String>,
}

impl Change {
    /// The change that is asked for; `what` is its reason where none was given. Root alone may ask in another name.
    pub fn asked(&self, what: &str) -> Asked {
        let by = match &self.principal {
            Some(root) if root.is_root() => self.by.clone().unwrap_or_else(|| root.to_string()),
            Some(principal) => principal.to_string(),
            None => "somebody".into(),
        };
        Asked { by, reason: self.reason.clone().unwrap_or_else(|| what.into()), expected: self.expected }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Change {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Change, Response> {
        let query = Query::<Change>::from_request_parts(parts, state).await;
        let Query(change) = query.map_err(IntoResponse::into_response)?;
        Ok(Change { principal: parts.extensions.get::<Principal>().cloned(), ..change })
    }
}

/// One JSON value a line.
pub(super) fn lines<T: Serialize + Send + 'static>(values: impl Stream<Item = T> + Send + 'static) -> Response {
    let bytes = values.map(|value| {
        let mut line = serde_json::to_vec(&value).unwrap_or_default();
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(bytes)).into_response()
}
