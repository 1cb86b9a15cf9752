//! A stage for tests: applications that say what they saw, a door in this process, and clients that send bytes as they are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openmesh_door::body::{Payload, whole};
use openmesh_door::document::{
    Access, Admission, Document, Host, Instance, Listener, Protocol, Route, TcpListener, Traffic,
};
use openmesh_door::door::Door;
use openmesh_door::effects::free;
use openmesh_door::patience::Patience;
use openmesh_door::report::Report;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

/// Waits until something is so that nobody tells of.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, wait).await;
}

/// An application.
pub struct App {
    pub address: SocketAddr,
    /// Requests seen, by method and target.
    pub seen: Mutex<BTreeMap<String, u64>>,
    /// Lets `/wait` and `/stream` go on.
    pub go: Notify,
    /// A request of `/wait` or `/stream` is there.
    pub there: Notify,
    /// Bytes that `/flood` could send.
    pub flooded: AtomicU64,
    /// Bytes that `/drink` has read.
    pub drunk: AtomicU64,
    /// A body of `/drink` has broken off.
    pub spilled: Notify,
    pub connections: AtomicU64,
    name: String,
}

impl App {
    pub async fn start(name: &str) -> Arc<App> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let app = Arc::new(App {
            address: listener.local_addr().expect("an address"),
            seen: Mutex::default(),
            go: Notify::new(),
            there: Notify::new(),
            flooded: AtomicU64::new(0),
            drunk: AtomicU64::new(0),
            spilled: Notify::new(),
            connections: AtomicU64::new(0),
            name: name.to_string(),
        });
        let served = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::Relaxed);
                let app = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let app = app.clone();
                        async move { app.answer(request).await }
                    });
                    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    builder.http2().max_concurrent_streams(100);
                    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await.is_ok()
                });
            }
        });
        app
    }

    pub fn count(&self, request: &str) -> u64 {
        self.seen.lock().expect("seen").get(request).copied().unwrap_or(0)
    }

    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Response<Payload>, std::io::Error> {
        let line = format!("{} {}", request.method(), request.uri().path());
        *self.seen.lock().expect("seen").entry(line).or_default() += 1;
        match request.uri().path() {
            "/echo" => {
                let mut fields: Vec<String> = request
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                    .collect();
                fields.sort();
                let (method, uri) = (request.method().clone(), request.uri().clone());
                let body = request.into_body().collect().await.map_err(std::io::Error::other)?;
                let trailers = body.trailers().map_or(0, HeaderMap::len);
                let bytes = body.to_bytes().len();
                let text = format!("{method} {uri}\n{}\n{bytes} bytes, {trailers} trailers\n", fields.join("\n"));
                Ok(Response::new(whole(text.into())))
            }
            "/wait" => {
                self.there.notify_one();
                self.go.notified().await;
                Ok(Response::new(whole(self.name.clone().into())))
            }
            "/stream" => Ok(Response::new(self.stream())),
            "/flood" => Ok(Response::new(self.flood())),
            "/drink" => Ok(self.drink(request)),
            "/die" => Err(std::io::Error::other("as asked")),
            "/grpc" => Ok(self.grpc()),
            "/socket" => Ok(socket(&mut request)),
            _ => {
                request.into_body().collect().await.map_err(std::io::Error::other)?;
                Ok(Response::new(whole(self.name.clone().into())))
            }
        }
    }

    /// One part at once, the second when told.
    fn stream(self: &Arc<Self>) -> Payload {
        let (app, (sender, receiver)) = (self.clone(), mpsc::channel(1));
        tokio::spawn(async move {
            let _ = sender.send(Bytes::from_static(b"first ")).await;
            app.there.notify_one();
            app.go.notified().await;
            let _ = sender.send(Bytes::from_static(b"second")).await;
        });
        payload(receiver)
    }

    fn flood(self: &Arc<Self>) -> Payload {
        let (app, (sender, receiver)) = (self.clone(), mpsc::channel(1));
        tokio::spawn(async move {
            let part = Bytes::from(vec![7; 64 << 10]);
            while sender.send(part.clone()).await.is_ok() {
                app.flooded.fetch_add(part.len() as u64, Ordering::Relaxed);
            }
        });
        payload(receiver)
    }

    /// Answers at once, and reads on; one of gRPC with a stream.
    fn drink(self: &Arc<Self>, request: Request<Incoming>) -> Response<Payload> {
        let grpc = request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
        let (app, mut body) = (self.clone(), request.into_body());
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return app.spilled.notify_one() };
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                app.drunk.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        });
        if grpc { self.grpc() } else { Response::new(whole("drinks".into())) }
    }

    fn grpc(self: &Arc<Self>) -> Response<Payload> {
        let (sender, receiver) = mpsc::channel(1);
        let app = self.clone();
        tokio::spawn(async move {
            let _ = sender.send(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi"))).await;
            app.there.notify_one();
            app.go.notified().await;
            let mut end = HeaderMap::new();
            end.insert("grpc-status", "0".parse().expect("a value"));
            let _ = sender.send(Frame::trailers(end)).await;
        });
        let body = StreamBody::new(Frames(receiver)).boxed_unsync();
        Response::builder().header("content-type", "application/grpc").body(body).expect("an answer")
    }
}

struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl futures::Stream for Frames {
    type Item = Result<Frame<Bytes>, openmesh_door::body::Cause>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

/// A body whose parts come as they are sent.
pub fn payload(mut receiver: mpsc::Receiver<Bytes>) -> Payload {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(bytes) = receiver.recv().await {
            if sender.send(Frame::data(bytes)).await.is_err() {
                return;
            }
        }
    });
    StreamBody::new(Frames(frames)).boxed_unsync()
}

