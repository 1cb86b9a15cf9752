//! Requests to a server of S3: signed, sent, and sent again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use openmesh_primitives::Timestamp;
use reqwest::header::{CONTENT_RANGE, DATE, HeaderMap};
use reqwest::{Method, Response, StatusCode, Url};

use super::sign::{Request, encode, query, sign};
use super::{S3Settings, xml};

/// Times that a request is sent before it is given up: with the waits between them, half a minute of an outage is borne.
const TRIES_MAX: u32 = 7;
/// First wait before a request is sent again, milliseconds; each further one is twice as long.
const WAIT_MS: u64 = 250;
/// Longest time without a byte, milliseconds.
const STALL_MS_MAX: u64 = 60_000;
/// Longest time to connect, milliseconds.
const CONNECT_MS_MAX: u64 = 10_000;
/// Largest error that is read, bytes: S3's have some hundreds.
const ERROR_BYTES_MAX: usize = 16 << 10;
/// Characters of a stranger's text that an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// A request in words.
#[derive(Clone)]
pub(super) struct Ask {
    pub method: Method,
    /// Key of the object; empty for the bucket.
    pub key: String,
    /// Names and values, by ascending name.
    pub query: Vec<(&'static str, String)>,
    /// Lower-case names, and values.
    pub headers: Vec<(&'static str, String)>,
    pub body: Arc<[u8]>,
    /// Bytes of a good answer's body that are read.
    pub body_bytes_max: usize,
}

impl Ask {
    /// A request without query, headers and body.
    pub(super) fn new(method: Method, key: String) -> Ask {
        Ask { method, key, query: vec![], headers: vec![], body: Arc::from([]), body_bytes_max: 0 }
    }
}

/// An answer.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
    /// The body went on beyond what is read.
    pub cut: bool,
    headers: HeaderMap,
}

impl Answer {
    /// The code of an error; none where the body says none.
    pub(super) fn code(&self) -> Option<String> {
        self.words().map(|(code, _)| code)
    }

    fn words(&self) -> Option<(String, String)> {
        std::str::from_utf8(&self.body).ok().and_then(xml::error)
    }

    /// The error in words.
    pub(super) fn error(&self) -> io::Error {
        let words = self.words().map_or(String::new(), |(code, message)| format!(", {code}: {message}"));
        let shown: String = words.chars().filter(|letter| !letter.is_control()).take(SHOWN_CHARS_MAX).collect();
        let kind = match self.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => io::ErrorKind::PermissionDenied,
            StatusCode::INSUFFICIENT_STORAGE => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, format!("the server answered {}{shown}", self.status.as_u16()))
    }

    /// A part of an object begins where it was asked to.
    pub(super) fn starts_at(&self, from: u64) -> bool {
        let range = self.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
    }

    /// The server's time by the head of its answer.
    fn date(&self) -> Option<Timestamp> {
        http_date(self.headers.get(DATE)?.to_str().ok()?)
    }

    fn may_pass(&self) -> bool {
        // A conflict is that of two writers of one name: the second try sees who came first.
        let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT, StatusCode::REQUEST_TIMEOUT];
        (self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED) || passing.contains(&self.status)
    }
}

/// A client of one bucket.
pub(super) struct Client {
    pub settings: S3Settings,
    http: reqwest::Client,
    /// Path of the bucket, encoded.
    bucket: String,
    origin: String,
    host: String,
    /// Nanoseconds that the server's clock is ahead of ours.
    ahead_nanos: AtomicI64,
}

