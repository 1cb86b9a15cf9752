//! The node's HTTP and WebSocket API for people and programs, over the other rooms' handles.
//!
//! # What it owns
//! The routes of the contract (crate `api`), sign-in, limits on requests, and Studio's files. It computes nothing that another
//! room could: a handler reads a handle, and words the answer.
//!
//! # Why it is shaped so
//! `deps` are the handles; `threads` are the gateway's own, behind those of consensus; `places`, `turns` and `lanes` are shared out among
//! the addresses that ask (`peer`); `memory` is fed by one task (`follow`) and read by everybody; `views` are pure functions from what
//! rooms know to the words of the contract; `rpc` is what wallets speak, and `fees` what the ledger charges in their words; `reads` ask
//! the ledger's store within a budget (`work`); `routes` are one function for each path and import all of these, and nothing imports a
//! route. Every answer, also a refused one, carries the provenance of the market data in a header that one layer sets, so that no handler
//! can forget it.
//!
//! # On failure
//! A fault of this node is logged where it is consumed and answered as `internal` without its details. A client that is
//! slow, greedy or gone costs only its own task: bodies, times, messages and queues have limits.

mod clock;
mod deps;
mod error;
mod fees;
mod follow;
mod http;
mod lanes;
mod memory;
mod node;
mod peer;
mod places;
mod reads;
mod router;
mod routes;
pub mod rpc;
mod running;
pub mod sessions;
#[cfg(test)]
mod testing;
mod threads;
mod turns;
mod views;
mod waiting;
mod work;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use deps::{Deps, Fetch, FullDisks, OperatorState};
pub use http::studio::studio_file;
pub use router::openapi;
pub use waiting::{Waiting, answer_waiting};

use node::Node;

/// Time for which open connections may go on after the node was asked to stop.
const DRAIN_SECONDS_MAX: u64 = 3;

/// A running gateway.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Address that it listens on.
    pub address: SocketAddr,
}

/// Reasons for which the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("the API cannot listen on {address}")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The system gives no threads.
    #[error("the API has no threads")]
    Threads(#[source] std::io::Error),
    /// The ledger cannot be read.
    #[error("the ledger cannot be read")]
    Store(#[from] openmesh_storage::StoreError),
}

/// Starts to serve. Fails where the address cannot be listened on, or the ledger cannot be read.
pub async fn start(
    address: SocketAddr,
    deps: Deps,
    cancel: CancellationToken,
) -> Result<(Handle, JoinHandle<()>), StartError> {
    // Subscribed before the stored blocks are read, so that no block falls between.
    let committed = deps.engine.committed();
    let threads = threads::start().map_err(StartError::Threads)?;
    let listen = |source| StartError::Listen { address, source };
    let bound = threads.handle().spawn(TcpListener::bind(address)).await;
    let listener = bound.map_err(|e| listen(std::io::Error::other(e)))?.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let node = threads
        .handle()
        .spawn_blocking(move || Node::new(deps, address))
        .await
        .map_err(|e| StartError::Listen { address, source: std::io::Error::other(e) })??;
    threads.handle().spawn(follow::feed(node.clone(), committed, cancel.clone()));
    let served = threads.handle().spawn(serve(listener, router::router(node), cancel));
    let serving = tokio::spawn(async move {
        // A panic of the server ends the task that whoever started it watches.
        let ended = served.await;
        drop(threads);
        if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
            std::panic::resume_unwind(panic);
        }
    });
    Ok((Handle { address }, serving))
}

/// Serves until it is told to stop, and some time longer while requests run.
async fn serve(listener: TcpListener, app: axum::Router, cancel: CancellationToken) {
    let server = http::serve::serve(listener, app, http::serve::Limits::default(), cancel.clone());
    let deadline = async {
        cancel.cancelled().await;
        tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS_MAX)).await;
    };
    tokio::select! {
        () = server => {}
        () = deadline => tracing::info!("open connections were cut off at the drain's deadline"),
    }
}
