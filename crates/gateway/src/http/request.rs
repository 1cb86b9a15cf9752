//! Reading requests: parameters, bodies, limits and cursors. What is not understood is refused, never ignored.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use openmesh_api::ErrorCode;
use openmesh_api::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use openmesh_primitives::{Address, Digest, Timestamp};
use serde::de::DeserializeOwned;

use crate::error::Refusal;

/// The query's parameters. Unknown ones are refused before (`contract`), malformed ones here.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Params(value)),
            Err(error) => {
                let text = error.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Refusal::new(
                    ErrorCode::BadParameter,
                    text,
                    "each parameter once; their types stand in /openapi.json",
                ))
            }
        }
    }
}

/// Longest time until a body has come whole: the largest one over a slow line.
const BODY_SECONDS_MAX: u64 = 30;

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Refusal> {
        let reading = Json::from_request(request, state);
        let Ok(read) = tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), reading).await else {
            return Err(too_slow());
        };
        read.map(|Json(value)| Body(value)).map_err(|rejection| {
            let (code, hint) = match &rejection {
                JsonRejection::MissingJsonContentType(_) => (ErrorCode::NotJson, "send content-type: application/json"),
                JsonRejection::BytesRejection(_) => (ErrorCode::BodyTooLarge, "a body may have 1 MiB"),
                _ => (ErrorCode::BadJson, "the body's shape stands in /openapi.json; unknown fields are refused"),
            };
            Refusal::new(code, rejection.body_text(), hint).with_status(rejection.status())
        })
    }
}

/// The bytes of a body that is said to be JSON, as they came.
#[derive(Debug)]
pub struct JsonBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<JsonBytes, Refusal> {
        said_to_be(&request, "application/json").map_err(|said| {
            let message = format!("the body is said to be \"{said:.60}\", and not JSON");
            Refusal::new(ErrorCode::NotJson, message, "send content-type: application/json")
        })?;
        whole(request, state).await.map(JsonBytes)
    }
}

/// A body that is said to be bytes.
#[derive(Debug)]
pub struct Octets(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Octets {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<Octets, Refusal> {
        said_to_be(&request, "application/octet-stream").map_err(|said| {
            let message = format!("the body is said to be \"{said:.60}\", and not bytes");
            Refusal::new(ErrorCode::NotBytes, message, "send content-type: application/octet-stream")
        })?;
        whole(request, state).await.map(Octets)
    }
}

/// Looks at the header that says of what kind a body is; returns the one that it says where that is another.
fn said_to_be(request: &Request, kind: &str) -> Result<(), String> {
    let said = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(kind) { Ok(()) } else { Err(said.to_owned()) }
}

/// The bytes of a body, once it has come whole.
async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    let reading = Bytes::from_request(request, state);
    let Ok(read) = tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), reading).await else {
        return Err(too_slow());
    };
    read.map_err(|rejection| {
        let refusal = Refusal::new(ErrorCode::BodyTooLarge, rejection.body_text(), "a body may have 1 MiB");
        refusal.with_status(rejection.status())
    })
}

fn too_slow() -> Refusal {
    let message = format!("the body did not come within {BODY_SECONDS_MAX} s");
    Refusal::new(ErrorCode::BodyTooSlow, message, "send it in one go")
}

/// `limit`, with its default and most. Beyond them it is refused: a shorter answer than asked for would look complete.
pub fn limited(name: &str, wanted: Option<usize>, default: usize, most: usize) -> Result<usize, Refusal> {
    match wanted {
        None => Ok(default),
        Some(number) if (1..=most).contains(&number) => Ok(number),
        Some(number) => Err(Refusal::new(
            ErrorCode::BadLimit,
            format!("{name} is {number}"),
            format!("{name} may be 1 to {most}; the rest of a list comes with the cursor"),
        )),
    }
}

/// Number of items of a page.
pub fn limit(wanted: Option<usize>) -> Result<usize, Refusal> {
    limited("limit", wanted, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX)
}

/// A cursor, read by `parse`; `None` for the first page.
pub fn cursor<T>(text: Option<&str>, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
    text.map(|text| {
        parse(text).ok_or_else(|| {
            Refusal::new(
                ErrorCode::BadCursor,
                format!("{text:.40?} is no cursor of this list"),
                "leave cursor away for the first page, then pass each page's next as it is",
            )
        })
    })
    .transpose()
}

