//! The contract as OpenAPI, and what is enforced from it.
//!
//! Paths and types are gathered from the routes. What holds for every operation (the shape of refusals, the origin's
//! header) is added here once, so that no route can leave it out. The same description then decides which query
//! parameters a path knows: an unknown one is refused, because a filter with a typing error would otherwise be no filter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use openmesh_api::{ErrorCode, limits, path};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

use crate::error::Refusal;

/// The contract's head; paths and types are gathered from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Openmesh",
        description = "Market and chain data that a network agreed on: live, historic, in SQL, with proof.\n\n\
                       Every answer carries the header openmesh-origin: live, simulated or replay. Decimals and integers that may pass 2^53 \
                       are strings; times are RFC 3339 in UTC. Every refusal has a stable code, a message and a hint. Unknown query \
                       parameters and unknown fields are refused. Lists are pages: pass next as cursor until it is null. What is named by \
                       its content (CID) may be kept for ever and read in ranges; other answers are current. The WebSocket at /v1/stream takes \
                       StreamRequest and sends StreamMessage and MarketEvent. Pages of other origins may read everything but /v1/auth.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "ledger", description = "Status, blocks, validators, transactions, accounts, supply, deposits, events, epochs, incidents, stamps, parameters, search"),
        (name = "data", description = "Sources, agreement, chunks, downloads and proofs"),
        (name = "market", description = "Live books, candles, trades, and the stream"),
        (name = "sql", description = "All tables, read-only"),
        (name = "transactions", description = "Typed data to sign, and sending"),
        (name = "sign-in", description = "EIP-4361 with a cookie or a bearer token"),
        (name = "wallets", description = "JSON-RPC, as far as wallets need it to add the network and to show it")
    ),
    components(schemas(
        openmesh_api::StreamRequest,
        openmesh_api::StreamMessage,
        openmesh_api::MarketEvent,
        openmesh_api::Retry,
        openmesh_api::ErrorBody
    ))
)]
pub struct Contract;

/// Statuses that a refusal of any operation may have, and what they mean.
const REFUSALS: [(&str, &str); 4] = [
    ("400", "The request is malformed: the code says how"),
    ("405", "The path has no such method: the header allow lists those it has"),
    ("429", "This node is busy: try again after a moment"),
    ("500", "A fault of this node"),
];

/// The same for operations that take a body.
const BODY_REFUSALS: [(&str, &str); 4] = [
    ("408", "The body came too slowly"),
    ("413", "The body is too long"),
    ("415", "The body is not said to be JSON"),
    ("422", "The body is JSON of another shape"),
];

/// Forms of parameters by where they stand (`path`, `query`, or the path of the one operation) and their names.
const PATTERNS: [(&str, &str, &str); 23] = [
    ("path", "address", ADDRESS),
    ("query", "account", ADDRESS),
    ("query", "attester", ADDRESS),
    ("query", "proposer", ADDRESS),
    ("query", "validator", ADDRESS),
    ("path", "cid", CID),
    ("path", "hash", "^[0-9a-fA-F]{64}$"),
    ("path", "symbol", SYMBOL),
    (path::BLOCKS, "cursor", "^[0-9]{1,19}$"),
    (path::TRANSACTIONS, "cursor", "^[0-9]{1,19}-[0-9]{1,9}$"),
    (path::EVENTS, "cursor", "^[0-9]{1,19}-[0-9]{1,9}$"),
    (path::EPOCHS, "cursor", "^[0-9]{1,19}$"),
    // The key of a record, hexadecimal.
    (path::DEPOSITS, "cursor", "^([0-9a-f]{2}){1,256}$"),
    (path::EPOCH, "number", "^[0-9]{1,19}$"),
    (path::WINDOW, "window", "^[0-9]{1,19}$"),
    (path::INCIDENT, "id", "^([0-9]{1,19}-[0-9]{1,9}|site-[0-9]{1,19})$"),
    // Letters, digits and signs as they stand in a name, an address or a hash.
    (path::SEARCH, "text", "^[A-Za-z0-9._-]{1,128}$"),
    // A time in nanoseconds, or a place in the ledger.
    (path::INCIDENTS, "cursor", "^([0-8]?[0-9]{1,18}|h[0-9]{1,19}-[0-9]{1,9})$"),
    // A number of the recent ones, or a place among those of one source.
    (path::CHUNKS, "cursor", "^[0-9]{1,19}(:[ -~]*)?$"),
    (path::VALIDATORS, "cursor", ADDRESS),
    ("query", "hash", "^[0-9a-fA-F]{64}$"),
    ("query", "topic", "^[a-z0-9._-]{1,64}$"),
    // A place in the ledger; of one hash, topic, account and place as hexadecimal digits.
    (path::STAMPS, "cursor", "^([0-9]{1,19}-[0-9]{1,9}|([0-9a-f]{2}){34,97})$"),
];
/// In one case: in both, the letters' case is a checksum (EIP-55), which no pattern can say.
const ADDRESS: &str = "^0x([0-9a-f]{40}|[0-9A-F]{40})$";
/// Version, codec and hash take six letters and a part of the seventh; the last one has two bits to spare, which are zero.
const CID: &str = "^bafkrei[a-h][a-z2-7]{50}[aeimquy4]$";
/// Source: `docs/spec/events.md`, symbols.
const SYMBOL: &str = "^[A-Za-z0-9_]{1,24}\\.[A-Za-z0-9_]{1,24}(-PERP|-[0-9]{6}(-[0-9.]{1,24}-[CP])?)?$";
/// Largest number that is read: heights and windows are whole numbers of 64 bits without sign.
const INTEGER_MAX: u64 = u64::MAX;