impl Client {
    pub(super) fn new(settings: S3Settings) -> io::Result<Client> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_string());
        let url: Url = settings.endpoint.parse().map_err(|_| wrong("the address is none; `https://HOST` is wanted"))?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https") && url.query().is_none());
        let host = host.ok_or_else(|| wrong("the address is not one of http or https"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the address has a name or password in it; keys are given apart"));
        }
        let host = url.port().map_or(host.to_string(), |port| format!("{host}:{port}"));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let part = |text: &str| plain(text) && !matches!(text, "" | "." | "..");
        if !part(&settings.bucket) || !(settings.prefix.is_empty() || settings.prefix.split('/').all(part)) {
            return Err(wrong(
                "bucket and prefix have letters, digits, `-`, `_`, `.`, and the prefix `/` between parts",
            ));
        }
        // The first one counts; another room may have set the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
            .read_timeout(Duration::from_millis(STALL_MS_MAX))
            .user_agent(concat!("openmesh/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        let bucket = format!("{}/{}", url.path().trim_end_matches('/'), encode(&settings.bucket));
        let origin = format!("{}://{host}", url.scheme());
        Ok(Client { settings, http, bucket, origin, host, ahead_nanos: AtomicI64::new(0) })
    }

    /// Sends a request until it is answered for good.
    pub(super) async fn ask(&self, ask: Ask) -> io::Result<Answer> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.once(&ask).await;
            let last = tries >= TRIES_MAX;
            match answer {
                Ok(answer) if !last && self.learn_time(&answer) => continue,
                Ok(answer) if last || !answer.may_pass() => return Ok(answer),
                Err(error) if last => return Err(error),
                _ => tokio::time::sleep(Duration::from_millis(WAIT_MS << (tries - 1))).await,
            }
        }
    }

    /// Takes the server's time where it says that ours is wrong; true where that changes something.
    fn learn_time(&self, answer: &Answer) -> bool {
        if answer.status != StatusCode::FORBIDDEN || answer.code().is_none_or(|code| code != "RequestTimeTooSkewed") {
            return false;
        }
        let Some(there) = answer.date() else { return false };
        let ahead = there.nanos().saturating_sub(Timestamp::now().nanos());
        self.ahead_nanos.swap(ahead, Ordering::Relaxed) != ahead
    }

    async fn once(&self, ask: &Ask) -> io::Result<Answer> {
        let parts: Vec<String> = ask.key.split('/').filter(|part| !part.is_empty()).map(encode).collect();
        let path = parts.iter().fold(self.bucket.clone(), |path, part| format!("{path}/{part}"));
        let now = Timestamp(Timestamp::now().nanos().saturating_add(self.ahead_nanos.load(Ordering::Relaxed)));
        let request = Request {
            method: ask.method.as_str(),
            path: &path,
            query: &ask.query,
            headers: ask.headers.clone(),
            body: &ask.body,
        };
        let headers = sign(&self.settings, &self.host, now, &request);
        let mut url = format!("{}{path}", self.origin);
        if !ask.query.is_empty() {
            url = format!("{url}?{}", query(&ask.query));
        }
        let mut builder = self.http.request(ask.method.clone(), url);
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            builder = builder.header(name, value);
        }
        if ask.method == Method::PUT {
            builder = builder.body(ask.body.to_vec());
        }
        let response = builder.send().await.map_err(|error| io::Error::other(chain(&error)))?;
        let good = response.status().is_success();
        read(response, if good { ask.body_bytes_max } else { ERROR_BYTES_MAX }).await
    }
}

async fn read(mut response: Response, bytes_max: usize) -> io::Result<Answer> {
    let (status, headers) = (response.status(), response.headers().clone());
    let (mut body, mut cut) = (Vec::new(), false);
    while let Some(part) = response.chunk().await.map_err(|error| io::Error::other(chain(&error)))? {
        let room = bytes_max - body.len();
        body.extend(part.get(..room).unwrap_or(&part));
        if part.len() > room {
            cut = true;
            break;
        }
    }
    Ok(Answer { status, body, cut, headers })
}

/// A date as HTTP writes it: `Sun, 29 Nov 2026 11:16:26 GMT` (RFC 9110, IMF-fixdate).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse_rfc3339(format!("{year}-{month:02}-{day}T{time}Z").as_bytes()).ok()
}

/// An error with its causes.
fn chain(error: &reqwest::Error) -> String {
    let mut text = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push(inner.to_string());
        cause = inner.source();
    }
    if text.is_empty() { "the connection broke".to_string() } else { text.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let time = http_date("Sun, 29 Nov 2026 11:16:26 GMT").unwrap();
        assert_eq!(time, Timestamp::parse_rfc3339(b"2026-11-29T11:16:26Z").unwrap());
        for wrong in ["", "Sun, 29 Nov 2026", "Sun, 29 Foo 2026 11:16:26 GMT", "Sun, 29 Nov 2026 11:16:26 CET"] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn places_that_cannot_be_are_refused_and_secrets_are_not_shown() {
        let settings = |endpoint: &str, bucket: &str, prefix: &str| S3Settings {
            endpoint: endpoint.to_string(),
            bucket: bucket.to_string(),
            prefix: prefix.to_string(),
            region: "us-east-1".to_string(),
            access_key: "key".to_string(),
            secret_key: "word-that-nobody-sees".to_string(),
            session_token: Some("word-that-nobody-sees".to_string()),
        };
        let good = settings("http://127.0.0.1:9/base/", "bucket", "a/b");
        assert!(!format!("{good:?}").contains("nobody"));
        assert_eq!(Client::new(good).map(|client| client.bucket).unwrap(), "/base/bucket");
        for (endpoint, bucket, prefix) in [
            ("", "b", ""),
            ("ftp://host", "b", ""),
            ("https://user:word@host", "b", ""),
            ("https://host?x=1", "b", ""),
            ("https://host", "", ""),
            ("https://host", "..", ""),
            ("https://host", "a/b", ""),
            ("https://host", "b", "a/../b"),
            ("https://host", "b", "/a"),
            ("https://host", "b", "a b"),
        ] {
            assert!(Client::new(settings(endpoint, bucket, prefix)).is_err(), "{endpoint} {bucket} {prefix}");
        }
    }
}
