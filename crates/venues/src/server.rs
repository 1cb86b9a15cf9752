//! The server: one port for every venue, routed by the host that stands first in the path; or by the `Host` header, for clients
//! that were led here under a venue's own name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use openmesh_dialect::emulate::Endpoint;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::config::{Config, EthereumAnswer, Mode};
use crate::connection;
use crate::faults::{Faults, Weather};
use crate::hub::Endpoints;
use crate::progress::Progress;
use crate::replay::{self, LoadError};
use crate::simulation;
use crate::source::HttpRequest;

/// Longest JSON-RPC body that is read, in bytes: a batch of a thousand calls fits.
const RPC_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Longest message of a client that the WebSocket takes, in bytes.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Reason that the server does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for the venues: choose another address, or port 0 for a free one")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Cause.
        source: std::io::Error,
    },
    /// The recordings cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The server failed.
    #[error("the venues' server failed")]
    Serve(#[source] std::io::Error),
}

/// A running server; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// Address that it listens on.
    pub addr: SocketAddr,
    endpoints: Arc<dyn Endpoints>,
}

impl Handle {
    /// Events, connections, and how far each recording is.
    pub fn progress(&self) -> Progress {
        self.endpoints.progress()
    }

    /// Catalogue of what is served.
    pub fn catalogue(&self) -> Catalogue {
        self.endpoints.catalogue()
    }

    /// The local address that stands for one of a venue: `wss://HOST/PATH` becomes `ws://ADDR/HOST/PATH`, `https://` becomes
    /// `http://` likewise. `None` for other schemes.
    pub fn local(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "wss" => "ws",
            "https" => "http",
            _ => return None,
        };
        Some(format!("{scheme}://{}/{rest}", self.addr))
    }
}

#[derive(Clone)]
struct Shared {
    endpoints: Arc<dyn Endpoints>,
    faults: Faults,
    ethereum: Option<EthereumAnswer>,
    stop: CancellationToken,
}

/// Starts serving. The recordings are read before this returns, so that what is wrong with them is said at once.
pub async fn start(config: Config, stop: CancellationToken) -> Result<(Handle, JoinHandle<Result<(), Error>>), Error> {
    let mut tasks = JoinSet::new();
    let endpoints: Arc<dyn Endpoints> = match &config.mode {
        Mode::Simulation(simulation) => simulation::start(*simulation, &mut tasks, stop.clone()),
        Mode::Replay(replay) => replay::start(replay.clone(), &mut tasks, stop.clone()).await?,
    };
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let addr = listener.local_addr().map_err(|source| Error::Listen { address, source })?;
    let shared = Shared {
        endpoints: endpoints.clone(),
        faults: config.faults,
        ethereum: config.ethereum.clone(),
        stop: stop.clone(),
    };
    let router = Router::new()
        .route("/ethereum", post(ethereum))
        .fallback(venue)
        .layer(DefaultBodyLimit::max(RPC_BODY_BYTES_MAX))
        .with_state(shared);
    let clock = endpoints.clone();
    let ticking = stop.clone();
    tasks.spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        while ticking.run_until_cancelled(second.tick()).await.is_some() {
            clock.second();
        }
    });
    let join = tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).await;
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        served.map_err(Error::Serve)
    });
    Ok((Handle { addr, endpoints }, join))
}

async fn ethereum(State(shared): State<Shared>, body: Bytes) -> Response {
    let Some(answer) = shared.ethereum else {
        return (StatusCode::NOT_FOUND, "no chain is served here\n").into_response();
    };
    // Reading a block's receipts out of a recording may take a while.
    match tokio::task::spawn_blocking(move || answer(&body)).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "the replayed chain failed to answer");
            (StatusCode::INTERNAL_SERVER_ERROR, "the replayed chain failed to answer\n").into_response()
        }
    }
}

/// Returns the venue's host that a request means, and its path there. A path `/HOST/PATH` says both. Venues' own paths do not begin with a
/// name that has a dot: under such a path it is the `Host` header that says which venue.
fn place(parts: &Parts) -> (String, String) {
    let full = parts.uri.path().trim_start_matches('/');
    let (first, rest) = full.split_once('/').map_or((full, String::new()), |(first, rest)| (first, format!("/{rest}")));
    if first.contains('.') {
        return (first.to_owned(), if rest.is_empty() { String::from("/") } else { rest });
    }
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    (named.unwrap_or_default().to_owned(), parts.uri.path().to_owned())
}

/// A WebSocket where the client upgrades, else a request.
async fn venue(State(shared): State<Shared>, request: Request) -> Response {
    let (mut parts, _body): (_, Body) = request.into_parts();
    let query = parts.uri.query().unwrap_or("").to_owned();
    let (host, path) = place(&parts);
    if parts.headers.contains_key(header::UPGRADE) {
        let Some(endpoint) = Endpoint::of_socket(&host, &path) else {
            return unknown(&host, &path);
        };
        return match WebSocketUpgrade::from_request_parts(&mut parts, &shared).await {
            Ok(upgrade) => upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(move |socket| {
                connection::serve(socket, shared.endpoints, endpoint, path, query, shared.faults, shared.stop)
            }),
            Err(refused) => refused.into_response(),
        };
    }
    let answer = shared.endpoints.http(&HttpRequest { host: &host, path: &path, query: &query });
    let Some(answer) = answer else { return unknown(&host, &path) };
    if shared.faults.delay_ms_max > 0 {
        let seed = path.len() as u64 ^ (answer.body.len() as u64) << 16;
        tokio::time::sleep(Weather::new(shared.faults, seed).answer().delay).await;
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
}

fn unknown(host: &str, path: &str) -> Response {
    let text = format!(
        "nothing is served for host {host:?}, path {path:?}: the path must be /HOST/PATH of a venue, \
         or the Host header a venue's\n"
    );
    (StatusCode::NOT_FOUND, text).into_response()
}
