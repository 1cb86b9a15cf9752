//! Answers that are named by their content: entity tags, ranges, caching. Source: RFC 9110, sections 8.8, 13 and 14.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use openmesh_api::ErrorCode;
use openmesh_primitives::sha256;

use crate::error::Refusal;

/// Caching of what is named by its content: it may be kept for ever.
pub const FOREVER: &str = "public, max-age=31536000, immutable";
/// Caching of what may be kept and is asked about before each use.
pub const ASK_AGAIN: &str = "no-cache";

/// Bytes of an entity tag: 128 bits of SHA-256 do not collide by accident.
const TAG_BYTES: usize = 16;

/// The entity tag of these bytes.
pub fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(&sha256(&[bytes]).0[..TAG_BYTES]))
}

/// True where the client has it already. Compared weakly, as RFC 9110 asks for this header.
pub fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let known = request.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    known.flat_map(|v| v.split(',')).map(str::trim).any(|v| v == "*" || v.strip_prefix("W/").unwrap_or(v) == tag)
}

/// An answer of 200 with a tag, or 304 where the client has it.
pub fn tagged(request: &HeaderMap, kind: &str, caching: &'static str, bytes: Vec<u8>) -> Response {
    // Weak, because a compressor may sit between: the same content in other bytes.
    let tag = tag(&bytes);
    let headers = [(ETAG, format!("W/{tag}")), (CACHE_CONTROL, caching.to_string()), (CONTENT_TYPE, kind.to_string())];
    if is_known(request, &tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Body::from(bytes)).into_response()
}

/// JSON with a tag.
pub fn tagged_json(request: &HeaderMap, value: &impl serde::Serialize) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|e| Refusal::internal("writing an answer", &e))?;
    Ok(tagged(request, "application/json", ASK_AGAIN, bytes))
}

/// A file to keep: whole, or the one range that was asked for. Only of GET is the range looked at (RFC 9110, 14.2).
pub fn file(method: &Method, request: &HeaderMap, bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    let tag = tag(&bytes);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Tag and name are made of hexadecimal digits and a CID, so they always are header values.
    for (header, value) in [(ETAG, tag.clone()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    if is_known(request, &tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let length = bytes.len();
    let wanted = if method == Method::GET { wanted(request, &tag, length) } else { Wanted::Whole };
    match wanted {
        Wanted::Whole => (headers, Body::from(bytes)).into_response(),
        Wanted::Part(first, last) => {
            if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{length}")) {
                headers.insert(CONTENT_RANGE, value);
            }
            let part = bytes.get(first..=last).map(<[u8]>::to_vec).unwrap_or_default();
            (StatusCode::PARTIAL_CONTENT, headers, Body::from(part)).into_response()
        }
        Wanted::Nothing => {
            let refusal = Refusal::new(
                ErrorCode::BadRange,
                format!("the range lies outside of the {length} bytes"),
                "ask for bytes=0- or leave the header range away",
            );
            let mut response = refusal.into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            response
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// First and last byte, both inclusive.
    Part(usize, usize),
    Nothing,
}

/// The part that the request's `range` asks for. Several ranges at once, other units and malformed ones are ignored, as the
/// standard allows: the whole is an answer to them too.
fn wanted(request: &HeaderMap, tag: &str, length: usize) -> Wanted {
    let Some(range) = request.get(RANGE).and_then(|v| v.to_str().ok()) else { return Wanted::Whole };
    // Only where the client's part belongs to these bytes can they be put together.
    if request.get(IF_RANGE).is_some_and(|v| v.as_bytes() != tag.as_bytes()) {
        return Wanted::Whole;
    }
    // Units do not differ by capitals (RFC 9110, 14.1).
    let bytes = range.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = bytes.and_then(|(_, range)| range.trim().split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => Wanted::Nothing,
            Some(_) if length == 0 => Wanted::Nothing,
            Some(count) => Wanted::Part(length.saturating_sub(count), length - 1),
            None => Wanted::Whole,
        },
        (first, last) => match (number(first), last, number(last)) {
            (Some(first), _, _) if first >= length => Wanted::Nothing,
            (Some(first), "", _) => Wanted::Part(first, length - 1),
            (Some(first), _, Some(last)) if last >= first => Wanted::Part(first, last.min(length - 1)),
            _ => Wanted::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn ranges() {
        let of = |range: &str| wanted(&with(RANGE, range), "\"a\"", 10);
        assert_eq!(wanted(&HeaderMap::new(), "\"a\"", 10), Wanted::Whole);
        assert_eq!(of("bytes=0-0"), Wanted::Part(0, 0));
        assert_eq!(of("bytes=4-"), Wanted::Part(4, 9));
        assert_eq!(of("bytes=4-99"), Wanted::Part(4, 9));
        assert_eq!(of("bytes=-3"), Wanted::Part(7, 9));
        assert_eq!(of("bytes=-99"), Wanted::Part(0, 9));
        assert_eq!(of("bytes=10-"), Wanted::Nothing);
        assert_eq!(of("bytes=-0"), Wanted::Nothing);
        assert_eq!(of("Bytes=0-1"), Wanted::Part(0, 1));
        for ignored in ["bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=", "bytes=-"] {
            assert_eq!(of(ignored), Wanted::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_part_of_other_bytes_is_not_continued() {
        let mut headers = with(RANGE, "bytes=4-");
        headers.insert(IF_RANGE, HeaderValue::from_static("\"b\""));
        assert_eq!(wanted(&headers, "\"a\"", 10), Wanted::Whole);
        assert_eq!(wanted(&headers, "\"b\"", 10), Wanted::Part(4, 9));
    }

    #[test]
    fn what_the_client_has_is_not_sent() {
        let bytes = b"content".to_vec();
        let tag = tag(&bytes);
        let of = |headers: HeaderMap| file(&Method::GET, &headers, bytes.clone(), "text/x", "n");
        assert_eq!(of(with(IF_NONE_MATCH, &tag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(of(with(IF_NONE_MATCH, "\"other\"")).status(), StatusCode::OK);
        assert!(is_known(&with(IF_NONE_MATCH, &format!("\"x\", W/{tag}")), &tag));
        let part = of(with(RANGE, "bytes=0-2"));
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.headers()[CONTENT_RANGE], "bytes 0-2/7");
    }

    #[test]
    fn a_range_is_of_get_alone() {
        for range in ["bytes=0-2", "bytes=99-"] {
            let head = file(&Method::HEAD, &with(RANGE, range), b"content".to_vec(), "text/x", "n");
            assert_eq!(head.status(), StatusCode::OK, "{range}");
            assert!(!head.headers().contains_key(CONTENT_RANGE), "{range}");
        }
    }
}
