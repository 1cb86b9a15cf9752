//! Refusals: one shape for every answer that is not a success.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use openmesh_api::{ApiError, ErrorBody};
use openmesh_ledger::StateError;
use openmesh_storage::StoreError;

/// An answer that is not a success: what was wrong, where, and what to do.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Refusal {
    /// A refusal with a stable word and a sentence.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), hint: None }
    }

    /// The request is malformed.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// What was asked for does not exist.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, code, message)
    }

    /// This node cannot answer now.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// A fault of this node: logged here, where it is consumed; the asker learns only that there is one.
    pub fn internal(what: &'static str, error: &dyn std::error::Error) -> Refusal {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            chain = format!("{chain}: {next}");
            cause = next.source();
        }
        tracing::error!(what, error = chain, "a request failed through this node's fault");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("{what} failed on this node"))
            .hint("ask another node; the operator finds the reason in this node's log")
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = ApiError { code: self.code.into(), message: self.message, hint: self.hint };
        (self.status, Json(ErrorBody { error })).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::internal("reading the ledger", &error)
    }
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Refusal {
        Refusal::internal("reading the ledger's state", &error)
    }
}
