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
mod exec;
mod face;
mod history;
mod ids;
mod jobs;
mod logs;
mod outcomes;
mod own_image;
mod pages;
mod pins;
mod programs;
mod reach;
mod secrets;
mod service;
mod settings;
pub mod terminal;
mod uninstall;
mod usage;
pub mod views;
mod wallets;
mod worker;

pub use api::import::imported;
pub use backups::BackupsError;
pub use client::Client;
pub use error::AgentError;
pub use openmesh_access::audit::verify_folder as verify_audit;
pub use openmesh_backup::{Identity, Recipient};
pub use openmesh_blueprint::compose;
pub use openmesh_blueprint::document::Name;
pub use openmesh_xnode::preflight;
pub use pages::{Page, Pages};
pub use programs::PROGRAMS;
pub use service::Service;
pub use settings::{Chain, People, Settings, SettingsFile};
pub use uninstall::{Holdings, holdings, uninstall};

use std::sync::Arc;

use tokio::net::UnixListener;

/// Time for open terminals to end when the agent leaves: their processes are asked and killed within less.
const TERMINALS_END: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs an agent until `ends` is ready: then it leaves, and whatever runs goes on. The file of settings in its folder counts before `settings`.
///
/// # Errors
/// Another agent of this name runs, the machine cannot hold applications, a file cannot be used, or the socket cannot be bound.
pub async fn run(settings: Settings, ends: impl Future<Output = ()> + Send + 'static) -> Result<(), AgentError> {
    let settings = settings.with_file()?;
    let service = Arc::new(Service::open(settings)?);
    let gate = Arc::new(face::Gate::open(service.settings())?);
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
    let face = face::Face::begin(service.settings(), api::router(service.clone()), &gate).await?;
    // The face answers by now, or nobody is led to it.
    let door = doors::watch(&service)?;
    let worker = worker::start(service.clone())?;
    let backups = backups::start(service.clone())?;
    let (stays, left) = tokio::sync::watch::channel(());
    let chores = [jobs::start(service.clone(), left.clone()), usage::start(service.clone(), left)];
    tracing::info!(socket = %socket.display(), "the agent answers");
    let stop = service.clone();
    let ends = async move {
        ends.await;
        stop.leave();
    };
    let router = face::for_root(api::router(service.clone()), &gate);
    let served = axum::serve(listener, router).with_graceful_shutdown(ends).await;
    service.leave();
    if let Some(face) = face {
        face.end().await;
    }
    drop(stays);
    for chore in chores {
        let _ = chore.await;
    }
    let joined = tokio::task::spawn_blocking(move || {
        let door = door.map_or(Ok(()), |door| door.join());
        worker.join().and(door).and(backups.join())
    })
    .await;
    // Terminals end when they hear that the agent leaves; one that does not is cut with the process.
    let _ = tokio::time::timeout(TERMINALS_END, service.processes().idle()).await;
    if !matches!(joined, Ok(Ok(()))) {
        return Err(AgentError::Worker);
    }
    served.map_err(AgentError::file("serving", &socket))
}
