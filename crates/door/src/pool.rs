//! Connections to one instance: resting ones of HTTP/1.1, shared ones of HTTP/2.
//!
//! Nothing is sent twice but what may be: a request whose connection was found dead before a byte of it was written goes to another one, and
//! one by GET, HEAD or OPTIONS without a body is tried once more when a connection that had rested dies under it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::body::Payload;
use crate::document::Protocol;
use crate::limits::{
    CONNECT_MS_MAX, CONNECT_PAUSE_MS, CONNECT_TRIES_MAX, CONNECTION_WINDOW_BYTES, HEAD_BYTES_MAX, PING_MS,
    POOL_REST_MS_MAX, POOL_REST_WRITING_MS_MAX, POOL_RESTING_MAX, STREAM_WINDOW_BYTES, STREAMS_OF_INSTANCE_MAX,
};

/// An instance as the target of requests.
#[derive(Debug)]
pub struct Upstream {
    /// Its address.
    pub address: SocketAddr,
    /// Its language.
    pub protocol: Protocol,
    resting: Mutex<VecDeque<(http1::SendRequest<Payload>, Instant)>>,
    /// A task sees to the end of rest.
    watched: AtomicBool,
    shared: Mutex<Vec<Shared>>,
    /// Held by the one who opens a shared connection.
    opening: tokio::sync::Mutex<()>,
    /// Number of tries to open one that failed.
    failures: AtomicU64,
    ends: Mutex<Ends>,
    /// Time in which tunnels are asked to end, milliseconds.
    ask_within_ms: AtomicU64,
}

/// Signals to whatever is open at an instance.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// It shall end in its own words.
    pub ask: CancellationToken,
    /// It is cut.
    pub cut: CancellationToken,
}

#[derive(Clone, Debug)]
struct Shared {
    sender: http2::SendRequest<Payload>,
    streams: Arc<AtomicU32>,
}

