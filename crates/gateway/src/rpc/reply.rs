//! Answers of JSON-RPC as texts. Clauses 5 and 7 of `docs/spec/rpc.md`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use openmesh_api::RpcError;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::{Fault, INTERNAL};

/// A result as the JSON that it is sent as, or a fault.
pub type Outcome = Result<Box<RawValue>, Fault>;

/// An answer to one request.
#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RpcError>,
}

/// A message of a subscription.
#[derive(Serialize)]
struct Event<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    subscription: &'a str,
    result: &'a RawValue,
}

const VERSION: &str = "2.0";
/// The answer where one cannot be written, which would be a bug of its type.
const UNWRITTEN: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"the answer cannot be written","data":{"hint":"ask another node"}}}"#;

/// A result as the JSON that it is sent as.
pub fn raw(result: &impl Serialize) -> Outcome {
    serde_json::value::to_raw_value(result)
        .map_err(|error| Fault::new(INTERNAL, format!("the result cannot be written: {error}"), "ask another node"))
}

/// The answer to a request.
pub fn reply(id: &Value, outcome: Outcome) -> String {
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(fault) => (None, Some(fault.into())),
    };
    text(&Reply { jsonrpc: VERSION, id, result, error })
}

/// Answers to the requests of a batch as one text.
pub fn batch(answers: &[String]) -> String {
    format!("[{}]", answers.join(","))
}

/// A message of a subscription.
pub fn event(subscription: &str, result: &RawValue) -> String {
    text(&Event { jsonrpc: VERSION, method: "eth_subscription", params: Told { subscription, result } })
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| UNWRITTEN.into())
}

/// The answer over HTTP to a body that is not taken, with the status that says so.
pub fn refused(status: StatusCode, fault: Fault) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], reply(&Value::Null, Err(fault))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::METHOD_NOT_FOUND;
    use serde_json::json;

    #[test]
    fn an_answer_has_a_result_or_an_error() {
        let result = raw(&"0x1").unwrap();
        assert_eq!(reply(&json!("a"), Ok(result.clone())), r#"{"jsonrpc":"2.0","id":"a","result":"0x1"}"#);
        assert_eq!(reply(&json!(1), raw(&None::<u8>)), r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "null is a result");
        assert_eq!(
            reply(&Value::Null, Err(Fault::new(METHOD_NOT_FOUND, "m", "h"))),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"m","data":{"hint":"h"}}}"#
        );
        assert_eq!(batch(&["1".into(), "2".into()]), "[1,2]");
        let event = event("0x1", &result);
        assert_eq!(
            event,
            r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":"0x1"}}"#
        );
        assert!(serde_json::from_str::<Value>(UNWRITTEN).is_ok());
    }
}
