//! Refusals: one shape for every answer that is not a success.
//!
//! The code decides the HTTP status (crate `api`), so that one word never means two things. A hint is an argument, not an
//! option, so that nobody can refuse without saying what to do instead.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use openmesh_api::{ApiError, ErrorBody, ErrorCode, Retry};
use openmesh_engine::{PoolError, SubmitError};
use openmesh_ledger::{
    AccountsError, EnvelopeError, SourcesError, StampsError, StateError, TransactionError, UpgradesError,
};
use openmesh_primitives::report;
use openmesh_pythia::QueryError;
use openmesh_storage::StoreError;

use crate::rpc::{self, Fault, INTERNAL, INVALID_INPUT, INVALID_REQUEST, LIMIT_EXCEEDED, RESOURCE_UNAVAILABLE};

/// Seconds after which a refused request may be worth another try, where this node is busy or not ready.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An answer that is not a success: what was wrong, where, and what to do.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    hint: String,
    ledger_code: Option<&'static str>,
}

impl Refusal {
    /// A refusal with the code's own status.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal { status, code, message: message.into(), hint: hint.into(), ledger_code: None }
    }

    /// The same with another status: of the framework's refusals the status says more than the code.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Refusal {
        Refusal { status, ..self }
    }

    /// Returns true where there is no such thing here.
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// Code of the refusal.
    #[cfg(test)]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The same as an answer of JSON-RPC to a body that nobody read, with the status that says so. Clause 5 of `docs/spec/rpc.md`.
    pub fn into_rpc(self) -> Response {
        let (status, again) = (self.status, self.again());
        with_again(rpc::refused(status, self.into()), again)
    }

    /// True where the same request may be sent again in a moment.
    fn again(&self) -> bool {
        let busy = matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        busy && self.code.retry() == Retry::Later
    }

    /// A fault of this node: logged here, where it is consumed; the asker learns only that there is one.
    pub fn internal(what: &'static str, error: &dyn std::error::Error) -> Refusal {
        tracing::error!(what, error = report(error), "a request failed through this node's fault");
        let hint = "ask another node; the operator finds the reason in this node's log";
        Refusal::new(ErrorCode::Internal, format!("{what} failed on this node"), hint)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (again, status) = (self.again(), self.status);
        with_again((status, Json(ErrorBody { error: self.into() })).into_response(), again)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        ApiError {
            code: refusal.code,
            message: refusal.message,
            hint: Some(refusal.hint),
            ledger_code: refusal.ledger_code.map(ToString::to_string),
        }
    }
}

/// Says when to ask again, where that may help.
fn with_again(mut response: Response, again: bool) -> Response {
    if again {
        response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    }
    response
}

