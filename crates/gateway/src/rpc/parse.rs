//! Bodies of JSON-RPC: bounds, form, requests. Clauses 2, 3 and 4 of `docs/spec/rpc.md`.

use openmesh_api::limits::{RPC_BATCH_MAX, RPC_DEPTH_MAX, RPC_VALUES_MAX};
use serde_json::{Map, Value};

use super::ask::Ask;
use super::fault::{Fault, PARSE};

/// Numbers below it are told apart also where they are kept as floating point.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A request, or what came in the place of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// That of the request, to be repeated in the answer; `None` for a notification, which has no answer.
    pub id: Option<Value>,
    /// The method with its parameters, or the reason for which it is none.
    pub ask: Result<Ask, Fault>,
}

/// A body of JSON-RPC.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// One request.
    One(Call),
    /// A list of 1 to [`RPC_BATCH_MAX`].
    Batch(Vec<Call>),
}

/// Reads a body. Fails where it is no JSON, larger than the bounds, or an empty list; requests in it that are none are its [`Call`]s.
pub fn parse(body: &[u8]) -> Result<Incoming, Fault> {
    bounded(body)?;
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Fault { code: PARSE, ..Fault::request(format!("the body is not JSON: {error}")) })?;
    match value {
        Value::Array(items) if items.is_empty() => Err(Fault::request("the batch is empty")),
        Value::Array(items) => Ok(Incoming::Batch(items.into_iter().map(call).collect())),
        one => Ok(Incoming::One(call(one))),
    }
}

/// Counts levels, values and requests of a text that may be JSON, so that parsing it takes bounded memory. What it counts of a text that is none
/// does not matter: the parser refuses that.
fn bounded(body: &[u8]) -> Result<(), Fault> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let (mut depth, mut values, mut requests) = (0usize, 1usize, 1usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted => {
                values += 1;
                requests += usize::from(is_batch && depth == 1);
            }
            // Most bytes, which change nothing.
            _ => continue,
        }
        let beyond = [
            (requests, RPC_BATCH_MAX, "requests in a batch"),
            (depth, RPC_DEPTH_MAX, "levels of lists and objects"),
            (values, RPC_VALUES_MAX, "values"),
        ];
        if let Some((_, most, what)) = beyond.iter().find(|(came, most, _)| came > most) {
            let hint = "send less at once: the limits stand in /openapi.json under x-limits";
            return Err(Fault { hint: hint.into(), ..Fault::request(format!("more than {most} {what}")) });
        }
    }
    Ok(())
}

fn call(value: Value) -> Call {
    let refused = |id: Option<Value>, message: &str| Call { id, ask: Err(Fault::request(message)) };
    let Value::Object(mut members) = value else {
        return refused(Some(Value::Null), "a request is an object");
    };
    let id = members.remove("id");
    if id.as_ref().is_some_and(|id| !is_id(id)) {
        return refused(Some(Value::Null), "id is a number of at most 64 bits, a text or null");
    }
    match request(&members) {
        Ok((method, params)) => Call { id, ask: Ask::of(method, params) },
        // Without id or method it is no notification but nothing that JSON-RPC knows, and that is answered.
        Err(message) => refused(Some(id.unwrap_or_default()), message),
    }
}