/// A cursor of two numbers, `height-index`.
pub fn pair(text: &str) -> Option<(u64, u32)> {
    let (left, right) = text.split_once('-')?;
    Some((left.parse().ok()?, right.parse().ok()?))
}

/// An address from a person or a program.
pub fn address(text: &str) -> Result<Address, Refusal> {
    text.parse().map_err(|e| {
        let hint = "an address is 0x and 40 hexadecimal digits";
        Refusal::new(ErrorCode::BadAddress, format!("{text:.60}: {e}"), hint)
    })
}

/// A number of an epoch or a window.
pub fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(ErrorCode::BadNumber, format!("{text:.40?} is no number"), "a whole number from 0 on")
    })
}

/// A hash from a person or a program.
pub fn hash(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|e| Refusal::new(ErrorCode::BadHash, format!("{text:.80}: {e}"), "a hash has 64 hexadecimal digits"))
}

/// A time in RFC 3339.
pub fn time(text: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse_rfc3339(text.as_bytes()).map_err(|e| {
        let hint = "a time of RFC 3339 in UTC, such as 2026-01-31T12:00:00Z";
        Refusal::new(ErrorCode::BadTime, format!("{text:.40}: {e}"), hint)
    })
}

/// Fields of a request that a proxy has passed on, or that a page of another origin has sent.
const OF_OTHERS: [&str; 5] = ["forwarded", "x-forwarded-for", "x-real-ip", "via", "origin"];

/// True where a request names this machine as itself: `localhost`, or an address of loopback. Nothing where it names no host.
pub fn names_loopback(headers: &HeaderMap, uri: &Uri) -> Option<bool> {
    let field = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let authority = field.or_else(|| uri.authority().cloned())?;
    let name =
        authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let address = name.parse::<IpAddr>().map(|address| address.to_canonical());
    let is_here = address.is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    Some(is_here || name == "localhost" || name.ends_with(".localhost"))
}

/// True where a program of this machine asks for itself: over loopback, by a name of loopback, and neither for somebody behind a proxy nor
/// for a page in a browser that came from elsewhere.
pub fn is_asked_here(peer: SocketAddr, headers: &HeaderMap, uri: &Uri) -> bool {
    peer.ip().to_canonical().is_loopback()
        && names_loopback(headers, uri) == Some(true)
        && !OF_OTHERS.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_programs_of_this_machine_ask_here() {
        let asked = |peer: &str, fields: &[(&'static str, &'static str)]| {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_asked_here(peer.parse().unwrap(), &fields.collect(), &Uri::from_static("/v1/node"))
        };
        let here = ("host", "127.0.0.1:8420");
        assert!(asked("127.0.0.1:5000", &[here]) && asked("[::1]:5000", &[("host", "localhost:8420")]));
        assert!(asked("[::ffff:127.0.0.1]:5000", &[("host", "[::1]:8420")]));
        assert!(!asked("10.0.0.7:5000", &[here]), "another machine");
        assert!(!asked("127.0.0.1:5000", &[]) && !asked("127.0.0.1:5000", &[("host", "node.example:8420")]));
        for (name, value) in [("x-forwarded-for", "8.8.8.8"), ("forwarded", "for=8.8.8.8"), ("via", "1.1 proxy")] {
            assert!(!asked("127.0.0.1:5000", &[here, (name, value)]), "{name}: a proxy on this machine");
        }
        assert!(!asked("127.0.0.1:5000", &[here, ("origin", "https://elsewhere.example")]), "a page from elsewhere");
    }

    #[test]
    fn limits_are_said_not_bent() {
        assert_eq!(limit(None).unwrap(), PAGE_ITEMS_DEFAULT);
        assert_eq!(limit(Some(PAGE_ITEMS_MAX)).unwrap(), PAGE_ITEMS_MAX);
        assert!(limit(Some(0)).is_err() && limit(Some(PAGE_ITEMS_MAX + 1)).is_err());
    }

    #[test]
    fn cursors_are_those_given_out() {
        assert_eq!(cursor(None, pair).unwrap(), None);
        assert_eq!(cursor(Some("12-3"), pair).unwrap(), Some((12, 3)));
        assert!(cursor(Some("12"), pair).is_err() && cursor(Some("-1-2"), pair).is_err());
    }
}
