//! Signatures of requests. Source: AWS, "Signature Version 4", with the body's hash in a header.

use hmac::{Hmac, Mac as _};
use openmesh_primitives::Timestamp;
use sha2::{Digest as _, Sha256};

use super::S3Settings;

/// A request before it is signed.
pub(super) struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, encoded.
    pub path: &'a str,
    /// Names and values of its query, as they are, in ascending order.
    pub query: &'a [(&'a str, String)],
    /// Lower-case names and values of headers beside those that are added here, in any order.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: &'a [u8],
}

/// The headers that a request is sent with, the signature among them. `host` is the address's, with the port if it has one.
pub(super) fn sign(
    settings: &S3Settings,
    host: &str,
    now: Timestamp,
    request: &Request<'_>,
) -> Vec<(&'static str, String)> {
    let moment = moment(now);
    let day = moment.split('T').next().unwrap_or_default();
    let hash = hex::encode(Sha256::digest(request.body));
    let mut headers = request.headers.clone();
    headers.push(("host", host.to_string()));
    headers.push(("x-amz-content-sha256", hash.clone()));
    headers.push(("x-amz-date", moment.clone()));
    if let Some(token) = &settings.session_token {
        headers.push(("x-amz-security-token", token.clone()));
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let query = query(request.query);
    let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{hash}", request.method, request.path);
    let scope = format!("{day}/{}/s3/aws4_request", settings.region);
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let secret = format!("AWS4{}", settings.secret_key);
    let parts = [day, &settings.region, "s3", "aws4_request", &text];
    let signature = parts.iter().fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let credential = format!("{}/{scope}", settings.access_key);
    let signature = hex::encode(signature);
    headers.push((
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"),
    ));
    headers
}

/// A query, encoded.
pub(super) fn query(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Text with everything but letters, digits, `-`, `.`, `_` and `~` as per cent signs and hexadecimal digits.
pub(super) fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// A moment as `20130524T000000Z`.
fn moment(now: Timestamp) -> String {
    let text = now.to_rfc3339();
    let seconds: String = text.chars().take(19).filter(|letter| !matches!(letter, '-' | ':')).collect();
    format!("{seconds}Z")
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key longer than a block is hashed first, as HMAC says (RFC 2104).
    let hashed = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    let mut block = [0; 64];
    block[..hashed.len()].copy_from_slice(&hashed);
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new(&block.into());
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(request: &Request<'_>) -> String {
        let settings = S3Settings {
            endpoint: "https://examplebucket.s3.amazonaws.com".to_string(),
            bucket: "examplebucket".to_string(),
            prefix: String::new(),
            region: "us-east-1".to_string(),
            access_key: "AKIAIOSFODNN7EXAMPLE".to_string(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_string(),
            session_token: None,
        };
        let now = Timestamp::parse_rfc3339(b"2013-05-24T00:00:00Z").unwrap();
        let headers = sign(&settings, "examplebucket.s3.amazonaws.com", now, request);
        let (_, signed) = headers.last().unwrap();
        signed.rsplit_once('=').unwrap().1.to_string()
    }

    /// Source: AWS, "Authenticating Requests: Using the Authorization Header", its examples.
    #[test]
    fn signatures_are_those_of_the_examples() {
        let of = |method, path, query, headers, body| signature(&Request { method, path, query, headers, body });
        let get = of("GET", "/test.txt", &[], vec![("range", "bytes=0-9".to_string())], b"");
        assert_eq!(get, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        let headers = vec![
            ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_string()),
            ("date", "Fri, 24 May 2013 00:00:00 GMT".to_string()),
        ];
        let put = of("PUT", "/test%24file.text", &[], headers, b"Welcome to Amazon S3.");
        assert_eq!(put, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
        let list = of("GET", "/", &[("max-keys", "2".to_string()), ("prefix", "J".to_string())], vec![], b"");
        assert_eq!(list, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }
}