/// The description with what holds for every operation, in one order of keys whatever the build's features are.
pub fn complete(mut description: Description) -> Value {
    description.info.version = "1".into();
    // A description that does not serialise would be a bug of the generator; `null` shows it in the golden test.
    let mut value = serde_json::to_value(description).unwrap_or_default();
    value["x-limits"] = limits();
    value["x-errors"] = errors();
    let paths = value["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            complete_operation(path, operation);
        }
    }
    sorted(value)
}

fn complete_operation(path: &str, operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let places = [path, parameter["in"].as_str().unwrap_or_default()];
        let pattern = PATTERNS.iter().find(|(place, known, _)| *known == name && places.contains(place));
        if let Some((_, _, pattern)) = pattern {
            parameter["schema"]["pattern"] = (*pattern).into();
        }
        if parameter["schema"]["format"] == "int64" {
            parameter["schema"]["maximum"] = INTEGER_MAX.into();
        }
        // A parameter that is left away is left away; there is no way to write `null` in an address.
        if let Some(kinds) = parameter["schema"]["type"].as_array().cloned() {
            let first = kinds.into_iter().find(|kind| kind != "null").unwrap_or_default();
            parameter["schema"]["type"] = first;
        }
    }
    let has_body = operation.get("requestBody").is_some();
    if let Some(kinds) = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut) {
        bytes_are_no_numbers(kinds);
    }
    let header = json!({ "openmesh-origin": {
        "description": "Where the market data comes from",
        "schema": { "$ref": "#/components/schemas/Origin" },
    }});
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, meaning) in REFUSALS {
        responses.entry(status).or_insert_with(|| json!({ "description": meaning }));
    }
    // JSON-RPC tells a shape that is another in its own words, and as a success of HTTP; bytes have none.
    let says_shape = has_body && path != path::RPC && path != path::TRANSACTIONS_BATCH;
    let of_bodies = BODY_REFUSALS.iter().filter(|(status, _)| has_body && (says_shape || *status != "422"));
    for (status, meaning) in of_bodies {
        responses.entry(*status).or_insert_with(|| json!({ "description": meaning }));
    }
    for (status, response) in responses.iter_mut() {
        response["headers"] = header.clone();
        if let Some(kinds) = response.get_mut("content").and_then(Value::as_object_mut) {
            bytes_are_no_numbers(kinds);
        }
        let refused = status.starts_with(['4', '5']);
        if refused && response.get("content").is_none() {
            response["content"] =
                json!({ "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } });
        }
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = meaning(status).into();
        }
    }
}

/// Bytes are no list of numbers, whatever the type in the code.
fn bytes_are_no_numbers(kinds: &mut Map<String, Value>) {
    for (kind, content) in kinds {
        if kind != "application/json" {
            content["schema"] = json!({ "type": "string", "format": "binary" });
        }
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "The answer",
        "202" => "Taken in",
        "204" => "Done",
        "401" => "Not signed in",
        "404" => "There is no such thing here",
        "409" => "In conflict with what is there already",
        "413" => "Too large",
        "503" => "This node cannot answer now",
        _ => "See the code",
    }
}

