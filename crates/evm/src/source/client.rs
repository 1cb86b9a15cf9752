//! JSON-RPC over HTTP, one call a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{RpcError, SourceError};
use crate::rpc::RpcErrorObject;

/// Longest time for a request with its answer; a full block of 10 MB takes a second on a slow line.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// JSON-RPC's code for a method that does not exist.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// Codes by which nodes say over HTTP 200 that it is too much.
const LIMIT_CODES: [i64; 2] = [-32005, 429];
/// Most characters of a node's error message that are kept.
const MESSAGE_CHARS_MAX: usize = 300;

pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    body_bytes_max: usize,
    next_id: AtomicU64,
}

#[derive(Deserialize)]
struct Answer {
    id: Value,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<RpcErrorObject>,
}

impl Client {
    pub(super) fn new(url: &str, body_bytes_max: usize) -> Result<Client, SourceError> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(SourceError::Address)?;
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            // A redirected POST loses its body; a node that redirects is configured wrongly.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| RpcError::Transport { reason: e.without_url().to_string() })?;
        Ok(Client { http, url, body_bytes_max, next_id: AtomicU64::new(1) })
    }

    /// A call's result; none for null.
    pub(super) async fn call(&self, method: &'static str, params: Value) -> Result<Option<Vec<u8>>, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(request);
        let response = request.send().await.map_err(transport)?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => return Err(RpcError::RateLimited { retry_after: retry_after(&response) }),
            status if !status.is_success() => return Err(RpcError::Status { status: status.as_u16() }),
            _ => {}
        }
        let body = self.body(method, response).await?;
        let malformed = |reason: String| RpcError::Malformed { method, reason };
        let answer: Answer = serde_json::from_slice(&body).map_err(|e| malformed(e.to_string()))?;
        if let Some(RpcErrorObject { code, message }) = answer.error {
            if LIMIT_CODES.contains(&code) {
                return Err(RpcError::RateLimited { retry_after: None });
            }
            return Err(RpcError::Refused { method, code, message: message.chars().take(MESSAGE_CHARS_MAX).collect() });
        }
        if answer.id != id {
            return Err(malformed("it answers another call".to_owned()));
        }
        Ok(answer.result.map(|result| Box::<str>::from(result).into_boxed_bytes().into_vec()))
    }

    /// A call whose result is a number; null is not one.
    pub(super) async fn quantity(&self, method: &'static str) -> Result<u64, RpcError> {
        let result = self.call(method, json!([])).await?;
        self.parse_quantity(method, result)?
            .ok_or(RpcError::Malformed { method, reason: "the result is null".to_owned() })
    }

    /// A number, where there is one.
    pub(super) fn parse_quantity(
        &self,
        method: &'static str,
        result: Option<Vec<u8>>,
    ) -> Result<Option<u64>, RpcError> {
        let Some(result) = result else { return Ok(None) };
        let value: alloy_primitives::U64 =
            serde_json::from_slice(&result).map_err(|e| RpcError::Malformed { method, reason: e.to_string() })?;
        Ok(Some(value.to()))
    }

    async fn body(&self, method: &'static str, mut response: Response) -> Result<Vec<u8>, RpcError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(RpcError::TooLarge { method, limit: self.body_bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Says the cause too, which reqwest's own text leaves out.
fn transport(error: reqwest::Error) -> RpcError {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    RpcError::Transport { reason }
}

/// `Retry-After` in seconds; its other form, a date, is rare and left to the backoff.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