/// A stream of a shared connection, for as long as it is open.
#[derive(Debug)]
pub struct Stream(Arc<AtomicU32>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Error of an exchange with an instance.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection; nothing was sent.
    #[error("no connection to {address}")]
    Connect {
        /// Address of the instance.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// The exchange broke; the instance may have seen the request.
    #[error("the exchange with {address} broke")]
    Broken {
        /// Address of the instance.
        address: SocketAddr,
        /// The connection had rested before.
        rested: bool,
        /// Cause.
        source: hyper::Error,
    },
}

/// An answer, and the stream that it occupies.
pub type Answered = (Response<Incoming>, Option<Stream>);

impl Upstream {
    /// An instance without connections.
    pub fn new(address: SocketAddr, protocol: Protocol) -> Upstream {
        Upstream {
            address,
            protocol,
            resting: Mutex::default(),
            watched: AtomicBool::new(false),
            shared: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            failures: AtomicU64::new(0),
            ends: Mutex::default(),
            ask_within_ms: AtomicU64::new(0),
        }
    }

    /// Signals to what begins now.
    pub fn ends(&self) -> Ends {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Time in which tunnels are asked to end.
    pub fn ask_within(&self) -> Duration {
        Duration::from_millis(self.ask_within_ms.load(Ordering::Relaxed))
    }

    /// Asks what is open to end, and closes what rests.
    pub fn ask(&self, within_ms: u64) {
        self.ask_within_ms.store(within_ms, Ordering::Relaxed);
        self.ends().ask.cancel();
        self.close_resting();
    }

    /// Closes what rests.
    pub fn close_resting(&self) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Cuts what is open.
    pub fn cut(&self) {
        self.close_resting();
        self.ends().cut.cancel();
    }

    /// Begins anew after a drain that was taken back: what begins from now on is not asked to end.
    pub fn renew(&self) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.ask.is_cancelled() {
            ends.ask = CancellationToken::new();
        }
        if ends.cut.is_cancelled() {
            ends.cut = CancellationToken::new();
        }
    }

    /// Opens a connection, with a few tries.
    ///
    /// # Errors
    /// [`ExchangeError::Connect`].
    pub async fn connect(&self) -> Result<TcpStream, ExchangeError> {
        let mut tries = 1;
        loop {
            let connect = tokio::time::timeout(Duration::from_millis(CONNECT_MS_MAX), TcpStream::connect(self.address));
            let error = match connect.await {
                Ok(Ok(stream)) => {
                    // Only latency is lost where the kernel refuses it.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT_MS_MAX} ms")),
            };
            if tries >= CONNECT_TRIES_MAX {
                return Err(ExchangeError::Connect { address: self.address, source: error });
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(CONNECT_PAUSE_MS)).await;
        }
    }

    /// Sends a request and waits for the head of its answer. `repeatable` says that it may be sent twice.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn send(
        self: &Arc<Self>,
        request: Request<Payload>,
        repeatable: bool,
    ) -> Result<Answered, ExchangeError> {
        match self.protocol {
            Protocol::H2c => self.send_http2(request).await,
            Protocol::Http1 | Protocol::Tcp => self.send_http1(request, repeatable).await.map(|answer| (answer, None)),
        }
    }

    /// Sends a request that asks for another protocol, on a connection of its own.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn send_upgrade(&self, request: Request<Payload>) -> Result<Response<Incoming>, ExchangeError> {
        let mut sender = self.open_http1().await?;
        sender.send_request(request).await.map_err(|source| self.broken(source, false))
    }

    fn broken(&self, source: hyper::Error, rested: bool) -> ExchangeError {
        ExchangeError::Broken { address: self.address, rested, source }
    }

    async fn send_http1(
        self: &Arc<Self>,
        request: Request<Payload>,
        repeatable: bool,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let rest_ms = if repeatable { POOL_REST_MS_MAX } else { POOL_REST_WRITING_MS_MAX };
        let mut request = request;
        loop {
            let (mut sender, rested) = match self.take_resting(Duration::from_millis(rest_ms)) {
                Some(sender) => (sender, true),
                None => (self.open_http1().await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    let upstream = self.clone();
                    tokio::spawn(async move { upstream.rest(sender).await });
                    return Ok(answer);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if rested => request = unsent,
                    _ => return Err(self.broken(error.into_error(), rested)),
                },
            }
        }
    }

    fn take_resting(&self, rest: Duration) -> Option<http1::SendRequest<Payload>> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        keep_fresh(&mut resting);
        // The one that rested least is the one that lives most likely.
        let (_, since) = resting.back()?;
        if since.elapsed() >= rest {
            return None;
        }
        resting.pop_back().map(|(sender, _)| sender)
    }

    async fn open_http1(&self) -> Result<http1::SendRequest<Payload>, ExchangeError> {
        let stream = self.connect().await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX * 2);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|source| self.broken(source, false))?;
        // Its errors are those of its requests.
        tokio::spawn(async move { connection.with_upgrades().await.is_ok() });
        Ok(sender)
    }

    /// Keeps a connection once its exchange is over, unless the instance is leaving, and sees to the end of its rest.
    async fn rest(&self, mut sender: http1::SendRequest<Payload>) {
        let ask = self.ends().ask;
        if sender.ready().await.is_err() || ask.is_cancelled() {
            return;
        }
        {
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            if resting.len() >= POOL_RESTING_MAX {
                resting.pop_front();
            }
            resting.push_back((sender, Instant::now()));
            if self.watched.swap(true, Ordering::Relaxed) {
                return;
            }
        }
        loop {
            tokio::time::sleep(Duration::from_millis(POOL_REST_MS_MAX)).await;
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            keep_fresh(&mut resting);
            if resting.is_empty() {
                self.watched.store(false, Ordering::Relaxed);
                return;
            }
        }
    }

    async fn send_http2(&self, request: Request<Payload>) -> Result<Answered, ExchangeError> {
        let mut request = request;
        loop {
            let (mut shared, rested) = match self.take_shared() {
                Some(shared) => (shared, true),
                None => self.share_http2().await?,
            };
            let stream = Stream(shared.streams);
            match shared.sender.try_send_request(request).await {
                Ok(answer) => return Ok((answer, Some(stream))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if rested => request = unsent,
                    _ => return Err(self.broken(error.into_error(), rested)),
                },
            }
        }
    }

    /// A shared connection with one more stream.
    fn take_shared(&self) -> Option<Shared> {
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|shared| !shared.sender.is_closed());
        let free = all.iter().find(|shared| shared.streams.load(Ordering::Relaxed) < STREAMS_OF_INSTANCE_MAX)?;
        free.streams.fetch_add(1, Ordering::Relaxed);
        Some(free.clone())
    }

    /// A shared connection, and whether it was there before. One request opens it and the others wait for it, also for its failure: whoever opened
    /// one each would have a thousand connections for a thousand held requests.
    async fn share_http2(&self) -> Result<(Shared, bool), ExchangeError> {
        let before = self.failures.load(Ordering::Relaxed);
        let _alone = self.opening.lock().await;
        if let Some(shared) = self.take_shared() {
            return Ok((shared, true));
        }
        if self.failures.load(Ordering::Relaxed) != before {
            let source = io::Error::new(io::ErrorKind::NotConnected, "another request has just tried in vain");
            return Err(ExchangeError::Connect { address: self.address, source });
        }
        let opened = self.open_http2().await;
        if opened.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        opened.map(|shared| (shared, false))
    }

    async fn open_http2(&self) -> Result<Shared, ExchangeError> {
        let stream = self.connect().await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_send_buf_size(STREAM_WINDOW_BYTES as usize)
            .keep_alive_interval(Duration::from_millis(PING_MS))
            .keep_alive_timeout(Duration::from_millis(PING_MS));
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|source| self.broken(source, false))?;
        tokio::spawn(async move { connection.await.is_ok() });
        let shared = Shared { sender, streams: Arc::new(AtomicU32::new(1)) };
        if !self.ends().ask.is_cancelled() {
            self.shared.lock().unwrap_or_else(PoisonError::into_inner).push(shared.clone());
        }
        Ok(shared)
    }
}

/// Lets go what has died or rested for long.
fn keep_fresh(resting: &mut VecDeque<(http1::SendRequest<Payload>, Instant)>) {
    resting.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < Duration::from_millis(POOL_REST_MS_MAX));
}