/// Limits that a client may run into, by name.
fn limits() -> Value {
    json!({
        "body_bytes_max": limits::BODY_BYTES_MAX,
        "page_items_default": limits::PAGE_ITEMS_DEFAULT,
        "page_items_max": limits::PAGE_ITEMS_MAX,
        "book_levels_max": limits::BOOK_LEVELS_MAX,
        "candles_max": limits::CANDLES_MAX,
        "trades_max": limits::TRADES_MAX,
        "agreement_windows_max": limits::AGREEMENT_WINDOWS_MAX,
        "transactions_batch_max": limits::TRANSACTIONS_BATCH_MAX,
        "transaction_wait_ms_max": limits::TRANSACTION_WAIT_MS_MAX,
        "search_bytes_max": limits::SEARCH_BYTES_MAX,
        "search_hits_max": limits::SEARCH_HITS_MAX,
        "connections_max": limits::CONNECTIONS_MAX,
        "streams_max": limits::STREAMS_MAX,
        "stream_subscriptions_max": limits::STREAM_SUBSCRIPTIONS_MAX,
        "stream_request_bytes_max": limits::STREAM_REQUEST_BYTES_MAX,
        "stream_silence_seconds_max": limits::STREAM_SILENCE_SECONDS_MAX,
        "rpc_batch_max": limits::RPC_BATCH_MAX,
        "rpc_depth_max": limits::RPC_DEPTH_MAX,
        "rpc_values_max": limits::RPC_VALUES_MAX,
        "rpc_answer_bytes_max": limits::RPC_ANSWER_BYTES_MAX,
        "rpc_batch_ms_max": limits::RPC_BATCH_MS_MAX,
        "rpc_fee_blocks_max": limits::RPC_FEE_BLOCKS_MAX,
        "rpc_percentiles_max": limits::RPC_PERCENTILES_MAX,
        "rpc_subscriptions_max": limits::RPC_SUBSCRIPTIONS_MAX,
    })
}

/// Codes of refusals: HTTP status (0: only on the stream), and whether the same request may be sent again.
fn errors() -> Value {
    let code = |code: &ErrorCode| (code.to_string(), json!({ "status": code.status(), "retry": code.retry() }));
    Value::Object(ErrorCode::ALL.iter().map(code).collect())
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Query parameters that each path of the contract knows.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<String, BTreeSet<String>>);

impl Known {
    /// Reads them from a complete description.
    pub fn of(description: &Value) -> Known {
        let mut known = BTreeMap::new();
        for (path, methods) in description["paths"].as_object().into_iter().flatten() {
            let operations = methods.as_object().into_iter().flat_map(Map::values);
            let parameters = operations.filter_map(|o| o["parameters"].as_array()).flatten();
            let names = parameters.filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str());
            known.insert(path.clone(), names.map(String::from).collect());
        }
        Known(known)
    }
}

/// Refuses parameters that the path does not know.
pub async fn known_parameters(State(known): State<Arc<Known>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let allowed = path.and_then(|path| known.0.get(path));
    if let (Some(query), Some(allowed)) = (request.uri().query(), allowed) {
        let names = query.split('&').filter(|p| !p.is_empty()).map(|p| p.split('=').next().unwrap_or(p));
        for name in names {
            if !allowed.contains(name) {
                return unknown(name, allowed).into_response();
            }
        }
    }
    next.run(request).await
}

fn unknown(name: &str, allowed: &BTreeSet<String>) -> Refusal {
    let hint = if allowed.is_empty() {
        "this path takes none".to_string()
    } else {
        format!("this path takes {}", allowed.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    Refusal::new(ErrorCode::UnknownParameter, format!("there is no parameter {name:.40?} here"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Value {
        serde_json::from_str(&crate::openapi()).unwrap()
    }

    #[test]
    fn every_path_is_served_and_every_served_path_is_one() {
        let described = described();
        let served: BTreeSet<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(served, path::ALL.into_iter().collect());
        for path in path::ALL {
            let operations = described["paths"][path].as_object().unwrap();
            for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let declared =
                    |o: &Value| o["parameters"].as_array().is_some_and(|all| all.iter().any(|p| p["name"] == name));
                assert!(operations.values().all(declared), "{path} has {name}");
            }
        }
    }

    fn parameter(description: &Value, path: &str, name: &str) -> Value {
        let all = description["paths"][path]["get"]["parameters"].as_array().unwrap();
        all.iter().find(|p| p["name"] == name).unwrap()["schema"].clone()
    }

    #[test]
    fn forms_of_parameters_stand_where_they_hold() {
        let described = described();
        for (path, name, pattern) in [
            ("/v1/accounts/{address}", "address", ADDRESS),
            ("/v1/chunks/{cid}", "cid", CID),
            ("/v1/books/{exchange}/{symbol}", "symbol", SYMBOL),
            (path::VALIDATORS, "cursor", ADDRESS),
        ] {
            assert_eq!(parameter(&described, path, name)["pattern"], pattern, "{path}");
        }
        assert!(parameter(&described, "/v1/sources", "symbol")["pattern"].is_null(), "any text is searched for there");
        assert_eq!(parameter(&described, "/v1/chunks", "from")["maximum"], u64::MAX);
    }
}