/// True for an id that can be repeated as it came: of a number beyond 64 bits only the first digits are known.
fn is_id(id: &Value) -> bool {
    match id {
        Value::Null | Value::String(_) => true,
        Value::Number(number) => !number.is_f64() || number.as_f64().is_some_and(|number| number.abs() < EXACT_MAX),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Method and parameters of a request.
fn request(members: &Map<String, Value>) -> Result<(&str, &[Value]), &'static str> {
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err("jsonrpc is \"2.0\", and nothing else is spoken here");
    }
    let Some(Value::String(method)) = members.get("method") else { return Err("method is text") };
    let params: &[Value] = match members.get("params") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(params)) => params.as_slice(),
        Some(_) => return Err("params is a list, by position"),
    };
    Ok((method.as_str(), params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND};
    use serde_json::json;

    const ASKED: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;

    fn one(body: &str) -> (Option<Value>, Result<Ask, i32>) {
        match parse(body.as_bytes()) {
            Ok(Incoming::One(call)) => (call.id, call.ask.map_err(|fault| fault.code)),
            other => panic!("{body}: {other:?}"),
        }
    }

    fn refused(body: &[u8]) -> i32 {
        match parse(body) {
            Err(fault) => fault.code,
            Ok(incoming) => panic!("{incoming:?}"),
        }
    }

    #[test]
    fn a_request_and_its_id() {
        assert_eq!(one(ASKED), (Some(json!(1)), Ok(Ask::ChainId)));
        for id in [json!("a"), json!(null), json!(-7), json!(1.5), json!(u64::MAX)] {
            let body = json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId", "more": true }).to_string();
            assert_eq!(one(&body), (Some(id), Ok(Ask::ChainId)), "{body}");
        }
        let notification = r#"{"jsonrpc":"2.0","method":"eth_chainId","params":null}"#;
        assert_eq!(one(notification), (None, Ok(Ask::ChainId)));
        let unknown = r#"{"jsonrpc":"2.0","method":"eth_nothing"}"#;
        assert_eq!(one(unknown), (None, Err(METHOD_NOT_FOUND)), "a notification that fails has no answer");
        let twice = r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","id":2,"method":"eth_chainId"}"#;
        assert_eq!(one(twice), (Some(json!(2)), Ok(Ask::ChainId)), "the last of two counts");
        let wrong = r#"{"jsonrpc":"2.0","id":9,"method":"eth_getBalance","params":[7]}"#;
        assert_eq!(one(wrong), (Some(json!(9)), Err(INVALID_PARAMS)));
    }

    #[test]
    fn json_that_is_no_request_is_answered_as_such() {
        for (body, id) in [
            ("1", json!(null)),
            ("null", json!(null)),
            (r#""eth_chainId""#, json!(null)),
            ("{}", json!(null)),
            (r#"{"jsonrpc":"1.0","id":3,"method":"eth_chainId"}"#, json!(3)),
            (r#"{"jsonrpc":2.0,"id":3,"method":"eth_chainId"}"#, json!(3)),
            (r#"{"id":3,"method":"eth_chainId"}"#, json!(3)),
            (r#"{"jsonrpc":"2.0","id":3,"method":7}"#, json!(3)),
            (r#"{"jsonrpc":"2.0","id":3}"#, json!(3)),
            (r#"{"jsonrpc":"2.0","id":3,"method":"eth_chainId","params":{}}"#, json!(3)),
            (r#"{"jsonrpc":"2.0","id":3,"method":"eth_chainId","params":"x"}"#, json!(3)),
            (r#"{"jsonrpc":"2.0","id":[3],"method":"eth_chainId"}"#, json!(null)),
            (r#"{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}"#, json!(null)),
            (r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"eth_chainId"}"#, json!(null)),
            (r#"{"jsonrpc":"2.0","id":-9223372036854775809,"method":"eth_chainId"}"#, json!(null)),
            (r#"{"jsonrpc":"2.0","id":1e300,"method":"eth_chainId"}"#, json!(null)),
        ] {
            assert_eq!(one(body), (Some(id), Err(INVALID_REQUEST)), "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_whole() {
        let surrogate = r#"{"id":"\ud800"}"#;
        let byte_order_mark = "\u{feff}{}";
        for body in ["", " ", "{", "[1,]", "hello", "{'a':1}", "NaN", "[1] [2]", "1e999", byte_order_mark, surrogate] {
            assert_eq!(refused(body.as_bytes()), PARSE, "{body:?}");
        }
        assert_eq!(refused(&[0xff, 0xfe, 0x00]), PARSE);
        assert_eq!(refused(b"\"\xff\""), PARSE);
    }

    #[test]
    fn a_batch_keeps_its_order() {
        let Ok(Incoming::Batch(calls)) = parse(format!("[{ASKED},5,{{}},{ASKED}]").as_bytes()) else { panic!() };
        let code = |call: &Call| call.ask.as_ref().err().map(|fault| fault.code);
        let codes: Vec<Option<i32>> = calls.iter().map(code).collect();
        assert_eq!(codes, [None, Some(INVALID_REQUEST), Some(INVALID_REQUEST), None]);
        assert_eq!(refused(b"[]"), INVALID_REQUEST);
    }

    #[test]
    fn bounds_hold_before_anything_is_parsed() {
        let batch = |count: usize| format!("[{}]", vec![ASKED; count].join(","));
        let full = parse(batch(RPC_BATCH_MAX).as_bytes());
        assert!(matches!(full, Ok(Incoming::Batch(calls)) if calls.len() == RPC_BATCH_MAX));
        assert_eq!(refused(batch(RPC_BATCH_MAX + 1).as_bytes()), INVALID_REQUEST);
        assert_eq!(refused(batch(10_000).as_bytes()), INVALID_REQUEST);
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(refused(nested(RPC_DEPTH_MAX + 1).as_bytes()), INVALID_REQUEST);
        assert_eq!(refused(nested(100_000).as_bytes()), INVALID_REQUEST);
        assert!(parse(nested(RPC_DEPTH_MAX).as_bytes()).is_ok(), "a batch of one that is no request");
        assert_eq!(refused("{\"a\":".repeat(100_000).as_bytes()), INVALID_REQUEST);
        let many = "1,".repeat(RPC_VALUES_MAX);
        let wide = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[{many}1]}}"#);
        assert_eq!(refused(wide.as_bytes()), INVALID_REQUEST);
    }

    /// Brackets and commas inside of texts are none.
    #[test]
    fn texts_count_for_nothing() {
        let text = r#"[{,\"\\"#.repeat(RPC_VALUES_MAX);
        let body = format!(r#"{{"jsonrpc":"2.0","id":"{text}","method":"eth_chainId"}}"#);
        let (id, ask) = one(&body);
        assert_eq!((id.unwrap().as_str().unwrap().len(), ask), (5 * RPC_VALUES_MAX, Ok(Ask::ChainId)));
    }
}
