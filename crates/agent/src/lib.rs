//! The agent of an Xnode as a process (clause X-1 of `docs/spec/xnode.md`): what a person asks of a machine, and the loop that brings the machine there.
//!
//! # What it owns
//! The Unix socket of the agent, the documents of generations, secrets at rest, and the history of what was done. The way from a generation to a machine is
//! that of `xnode`.
//!
//! # Shape
//! [`Service`] answers requests and makes generations; one thread ([`worker`]) looks at the machine at least every 5 s and does the next step. They
//! share no state but the files of the agent and a note of what is being done now.
//!
//! # On failure
//! The agent ends and everything it runs goes on. Started again it looks, and goes on where it was.

mod api;
mod backups;
pub mod carried;
mod catalogue;
pub mod client;
mod doors;
mod error;
mod history;
mod ids;
mod logs;
mod outcomes;
mod own_image;
mod pins;
mod programs;
mod secrets;
mod service;
mod settings;
mod uninstall;
pub mod views;
mod worker;

pub use backups::BackupsError;
pub use client::Client;
pub use error::AgentError;
pub use openmesh_backup::{Identity, Recipient};
pub use openmesh_blueprint::document::Name;
pub use openmesh_xnode::preflight;
pub use service::Service;
pub use programs::PROGRAMS;
pub use settings::Settings;
pub use uninstall::{Holdings, holdings, uninstall};

use std::sync::Arc;

use tokio::net::UnixListener;

/// Runs an agent until `ends` is ready: then it leaves, and whatever runs goes on.
///
/// # Errors
/// Another agent of this name runs, the machine cannot hold applications, or the socket cannot be bound.
pub async fn run(settings: Settings, ends: impl Future<Output = ()> + Send + 'static) -> Result<(), AgentError> {
    let service = Arc::new(Service::open(settings)?);
    let socket = service.settings().socket();
    // The lock of the agent is held: a socket that is there is a dead agent's.
    if let Err(cause) = std::fs::remove_file(&socket)
        && cause.kind() != std::io::ErrorKind::NotFound
    {
        return Err(AgentError::file("removing", &socket)(cause));
    }
    let listener = UnixListener::bind(&socket).map_err(AgentError::file("binding", &socket))?;
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(AgentError::file("protecting", &socket))?;
    let worker = worker::start(service.clone())?;
    let backups = backups::start(service.clone())?;
    let door = doors::watch(&service)?;
    tracing::info!(socket = %socket.display(), "the agent answers");
    let stop = service.clone();
    let ends = async move {
        ends.await;
        stop.leave();
    };
    let served = axum::serve(listener, api::router(service.clone())).with_graceful_shutdown(ends).await;
    service.leave();
    let joined = tokio::task::spawn_blocking(move || {
        let door = door.map_or(Ok(()), |door| door.join());
        worker.join().and(door).and(backups.join())
    })
    .await;
    if !matches!(joined, Ok(Ok(()))) {
        return Err(AgentError::Worker);
    }
    served.map_err(AgentError::file("serving", &socket))
}
