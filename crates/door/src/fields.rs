//! Fields of requests and answers on their way through: those for one connection end here, those that name the client are the door's alone.

use std::net::IpAddr;

use hyper::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

use crate::cookies;
use crate::pass::Wallet;

/// Client of a request, as an application hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its connection has TLS.
    pub tls: bool,
    /// Wallet by whose pass it came.
    pub wallet: Option<Wallet>,
}

/// Prefixes and names that a client may not say of itself.
const FORGED: [&str; 15] = [
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-",
    "x-rewrite-",
    "x-openmesh-",
    "x-remote-",
    "remote-",
    "x-auth-request-",
    "x-webauth-",
    "proxy",
];

/// Names that have a say in framing, routing or rights: they come in a head, in their own spelling, or not at all.
pub const WEIGHTY: [&str; 13] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "upgrade",
    "expect",
    "te",
    "trailer",
    "authorization",
    "cookie",
    "origin",
];

/// Takes the fields away that are for one connection, with those that `Connection` names.
pub fn strip_connection(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named.into_iter().filter(|name| *name != HOST && *name != CONTENT_LENGTH) {
        fields.remove(name);
    }
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        fields.remove(name);
    }
}

/// Prepares the fields of a request for an instance.
pub fn to_instance(fields: &mut HeaderMap, client: &Client, host: &HeaderValue) {
    let trailers =
        fields.get_all(TE).iter().any(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"trailers"));
    strip_connection(fields);
    // The door has asked for the body by then, and hyper has answered 100.
    fields.remove(EXPECT);
    let forged: Vec<HeaderName> = fields.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in forged {
        fields.remove(name);
    }
    cookies::strip(fields);
    if trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    let scheme = if client.tls { "https" } else { "http" };
    let address = match client.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let text = format!("for={address};host=\"{}\";proto={scheme}", host.to_str().unwrap_or_default());
    let user = client.wallet.map(|wallet| (HeaderName::from_static("x-forwarded-user"), wallet.to_string()));
    let texts = [
        (FORWARDED, text),
        (HeaderName::from_static("x-forwarded-for"), client.address.to_string()),
        (HeaderName::from_static("x-forwarded-proto"), scheme.to_string()),
    ];
    for (name, text) in texts.into_iter().chain(user) {
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.insert(name, value);
        }
    }
    fields.insert("x-forwarded-host", host.clone());
}

/// Takes the trailers of a request away that have no place there: applications merge them with the fields of the head.
pub fn trailers_to_instance(trailers: &mut HeaderMap) {
    let gone = |name: &str| is_forged(name) || WEIGHTY.contains(&folded(name).as_str());
    let gone: Vec<HeaderName> = trailers.keys().filter(|name| gone(name.as_str())).cloned().collect();
    for name in gone {
        trailers.remove(name);
    }
}

/// A name as the most careless gateway of a language reads it: CGI makes `_` of `-`, some make it of `.` and of whatever else is no letter.
fn folded(name: &str) -> String {
    name.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect()
}

/// Returns true for names that tell an application who the client is, and for those that it reads as another one, so that `Content_Length` is a second length.
fn is_forged(name: &str) -> bool {
    let folded = folded(name);
    FORGED.iter().any(|forged| folded.starts_with(forged)) || (folded != name && WEIGHTY.contains(&folded.as_str()))
}

/// Prepares the fields of an answer for a client.
pub fn to_client(fields: &mut HeaderMap) {
    // With a coding the length is of no meaning, and two lengths are how answers are smuggled.
    if fields.contains_key(TRANSFER_ENCODING) {
        fields.remove(CONTENT_LENGTH);
    }
    strip_connection(fields);
    cookies::strip_set(fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).expect("name"), HeaderValue::from_str(value).expect("value"))
        };
        fields.iter().map(pair).collect()
    }

    #[test]
    fn an_application_hears_of_the_client_from_the_door_alone() {
        let mut fields = map(&[
            ("connection", "close, x-secret, x-forwarded-for, host"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers, deflate"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x.forwarded.user", "root"),
            ("content!length", "5"),
            ("x-forwarded-user", "admin"),
            ("forwarded", "for=1.1.1.1"),
            ("x-openmesh-wallet", "0x1"),
            ("remote_user", "admin"),
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("own_name", "stays"),
            ("proxy", "http://evil"),
            ("cookie", "a=b"),
            ("host", "shop.example"),
        ]);
        let client =
            Client { address: "2001:db8::1".parse().expect("address"), tls: true, wallet: Some(Wallet([0xab; 20])) };
        to_instance(&mut fields, &client, &HeaderValue::from_static("shop.example"));
        let mut found: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        found.sort();
        let expected = [
            "cookie: a=b",
            "forwarded: for=\"[2001:db8::1]\";host=\"shop.example\";proto=https",
            "host: shop.example",
            "own_name: stays",
            "te: trailers",
            "x-forwarded-for: 2001:db8::1",
            "x-forwarded-host: shop.example",
            "x-forwarded-proto: https",
            "x-forwarded-user: 0xabababababababababababababababababababab",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_answer_has_one_length() {
        let mut fields =
            map(&[("transfer-encoding", "chunked"), ("content-length", "3"), ("connection", "close"), ("a", "b")]);
        to_client(&mut fields);
        assert_eq!(fields, map(&[("a", "b")]));
    }
}
