//! Refusals: their body, and every code that one can carry.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

/// A refusal in words and as a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiError {
    /// Stable word for programs.
    pub code: ErrorCode,
    /// The fault and its place, for people.
    pub message: String,
    /// Remedy, for people. Always set by this node; clients must tolerate its absence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = true, value_type = String)]
    pub hint: Option<String>,
    /// The ledger's own word for its refusal of a transaction, such as `source_exists`; the same as `error_code` of one that a block refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_code: Option<String>,
}

/// Advice on sending the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// No: the request itself has to change.
    Never,
    /// Yes, at this node after a moment.
    Later,
    /// At another node: this one cannot answer.
    Elsewhere,
}

/// Declares the codes once: variant, word, HTTP status (0: only on the stream), and whether to try again.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:tt $status:tt $retry:ident;)*) => {
        /// Stable word of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
            /// A word that this version of the contract does not know: from a newer node.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ErrorCode {
            /// Every code that this version of the contract knows.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The word as it stands in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$name => $word,)*
                    ErrorCode::Unknown => "unknown",
                }
            }

            /// HTTP status of an answer with this code; 0 where only the stream says it.
            pub const fn status(self) -> u16 {
                match self {
                    $(ErrorCode::$name => $status,)*
                    ErrorCode::Unknown => 400,
                }
            }

            /// Advice on sending the same request again.
            pub const fn retry(self) -> Retry {
                match self {
                    $(ErrorCode::$name => Retry::$retry,)*
                    ErrorCode::Unknown => Retry::Never,
                }
            }
        }
    };
}

