//! A server of S3 in this process that is strict about the protocol: signatures, hashes, times, conditions, ranges and lists are held against their rules. It can
//! be told to misbehave.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openmesh_backup::S3Settings;
use openmesh_primitives::{Timestamp, sha256};
use sha2::Sha256;

/// Objects in one part of a list: few, so that lists have many parts.
const PART_OBJECTS: usize = 3;

/// Misbehaviour, for one request each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 503 without doing anything.
    Busy,
    /// Does it and answers 500.
    DoneButFailed,
    /// Does not know conditions.
    NoConditions,
    /// Sends more than the range.
    LongRange,
    /// Sends another range.
    OtherRange,
    /// Sends a list that never goes on.
    EndlessList,
    /// Sends a list of nonsense.
    BrokenList,
}

/// State of a bucket.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, (Vec<u8>, Timestamp)>,
    pub faults: Vec<Fault>,
    /// Requests by method.
    pub asked: BTreeMap<String, u64>,
    /// Milliseconds that the clock is ahead.
    pub ahead_ms: i64,
}

pub struct Bucket {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
    _runtime: tokio::runtime::Runtime,
}

const SECRET: &str = "secret/key+of=tests";

impl Bucket {
    pub fn start() -> Bucket {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Bucket { address, state, _runtime: runtime }
    }

    pub fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: format!("http://{}", self.address),
            bucket: "bucket".to_string(),
            prefix: "of/tests".to_string(),
            region: "us-east-1".to_string(),
            access_key: "tester".to_string(),
            secret_key: SECRET.to_string(),
            session_token: None,
        }
    }

    pub fn will(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults = faults.to_vec();
    }
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn error(status: u16, code: &str) -> Answer {
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said by the server</Message></Error>");
    (status, vec![], text.into_bytes())
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut state = state.lock().unwrap();
    let now = Timestamp(Timestamp::now().nanos() + state.ahead_ms * 1_000_000);
    *state.asked.entry(head.method.to_string()).or_default() += 1;
    let (path, query) = (head.uri.path().to_string(), head.uri.query().unwrap_or("").to_string());
    let (status, headers, content) = match check(&head.method, &path, &query, &head.headers, &body, now) {
        Err(refused) => refused,
        Ok(()) => act(&mut state, &head.method, &path, &query, &head.headers, &body, now),
    };
    let time = now.to_rfc3339();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[time[5..7].parse::<usize>().unwrap() - 1];
    let date = format!("Mon, {} {month} {} {} GMT", &time[8..10], &time[..4], &time[11..19]);
    let mut response = Response::builder().status(status).header("date", date);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(if head.method == Method::HEAD { vec![] } else { content }))).unwrap())
}

/// Holds a request's signature against what it is to be. Written apart from the client's.
fn check(
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Answer> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let denied = || error(403, "SignatureDoesNotMatch");
    let hash = sha256(&[body]).to_string();
    if header("x-amz-content-sha256") != hash {
        return Err(error(400, "XAmzContentSHA256Mismatch"));
    }
    let date = header("x-amz-date");
    if date.len() != 16 || !date.ends_with('Z') {
        return Err(error(403, "AccessDenied"));
    }
    let (y, m, d, rest) = (&date[..4], &date[4..6], &date[6..8], &date[9..]);
    let text = format!("{y}-{m}-{d}T{}:{}:{}Z", &rest[..2], &rest[2..4], &rest[4..6]);
    let sent = Timestamp::parse_rfc3339(text.as_bytes()).map_err(|_| denied())?;
    if (now.millis() - sent.millis()).abs() > 15 * 60_000 {
        return Err(error(403, "RequestTimeTooSkewed"));
    }
    let given = header("authorization").strip_prefix("AWS4-HMAC-SHA256 Credential=tester/").ok_or_else(denied)?;
    let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
    let rest = given.strip_prefix(&scope).and_then(|rest| rest.strip_prefix(",SignedHeaders=")).ok_or_else(denied)?;
    let (names, signature) = rest.split_once(",Signature=").ok_or_else(denied)?;
    let list: Vec<&str> = names.split(';').collect();
    // Whatever decides about the act has to be signed.
    let needed = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| name.starts_with("x-amz-") || matches!(*name, "host" | "if-none-match" | "range"));
    if !list.is_sorted() || !needed.into_iter().all(|name| list.contains(&name)) {
        return Err(denied());
    }
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort();
    let lines: String = list.iter().map(|name| format!("{name}:{}\n", header(name))).collect();
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{hash}", pairs.join("&"));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&[canonical.as_bytes()]));
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [&date[..8], "us-east-1", "s3", "aws4_request", &to_sign] {
        let mut block = [0_u8; 64];
        block[..key.len()].copy_from_slice(&key);
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new(&block.into());
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    if hex::encode(key) == signature { Ok(()) } else { Err(denied()) }
}