/// Echoes the bytes of another protocol.
fn socket(request: &mut Request<Incoming>) -> Response<Payload> {
    let upgrade = hyper::upgrade::on(&mut *request);
    let protocol = request.headers().get("upgrade").cloned();
    let Some(protocol) = protocol.filter(|protocol| protocol != "never") else {
        return Response::new(whole("no upgrade".into()));
    };
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(stream));
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    });
    let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", protocol);
    answer.body(whole(Bytes::new())).expect("an answer")
}

/// An instance for a document.
pub fn instance(name: &str, address: SocketAddr, traffic: Traffic, drain_ms: u64) -> Instance {
    Instance { name: name.to_string(), address, traffic, drain_ms }
}

pub fn route(protocol: Protocol, admission: Admission, instances: &[Instance]) -> Route {
    Route { protocol, admission, hold_ms: 30_000, instances: instances.to_vec(), page: None }
}

/// A document with one HTTP listener on loopback and a host `NAME.test` for each route; raw TCP gets a listener for each.
pub fn document(serial: u64, routes: &[(&str, Route)]) -> Document {
    let mut document = Document { serial, ..Document::empty() };
    document.listeners =
        vec![Listener { address: "127.0.0.1:0".parse().expect("an address"), tls: false, route: None }];
    for (name, route) in routes {
        let host = Host { route: name.to_string(), access: Access::Everybody, secure: false, gate: None };
        if route.protocol == Protocol::Tcp {
            let address = "127.0.0.1:0".parse().expect("an address");
            document.tcp.push(TcpListener { address, route: name.to_string() });
        } else {
            document.hosts.insert(format!("{name}.test"), host);
        }
        document.routes.insert(name.to_string(), route.clone());
    }
    document
}

pub fn open(app: &App, protocol: Protocol) -> Route {
    route(protocol, Admission::Open, &[instance("one.0", app.address, Traffic::Admit, 30_000)])
}

pub async fn door(document: Document) -> (Arc<Door>, Vec<SocketAddr>) {
    patient(document, Patience::default()).await
}

/// A door with times of its own.
pub async fn patient(document: Document, patience: Patience) -> (Arc<Door>, Vec<SocketAddr>) {
    let door = Arc::new(Door::with_patience(None, free(), patience).expect("a door"));
    let report = taken(&door, document).await;
    (door, report.listeners)
}

/// Hands a door a good document.
pub async fn taken(door: &Door, document: Document) -> Report {
    within("a document to be taken", door.apply(document)).await.expect("a good document")
}

/// A connection that sends bytes as they are.
pub struct Raw<S = TcpStream>(pub S, Vec<u8>);

/// An answer as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Raw {
    pub async fn to(address: SocketAddr) -> Raw {
        Raw(within("a connection", TcpStream::connect(address)).await.expect("a connection"), Vec::new())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// The same over a stream that is there.
    pub fn over(stream: S) -> Raw<S> {
        Raw(stream, Vec::new())
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        // A door that refuses closes early; what it said is still there.
        let _ = within("room for bytes", self.0.write_all(text.as_ref())).await;
        let _ = within("room for bytes", self.0.flush()).await;
    }

    /// Reads at least one more byte; false at the end.
    pub async fn more(&mut self) -> bool {
        let mut part = [0; 8_192];
        match within("bytes", self.0.read(&mut part)).await {
            Ok(count) if count > 0 => {
                self.1.extend_from_slice(&part[..count]);
                true
            }
            _ => false,
        }
    }

    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.1.len() < count && self.more().await {}
        self.1.drain(..count.min(self.1.len())).collect()
    }

    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.1)
    }

    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.1.windows(end.len()).position(|part| part == end) {
                return self.1.drain(..at + end.len()).collect();
            }
            if !self.more().await {
                return std::mem::take(&mut self.1);
            }
        }
    }

    pub async fn head(&mut self) -> (u16, String) {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, head)
    }

    /// Reads one answer with its body.
    pub async fn said(&mut self) -> Said {
        let (status, head) = self.head().await;
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        let body = if let Some(length) = length {
            self.bytes(length).await
        } else if lower.contains("transfer-encoding: chunked") {
            self.chunks().await
        } else {
            Vec::new()
        };
        Said { status, head, body: String::from_utf8_lossy(&body).into_owned() }
    }

    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8_lossy(&self.until(b"\r\n").await).trim().to_string();
        let size = usize::from_str_radix(&line, 16).ok()?;
        let bytes = self.bytes(size + 2).await;
        Some(bytes[..size.min(bytes.len())].to_vec())
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await.filter(|chunk| !chunk.is_empty()) {
            body.extend(chunk);
        }
        body
    }

    pub async fn get(&mut self, host: &str, path: &str) -> Said {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        self.said().await
    }
}

/// A client of HTTP/2 by prior knowledge.
pub async fn http2(
    address: SocketAddr,
) -> (hyper::client::conn::http2::SendRequest<Payload>, tokio::task::JoinHandle<Result<(), hyper::Error>>) {
    let stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = within("a greeting of HTTP/2", made).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

/// Sends a request by HTTP/2 and waits for the head of its answer.
pub async fn call(
    client: &mut hyper::client::conn::http2::SendRequest<Payload>,
    request: Request<Payload>,
) -> Response<Incoming> {
    within("an answer", client.send_request(request)).await.expect("an answer")
}

/// Collects the body of an answer.
pub async fn collected(answer: Response<Incoming>) -> http_body_util::Collected<Bytes> {
    within("a body", answer.into_body().collect()).await.expect("a body")
}