codes! {
    /// A path, parameter or header that the framework could not read.
    BadRequest "bad_request" 400 Never;
    /// The path has no such query parameter.
    UnknownParameter "unknown_parameter" 400 Never;
    /// A query parameter of another type, or given twice.
    BadParameter "bad_parameter" 400 Never;
    /// A number of items outside of what the path allows.
    BadLimit "bad_limit" 400 Never;
    /// Not a cursor of this list.
    BadCursor "bad_cursor" 400 Never;
    /// A cursor of another list.
    ForeignCursor "foreign_cursor" 404 Never;
    /// Not an address.
    BadAddress "bad_address" 400 Never;
    /// Not a hash: 64 hexadecimal digits.
    BadHash "bad_hash" 400 Never;
    /// Not a height.
    BadHeight "bad_height" 400 Never;
    /// Not a number of an epoch or a window.
    BadNumber "bad_number" 400 Never;
    /// Not an id of an incident.
    BadIncident "bad_incident" 400 Never;
    /// A text that is too short or too long to be searched for.
    BadSearch "bad_search" 400 Never;
    /// Not a CID.
    BadCid "bad_cid" 400 Never;
    /// Not a topic of stamps.
    BadTopic "bad_topic" 400 Never;
    /// Not a symbol.
    BadSymbol "bad_symbol" 400 Never;
    /// Not a time.
    BadTime "bad_time" 400 Never;
    /// Not an amount.
    BadAmount "bad_amount" 400 Never;
    /// Bytes that are not hexadecimal.
    BadBytes "bad_bytes" 400 Never;
    /// Not a signature, or not that of the address.
    BadSignature "bad_signature" 400 Never;
    /// An action that is not declared, or whose fields are not those of its declaration.
    BadAction "bad_action" 400 Never;
    /// A query id of a length that is not allowed.
    BadQueryId "bad_query_id" 400 Never;
    /// A parameter that needs a source beside it.
    NoSource "no_source" 400 Never;
    /// The body is JSON of another shape.
    BadJson "bad_json" 422 Never;
    /// The body is not said to be JSON.
    NotJson "not_json" 415 Never;
    /// The body is not said to be bytes.
    NotBytes "not_bytes" 415 Never;
    /// Bytes that are no list of transactions, or of none, or of too many.
    BadBatch "bad_batch" 400 Never;
    /// The body is too long.
    BodyTooLarge "body_too_large" 413 Never;
    /// The body came too slowly.
    BodyTooSlow "body_too_slow" 408 Later;
    /// A range outside of the content.
    BadRange "bad_range" 416 Never;
    /// The path has no such method.
    WrongMethod "wrong_method" 405 Never;
    /// The path is a WebSocket.
    NotAWebsocket "not_a_websocket" 426 Never;
    /// Refused by the framework for another reason.
    Refused "refused" 400 Never;
    /// No such path.
    UnknownPath "unknown_path" 404 Never;
    /// No such file of Studio.
    UnknownFile "unknown_file" 404 Never;
    /// The binary holds no Studio.
    NoStudio "no_studio" 404 Never;
    /// No such block here.
    UnknownBlock "unknown_block" 404 Later;
    /// Neither committed nor waiting here.
    UnknownTransaction "unknown_transaction" 404 Never;
    /// Not a chunk that the network agreed on.
    UnknownChunk "unknown_chunk" 404 Never;
    /// No such epoch yet.
    UnknownEpoch "unknown_epoch" 404 Later;
    /// No such window in the state.
    UnknownWindow "unknown_window" 404 Never;
    /// No such incident here.
    UnknownIncident "unknown_incident" 404 Never;
    /// No such stamp here.
    UnknownStamp "unknown_stamp" 404 Never;
    /// No such source.
    UnknownSource "unknown_source" 404 Never;
    /// No such exchange.
    UnknownExchange "unknown_exchange" 404 Never;
    /// Not collected here.
    UnknownSymbol "unknown_symbol" 404 Never;
    /// No such query runs here.
    UnknownQuery "unknown_query" 404 Never;
    /// A query of this id runs already.
    QueryIdTaken "query_id_taken" 409 Never;
    /// The book is not in step with the venue.
    BookOutOfStep "book_out_of_step" 503 Later;
    /// The collector did not give the book in time.
    BookTooSlow "book_too_slow" 503 Later;
    /// No connected node gave the content.
    ContentUnavailable "content_unavailable" 503 Later;
    /// The header that proves the chunk or the stamp is not decided yet.
    ProofNotReady "proof_not_ready" 503 Later;
    /// A header that the proof needs was removed from this node.
    ProofPruned "proof_pruned" 503 Elsewhere;
    /// The node is behind its peers.
    Syncing "syncing" 503 Later;
    /// The node is stopping.
    Stopping "stopping" 503 Elsewhere;
    /// The node waits for room on its disk.
    DiskFull "disk_full" 503 Later;
    /// The node has as much work as it takes.
    Busy "busy" 429 Later;
    /// The node has no place for another connection.
    TooManyConnections "too_many_connections" 503 Later;
    /// The node has no place for another stream.
    TooManyStreams "too_many_streams" 503 Later;
    /// This node joins the network and has no state yet.
    Joining "joining" 503 Later;
    /// A fault of the node.
    Internal "internal" 500 Elsewhere;

    /// Not a message of EIP-4361.
    BadMessage "bad_message" 400 Never;
    /// A message for another site.
    WrongDomain "wrong_domain" 401 Never;
    /// A message whose URI is of another site.
    WrongUri "wrong_uri" 401 Never;
    /// A message for another chain.
    WrongChain "wrong_chain" 401 Never;
    /// A nonce that is unknown, used or too old.
    NonceRefused "nonce_refused" 401 Never;
    /// A message whose own times do not hold now.
    MessageExpired "message_expired" 401 Never;
    /// No session.
    NotSignedIn "not_signed_in" 401 Never;

    /// Not a transaction.
    Encoding "encoding" 400 Never;
    /// A transaction that is too large.
    Size "size" 400 Never;
    /// A transaction of another chain.
    Chain "chain" 400 Never;
    /// A signature that does not verify.
    Signature "signature" 400 Never;
    /// A nonce that was used.
    NonceLow "nonce_low" 400 Never;
    /// A nonce beyond the account's next one.
    NonceGap "nonce_gap" 400 Never;
    /// A highest fee below the base fee.
    FeeLow "fee_low" 400 Never;
    /// A tip above the highest fee.
    TipHigh "tip_high" 400 Never;
    /// A highest fee beyond the balance.
    FeeUnaffordable "fee_unaffordable" 400 Never;
    /// Amount and fee that do not fit in 128 bits together.
    FeeOverflow "fee_overflow" 400 Never;
    /// An account that never received anything.
    UnknownSender "unknown_sender" 400 Never;
    /// More than the account has.
    Overdraft "overdraft" 400 Never;
    /// A transaction that the mempool has no place for.
    Mempool "mempool" 409 Later;
    /// A transaction that another rule of the ledger refuses: the message names it.
    TransactionRefused "transaction_refused" 400 Never;

    /// Not SQL.
    Syntax "syntax" 400 Never;
    /// No such table.
    UnknownTable "unknown_table" 400 Never;
    /// No such column.
    UnknownColumn "unknown_column" 400 Never;
    /// No such function.
    UnknownFunction "unknown_function" 400 Never;
    /// A query that cannot be planned.
    InvalidQuery "invalid_query" 400 Never;
    /// A statement that does not only read.
    RefusedStatement "refused_statement" 400 Never;
    /// A query that is too long.
    QueryTooLong "query_too_long" 413 Never;
    /// A query that was stopped at the end of its time.
    TimedOut "timed_out" 408 Never;
    /// A query that needed more memory than one may have.
    MemoryLimit "memory_limit" 400 Never;
    /// As many queries as this node runs and lets wait.
    TooManyQueries "too_many_queries" 429 Later;
    /// A query that was stopped on request.
    Cancelled "cancelled" 400 Never;
    /// A query that failed on its data: a division by zero, a text that is no number.
    ExecutionFailed "execution_failed" 400 Never;

    /// Not a text message.
    NotText "not_text" 0 Never;
    /// No such feed.
    UnknownFeed "unknown_feed" 0 Never;
    /// A market feed without an exchange.
    NoExchange "no_exchange" 0 Never;
    /// A market feed without a symbol.
    NoSymbol "no_symbol" 0 Never;
    /// No such kind of what the feed tells.
    UnknownKind "unknown_kind" 0 Never;
    /// A feed that cannot be filtered so.
    NotFiltered "not_filtered" 0 Never;
    /// There is such a subscription already.
    SubscribedAlready "subscribed_already" 0 Never;
    /// There is no such subscription.
    NotSubscribed "not_subscribed" 0 Never;
    /// As many subscriptions as one connection may have.
    TooManySubscriptions "too_many_subscriptions" 0 Never;
}

impl ErrorCode {
    /// The code of a word; `None` where this version of the contract does not know it.
    pub fn of(word: &str) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_those_of_the_wire_and_each_stands_once() {
        let words: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(ErrorCode::of(code.as_str()), Some(*code));
            assert!(code.status() == 0 || (400..600).contains(&code.status()), "{code}");
        }
        let newer: ErrorCode = serde_json::from_str("\"of_next_year\"").unwrap();
        assert_eq!(newer, ErrorCode::Unknown);
    }
}
