//! Connections from outside: accepted within bounds, greeted, told apart, and ended in their own words.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::body::{Kept, Payload};
use crate::challenge;
use crate::crowd::Share;
use crate::guard::{Guard, Seen, Sight};
use crate::limits::{
    ACCEPT_PAUSE_MS, BACKLOG, CONNECTION_WINDOW_BYTES, FIELDS_MAX, HEAD_BYTES_MAX, IDLE_MS_MAX, LEAVE_SILENCE_MS,
    PING_MS, RESETS_OF_FAULTS_MAX, RESETS_PENDING_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::proxy::{Arrived, Peer, answer};
use crate::route::Route;
use crate::shared::Shared;
use crate::switch::Class;
use crate::table::{Kind, ListenerKey};
use crate::tunnel;

/// First bytes of HTTP/2 without TLS (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Binds a listener. It shares its port with a door that is leaving, and sockets of IPv6 take no IPv4.
///
/// # Errors
/// Those of the system.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(address.port() != 0)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until told to stop.
pub async fn accept(door: Arc<Shared>, listener: Arc<TcpListener>, key: ListenerKey, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(room) = door.room(address.ip()).await else { continue };
                let door = door.clone();
                tokio::spawn(async move { connection(door, stream, address, key, room).await });
            }
            // Want of descriptors or memory passes; a connection that ended before it was accepted is nothing.
            Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
        }
    }
}

async fn connection(door: Arc<Shared>, stream: TcpStream, address: SocketAddr, key: ListenerKey, room: Share) {
    // Latency, and notice of peers that are gone; neither is needed.
    let _ = stream.set_nodelay(true);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_millis(PING_MS)).with_interval(Duration::from_millis(PING_MS / 3));
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let greeting = door.patience().greeting;
    match door.table().kind(key) {
        Some(Kind::Raw(route)) => {
            raw(&door, stream, address, &route).await;
            drop(room);
        }
        Some(Kind::Http) => {
            let peer = Peer { address, listener: key, tls: false, server_name: None, room };
            http(door, stream, peer, None).await;
        }
        Some(Kind::Tls) => {
            let Ok(Ok(stream)) = tokio::time::timeout(greeting, door.certificates().accept(stream)).await else {
                return;
            };
            let (_, session) = stream.get_ref();
            if session.alpn_protocol() == Some(challenge::PROTOCOL) {
                // The greeting was all that an authority wanted.
                return;
            }
            let protocol = session.alpn_protocol().map(|protocol| protocol == b"h2");
            let server_name = session.server_name().and_then(crate::host::normal);
            http(door, stream, Peer { address, listener: key, tls: true, server_name, room }, protocol).await;
        }
        None => {}
    }
}

async fn raw(door: &Shared, mut stream: TcpStream, address: SocketAddr, route: &Arc<Route>) {
    // TCP has no words for a refusal but its end.
    let Ok(share) = door.crowd().request(address.ip()) else { return };
    let Ok(mut ticket) = route.admit(Class::Connection).await else { return };
    ticket.keep(share);
    let upstream = ticket.upstream.clone();
    let Ok(mut instance) = upstream.connect().await else { return };
    tunnel::carry(&mut stream, &mut instance, &mut ticket).await;
}

/// Serves HTTP; `http2` where the TLS greeting told the version.
async fn http<S>(door: Arc<Shared>, mut stream: S, peer: Peer, http2: Option<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let (http2, first) = match http2 {
        Some(http2) => (http2, Vec::new()),
        None => {
            let told = tokio::time::timeout(door.patience().greeting, first_bytes(&mut stream));
            let Ok(Ok(first)) = told.await else { return };
            (first == PREFACE, first)
        }
    };
    if http2 {
        serve_http2(door, Guard::open(stream, first), peer).await;
    } else {
        let seen = Arc::new(Seen::default());
        serve_http1(door, Guard::new(stream, first, seen.clone()), peer, seen).await;
    }
}

/// Bytes until it is known whether they are the preface of HTTP/2, never more than it has.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut first = vec![0; PREFACE.len()];
    let mut have = 0;
    while have < PREFACE.len() && PREFACE.starts_with(&first[..have]) {
        match stream.read(&mut first[have..]).await? {
            0 => break,
            count => have += count,
        }
    }
    first.truncate(have);
    Ok(first)
}

async fn serve_http1<S>(door: Arc<Shared>, stream: Guard<S>, peer: Arc<Peer>, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (leaving, patience) = (door.leaving(), door.patience().head);
    let ask = leaving.ask.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let arrived = Arrived { peer: peer.clone(), sight: seen.next(), seen: Some(seen.clone()) };
        let (door, ask) = (door.clone(), ask.clone());
        async move {
            let mut answer = answer(door, arrived, request).await;
            if ask.is_cancelled() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX * 2);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // Its errors are the client's.
        _ = connection.as_mut() => return,
        () = leaving.ask.cancelled() => {}
    }
    // A request may be on its way: it is answered, with `connection: close`. Only a connection that stays silent is closed without.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = leaving.cut.cancelled() => return,
        () = tokio::time::sleep(Duration::from_millis(LEAVE_SILENCE_MS)) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = leaving.cut.cancelled() => {}
    }
}

async fn serve_http2<S>(door: Arc<Shared>, stream: Guard<S>, peer: Arc<Peer>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let leaving = door.leaving();
    let (busy, calls) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
    let (kept, counted) = (busy.clone(), calls.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let arrived = Arrived { peer: peer.clone(), sight: Sight::Good, seen: None };
        counted.fetch_add(1, Ordering::Relaxed);
        let (door, kept) = (door.clone(), kept.clone());
        async move {
            let answer: Response<Payload> = answer(door, arrived, request).await;
            Ok::<_, Infallible>(answer.map(|body| Kept::new(body, kept).boxed_unsync()))
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(STREAM_WINDOW_BYTES as usize)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_OF_FAULTS_MAX)
        .keep_alive_interval(Duration::from_millis(PING_MS))
        .keep_alive_timeout(Duration::from_millis(PING_MS));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = leaving.ask.cancelled() => {}
        () = idle(&busy, &calls) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = leaving.cut.cancelled() => {}
    }
}

/// Waits until a connection had no stream for [`IDLE_MS_MAX`]. Beside the connection's own, its service holds one more count of `busy`.
async fn idle(busy: &Arc<()>, calls: &AtomicU64) {
    loop {
        let before = calls.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(IDLE_MS_MAX)).await;
        if Arc::strong_count(busy) <= 2 && calls.load(Ordering::Relaxed) == before {
            return;
        }
    }
}