impl From<Refusal> for Fault {
    /// The same in the words of JSON-RPC. Clause 7 of `docs/spec/rpc.md`.
    fn from(refusal: Refusal) -> Fault {
        let code = match refusal.code {
            ErrorCode::Internal => INTERNAL,
            ErrorCode::Busy => LIMIT_EXCEEDED,
            ErrorCode::BodyTooLarge | ErrorCode::BodyTooSlow | ErrorCode::NotJson => INVALID_REQUEST,
            _ if refusal.code.retry() == Retry::Never => INVALID_INPUT,
            _ => RESOURCE_UNAVAILABLE,
        };
        Fault::new(code, refusal.message, refusal.hint)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::internal("reading the ledger", &error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Refusal::from(error).into()
    }
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Fault {
        Refusal::from(error).into()
    }
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Refusal {
        Refusal::internal("reading the ledger's state", &error)
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Refusal {
        let code = ErrorCode::of(error.code()).unwrap_or(ErrorCode::InvalidQuery);
        let hint = error.hint().unwrap_or_else(|| "/v1/catalogue describes all tables, with a query for each".into());
        Refusal::new(code, error.to_string(), hint)
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Refusal {
        match error {
            SubmitError::Refused(error) => Refusal {
                status: StatusCode::BAD_REQUEST,
                ledger_code: Some(error.code()),
                ..Refusal::new(transaction_code(&error), error.to_string(), transaction_hint(&error))
            },
            SubmitError::Pool(error) => Refusal::new(ErrorCode::Mempool, error.to_string(), pool_hint(&error)),
            SubmitError::Busy => Refusal::new(ErrorCode::Busy, error.to_string(), "try again in a moment"),
            SubmitError::State(error) => error.into(),
            SubmitError::Stopped => Refusal::new(ErrorCode::Stopping, "this node is stopping", "ask another node"),
        }
    }
}

/// The ledger's word where the contract has it. Rules of attestations and evidence have words of their own that no client of
/// this API meets; they and those of newer modules are one code, and the message names the rule.
fn transaction_code(error: &TransactionError) -> ErrorCode {
    ErrorCode::of(error.code()).unwrap_or(ErrorCode::TransactionRefused)
}

/// Advice to whoever sent a transaction for which the mempool has no place.
const fn pool_hint(error: &PoolError) -> &'static str {
    match error {
        PoolError::Known | PoolError::Committed { .. } => {
            "it need not be sent again: /v1/transactions/<hash> tells what became of it"
        }
        PoolError::KnownAttestation => "the one that came first counts: wait until it is in a block",
        PoolError::Underpriced { .. } => "offer that much with the same nonce, or wait for the one that is there",
        PoolError::SenderFull { .. } | PoolError::SenderBytesFull { .. } => {
            "wait until some of them are in a block, and send the rest then"
        }
        PoolError::Overdrawn { .. } => "lower the highest fee, or wait until some of them are in a block",
        PoolError::AheadFull => "the account's next nonce is in /v1/accounts/<address>",
        PoolError::Full { .. } => "offer a higher tip, or wait for a block and try again",
        PoolError::AttestationsFull => "wait for a block and try again",
    }
}

/// Advice to whoever sent a transaction that the ledger refuses.
pub fn transaction_hint(error: &TransactionError) -> &'static str {
    match error {
        TransactionError::Accounts(AccountsError::NonceLow { .. } | AccountsError::NonceGap { .. }) => {
            "the next nonce is in /v1/accounts/<address>"
        }
        TransactionError::Accounts(AccountsError::FeeLow { .. }) => {
            "POST /v1/transactions/estimate tells the base fee of the next block"
        }
        TransactionError::Accounts(AccountsError::TipHigh { .. }) => "the tip is a part of the highest fee: lower it",
        TransactionError::Accounts(AccountsError::FeeUnaffordable { .. }) => {
            "the whole of the highest fee is reserved until the block: lower it, or receive OPEN first"
        }
        TransactionError::Accounts(AccountsError::FeeOverflow { .. }) => "both are far beyond all OPEN that there is",
        TransactionError::Envelope(EnvelopeError::Signature)
        | TransactionError::Accounts(AccountsError::UnknownSender { .. }) => {
            "sign the typed data from POST /v1/transactions/typed-data, with the same nonce and fees"
        }
        TransactionError::Accounts(AccountsError::Overdraft { .. }) => "send less, or receive OPEN first",
        TransactionError::Sources(SourcesError::SourceExists { .. }) => {
            "choose another id; /v1/sources lists those taken"
        }
        TransactionError::Sources(SourcesError::UnknownSource { .. }) => "/v1/sources lists what there is",
        TransactionError::Sources(SourcesError::NotOwner { .. }) => "sign with the account that registered the source",
        TransactionError::Sources(SourcesError::SourceInvalid { .. }) => {
            "the rules of the fields are in clause S of docs/spec/transactions.md"
        }
        TransactionError::Stamps(StampsError::StampExists { .. }) => {
            "it stands there already: /v1/stamps?hash=<hash> shows it; another topic or account may stamp it too"
        }
        TransactionError::Stamps(StampsError::StampsFull { .. }) => {
            "wait for the next epoch, or stamp one hash over many files"
        }
        TransactionError::Stamps(_) => "the rules of topics and notes are in clause H of docs/spec/transactions.md",
        TransactionError::Upgrades(UpgradesError::ActionNotInForce { .. }) => {
            "/v1/upgrade tells the rules in force and the plans"
        }
        TransactionError::Upgrades(UpgradesError::BallotNumber { .. }) => {
            "the number of the next ballot is in /v1/upgrade"
        }
        TransactionError::Upgrades(_) => "the rules are in docs/spec/upgrades.md",
        _ => "the rules are in docs/spec/transactions.md",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_busy_says_when_to_ask_again() {
        let busy = Refusal::new(ErrorCode::Busy, "m", "h").into_response();
        assert_eq!((busy.status(), busy.headers()[RETRY_AFTER].as_bytes()), (StatusCode::TOO_MANY_REQUESTS, &b"1"[..]));
        let stopping = Refusal::new(ErrorCode::Stopping, "m", "h").into_response();
        assert!(!stopping.headers().contains_key(RETRY_AFTER), "it will not be there in a second");
    }

    #[test]
    fn refusals_have_numbers_of_json_rpc() {
        for (code, expected) in [
            (ErrorCode::Busy, LIMIT_EXCEEDED),
            (ErrorCode::Internal, INTERNAL),
            (ErrorCode::BodyTooLarge, INVALID_REQUEST),
            (ErrorCode::Stopping, RESOURCE_UNAVAILABLE),
            (ErrorCode::Joining, RESOURCE_UNAVAILABLE),
            (ErrorCode::DiskFull, RESOURCE_UNAVAILABLE),
            (ErrorCode::BadHash, INVALID_INPUT),
        ] {
            assert_eq!(Fault::from(Refusal::new(code, "m", "h")), Fault::new(expected, "m", "h"), "{code}");
        }
    }

    /// Whoever sends again what has come already must not be told to pay more for it.
    #[test]
    fn each_refusal_of_the_mempool_has_its_own_advice() {
        let hint = |error: PoolError| Refusal::from(SubmitError::Pool(error)).hint;
        assert!(hint(PoolError::Known).contains("need not be sent again"));
        assert!(hint(PoolError::Committed { height: 7 }).contains("need not be sent again"));
        assert!(hint(PoolError::AheadFull).contains("next nonce"));
        assert!(hint(PoolError::Full { lowest: Default::default() }).contains("higher tip"));
    }

    #[test]
    fn a_transaction_keeps_the_ledgers_word() {
        let signature = TransactionError::Envelope(EnvelopeError::Signature);
        assert_eq!(transaction_code(&signature), ErrorCode::Signature);
        let other = TransactionError::Evidence(openmesh_ledger::EvidenceError::NoConflict);
        assert_eq!(transaction_code(&other), ErrorCode::TransactionRefused);
        let exists = SourcesError::SourceExists { id: "kraken".into() };
        let refused = Refusal::from(SubmitError::Refused(exists.into()));
        assert_eq!((refused.code, refused.ledger_code), (ErrorCode::TransactionRefused, Some("source_exists")));
    }
}
