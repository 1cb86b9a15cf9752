//! Refusals: one shape for every answer that is not a success.
//!
//! A hint is an argument, not an option, so that nobody can refuse without saying what to do instead.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use openmesh_api::{ApiError, ErrorBody};
use openmesh_ledger::StateError;
use openmesh_storage::StoreError;

/// Seconds after which a refused request may be worth another try, where this node is busy or not ready.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An answer that is not a success: what was wrong, where, and what to do.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
}

impl Refusal {
    /// A refusal with a stable word, a sentence, and what to do.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), hint: hint.into() }
    }

    /// The request is malformed.
    pub fn bad(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code, message, hint)
    }

    /// What was asked for does not exist.
    pub fn not_found(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, code, message, hint)
    }

    /// This node cannot answer now.
    pub fn unavailable(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message, hint)
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
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("{what} failed on this node"),
            "ask another node; the operator finds the reason in this node's log",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = ApiError { code: self.code.into(), message: self.message, hint: Some(self.hint) };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
        }
        response
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