fn act(
    state: &mut State,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Answer {
    let fault = if state.faults.is_empty() { None } else { Some(state.faults.remove(0)) };
    if fault == Some(Fault::Busy) {
        return error(503, "SlowDown");
    }
    let Some(key) = path.strip_prefix("/bucket") else { return error(404, "NoSuchBucket") };
    let key = key.trim_start_matches('/').to_string();
    let done = match (method.as_str(), key.as_str()) {
        ("GET", "") => list(state, query, fault),
        ("PUT", _) if headers.contains_key("if-none-match") && fault == Some(Fault::NoConditions) => {
            error(501, "NotImplemented")
        }
        ("PUT", _) if headers.contains_key("if-none-match") && state.objects.contains_key(&key) => {
            error(412, "PreconditionFailed")
        }
        ("PUT", _) => {
            // Whole seconds, as S3 tells them.
            let stored = Timestamp(now.nanos() / 1_000_000_000 * 1_000_000_000);
            state.objects.insert(key, (body.to_vec(), stored));
            (200, vec![], vec![])
        }
        ("HEAD", _) if state.objects.contains_key(&key) => (200, vec![], vec![]),
        ("GET", _) => match state.objects.get(&key) {
            Some((bytes, _)) => range(bytes, headers, fault),
            None => error(404, "NoSuchKey"),
        },
        ("HEAD", _) => error(404, "NoSuchKey"),
        ("DELETE", _) => {
            state.objects.remove(&key);
            (204, vec![], vec![])
        }
        _ => error(405, "MethodNotAllowed"),
    };
    if fault == Some(Fault::DoneButFailed) { error(500, "InternalError") } else { done }
}

fn range(bytes: &[u8], headers: &HeaderMap, fault: Option<Fault>) -> Answer {
    let range = headers.get("range").and_then(|value| value.to_str().ok()).unwrap_or("");
    let Some((from, until)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return (200, vec![], bytes.to_vec());
    };
    let (from, until): (usize, usize) = (from.parse().unwrap(), until.parse().unwrap());
    if from >= bytes.len() || until < from {
        return error(416, "InvalidRange");
    }
    let mut end = bytes.len().min(until + 1);
    let mut said = format!("bytes {from}-{}/{}", end - 1, bytes.len());
    match fault {
        Some(Fault::LongRange) => end = bytes.len(),
        Some(Fault::OtherRange) => said = format!("bytes {}-{end}/{}", from + 1, bytes.len()),
        _ => {}
    }
    (206, vec![("content-range", said)], bytes[from..end].to_vec())
}

fn list(state: &State, query: &str, fault: Option<Fault>) -> Answer {
    let decode = |text: &str| text.replace("%2F", "/");
    let pairs: BTreeMap<String, String> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_string(), decode(b))).collect();
    let value = |name: &str| pairs.get(name).cloned().unwrap_or_default();
    if value("list-type") != "2" {
        return error(400, "InvalidArgument");
    }
    let after = if fault == Some(Fault::EndlessList) { String::new() } else { value("start-after") };
    let all = || state.objects.iter().filter(|(key, _)| key.starts_with(&value("prefix")) && **key > after);
    let entries: String = all()
        .take(PART_OBJECTS)
        .map(|(key, (bytes, stored))| {
            let stored = stored.to_rfc3339();
            let (size, tag) = (bytes.len(), "&quot;x&quot;");
            format!("<Contents><Key>{key}</Key><LastModified>{stored}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>")
        })
        .collect();
    let more = all().count() > PART_OBJECTS || fault == Some(Fault::EndlessList);
    let text = format!(
        "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><IsTruncated>{more}</IsTruncated>{entries}</ListBucketResult>"
    );
    let end = if fault == Some(Fault::BrokenList) { text.len() - 60 } else { text.len() };
    (200, vec![], text.as_bytes()[..end].to_vec())
}
