//! Proofs for an authority that a host name leads here, as long as a certificate is ordered for it (RFC 8555, section 8.3, and RFC 8737).
//!
//! While a name has a challenge in the document, everything below `/.well-known/acme-challenge/` of that name is the door's own: tokens of the document are
//! answered, and others are not found. So no application can take part in an order. Without one the path is the application's, as any other.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};

use crate::document::Challenge;
use crate::limits::{CHALLENGE_BYTES_MAX, CHALLENGES_MAX};
use crate::page::Notice;

/// Protocol of a greeting that proves something (RFC 8737, section 6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";
/// Folder of answers (RFC 8555, section 8.3).
const FOLDER: &str = "/.well-known/acme-challenge/";

/// Returns true for a proof that a document may have.
pub fn is_good(challenge: &Challenge) -> bool {
    let good = |text: &str| {
        (1..=CHALLENGE_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let tokens = challenge.tokens.len() <= CHALLENGES_MAX
        && challenge.tokens.iter().all(|(token, answer)| good(token) && good(answer));
    tokens && challenge.digest.as_deref().is_none_or(|digest| bytes(digest).is_some())
}

/// The answer to a request without TLS that is about a challenge of its host; none for every other request.
pub fn answer<B>(
    challenges: &BTreeMap<String, Challenge>,
    name: &str,
    request: &Request<B>,
) -> Option<Result<Response<Bytes>, Notice>> {
    let challenge = challenges.get(name)?;
    let token = request.uri().path().strip_prefix(FOLDER)?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let Some(text) = challenge.tokens.get(token).filter(|_| reads) else {
        let text = "A certificate is ordered for this name, and this token is none of that order.";
        return Some(Err(Notice::new(404, "no_such_token", "Nothing is proved by this token", text)));
    };
    let mut answer = Response::new(Bytes::from(text.clone()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(Ok(answer))
}

/// The 32 bytes of 64 hexadecimal digits.
pub fn bytes(digits: &str) -> Option<[u8; 32]> {
    let mut all = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in all.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges() -> BTreeMap<String, Challenge> {
        let tokens = [("abc".to_string(), "abc.def".to_string())].into();
        [("shop.example".to_string(), Challenge { tokens, digest: Some("0f".repeat(32)) })].into()
    }

    #[test]
    fn tokens_of_the_document_are_answered_and_nothing_else() {
        let all = challenges();
        let ask = |name: &str, method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            answer(&all, name, &request).map(|answer| answer.map(Response::into_body).map_err(|notice| notice.status))
        };
        let path = "/.well-known/acme-challenge/abc";
        assert_eq!(ask("shop.example", Method::GET, path), Some(Ok(Bytes::from_static(b"abc.def"))));
        assert_eq!(ask("shop.example", Method::POST, path), Some(Err(404)));
        for other in ["abd", "", "abc/", "../x", "ABC"] {
            let path = format!("/.well-known/acme-challenge/{other}");
            assert_eq!(ask("shop.example", Method::GET, &path), Some(Err(404)), "{other}");
        }
        // Other names and paths are the application's.
        assert_eq!(ask("other.example", Method::GET, path), None);
        assert_eq!(ask("shop.example", Method::GET, "/.well-known/acme"), None);
        assert_eq!(ask("shop.example", Method::GET, "/"), None);
    }

    #[test]
    fn a_token_of_an_authority_is_plain() {
        assert!(challenges().values().all(is_good));
        for wrong in ["", "a/b", "a b", "ä", &"a".repeat(CHALLENGE_BYTES_MAX + 1)] {
            let tokens = [(wrong.to_string(), "abc.def".to_string())].into();
            assert!(!is_good(&Challenge { tokens, digest: None }), "{wrong}");
        }
    }
}
