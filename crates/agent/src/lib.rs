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

mod acme;
mod alerts;
mod api;
mod backups;
mod belongs;
pub mod carried;
mod catalogue;
pub mod client;
mod contract;
mod costs;
mod declared;
mod doors;
mod drain;
mod error;
mod exec;
pub mod export;
mod face;
mod files;
mod history;
mod ids;
mod jobs;
mod lending;
mod logs;
mod machines;
mod manager;
mod moves;
mod outcomes;
mod own_image;
mod pages;
mod pins;
mod processes;
mod programs;
mod publishers;
mod reach;
mod secrets;
mod service;
mod settings;
mod takeover;
pub mod terminal;
mod uninstall;
mod usage;
pub mod views;
mod visits;
mod wallets;
mod worker;

pub use api::import::imported;
pub use backups::BackupsError;
pub use client::Client;
pub use contract::openapi;
pub use error::AgentError;
pub use lending::LendingError;
pub use machines::{JoinError, check_line};
pub use manager::Manager;
pub use moves::MovesError;
pub use openmesh_access::audit::verify_folder as verify_audit;
pub use openmesh_backup::{BackupError, Identity, NodeKey, Recipient};
pub use openmesh_blueprint::compose;
pub use openmesh_blueprint::document::{Name, Size, Subnet};
pub use openmesh_blueprint::unit;
pub use openmesh_templates::{index as catalogue_index, publish as catalogue_publish};
pub use openmesh_xnode::preflight;
pub use pages::{Page, Pages};
pub use programs::PROGRAMS;
pub use publishers::CatalogueError;
pub use service::Service;
pub use settings::{
    Chain, DocumentFile, DoorPorts, FACE, LEND_PORT, LendPlace, People, SUBNET, Settings, SettingsFile,
};
pub use takeover::Taking;
pub use uninstall::{Holdings, holdings, uninstall};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Time for open requests to end when the agent leaves: streams end at once, and answers are short.
const REQUESTS_END: Duration = Duration::from_secs(10);
/// Longest wait for locks that are about to be given up.
const BACK_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at them.
const BACK_AGAIN: Duration = Duration::from_millis(50);
/// Time for open terminals to end when the agent leaves: their processes are asked and killed within less.
const TERMINALS_END: Duration = Duration::from_secs(5);

/// Runs an agent until `ends` is ready: then it leaves, and whatever runs goes on. The file of settings in its folder counts before `settings`. An agent of a
/// newer version may take its place; where that does not get there, this one goes on.
///
/// # Errors
/// Another agent of this name runs, the machine cannot hold applications, a file cannot be used, or the socket cannot be bound.
pub async fn run(settings: Settings, ends: impl Future<Output = ()> + Send + 'static) -> Result<(), AgentError> {
    run_from(None, settings, ends).await
}

/// As [`run`], in the place of the agent that has handed over.
///
/// # Errors
/// As [`run`]; or there is something to do that the one before had not to do. The one before goes on then.
pub async fn run_from(
    taking: Option<Taking>,
    settings: Settings,
    ends: impl Future<Output = ()> + Send + 'static,
) -> Result<(), AgentError> {
    let settings = settings.with_file()?;
    let (end, asked) = watch::channel(false);
    let waits = tokio::spawn(async move {
        ends.await;
        let _ = end.send(true);
    });
    let (mut taking, mut back) = (taking, None::<Instant>);
    let ended = loop {
        match once(taking.take(), settings.clone(), asked.clone()).await {
            Ok(Ended::Asked) => break Ok(()),
            Ok(Ended::HandedOver(handed, steps)) => {
                if handed.give_way(steps).await {
                    break Ok(());
                }
                tracing::warn!("the agent that was to take over did not get there; this one goes on");
                back = Some(Instant::now());
            }
            // The locks of the other one go with its process, which may take a moment.
            Err(error) if error.is_held() && back.is_some_and(|since| since.elapsed() < BACK_MAX) => {
                tokio::time::sleep(BACK_AGAIN).await;
            }
            Err(error) => break Err(error),
        }
    };
    waits.abort();
    ended
}

/// Tells the manager of services, where one has started this agent, that it serves.
fn tell_manager(settings: &Settings) {
    if let Err(error) = settings.manager.as_ref().map_or(Ok(()), Manager::serves) {
        tracing::warn!(%error, "the manager of services does not hear that this agent serves");
    }
}

/// End of an agent.
enum Ended {
    /// It was asked to end.
    Asked,
    /// It has given everything up for another one, with these steps left to do.
    HandedOver(takeover::Handed, BTreeSet<String>),
}

/// Everything of an agent that runs beside its sockets.
struct Parts {
    face: Option<face::Face>,
    door: Option<std::thread::JoinHandle<()>>,
    backups: std::thread::JoinHandle<()>,
    lender: std::thread::JoinHandle<()>,
    chores: [JoinHandle<()>; 8],
    /// The chores end when it goes.
    stays: watch::Sender<()>,
    worked: JoinHandle<Result<std::thread::Result<()>, tokio::task::JoinError>>,
}

impl Parts {
    /// Starts them. The receiver hears when the worker has ended.
    async fn start(
        service: &Arc<Service>,
        gate: &Arc<face::Gate>,
        place: watch::Receiver<bool>,
    ) -> Result<(Parts, oneshot::Receiver<()>), AgentError> {
        let face = face::Face::begin(service.settings(), api::router(service.clone()), gate).await?;
        // The face answers by now, or nobody is led to it.
        let door = doors::watch(service)?;
        let worker = worker::start(service.clone(), place)?;
        let backups = backups::start(service.clone())?;
        let lender = lending::watch(service)?;
        let (stays, left) = watch::channel(());
        let chores = [
            jobs::start(service.clone(), left.clone()),
            alerts::start(service.clone(), left.clone()),
            acme::start(service.clone(), left.clone()),
            declared::start(service.clone(), left.clone()),
            publishers::start(service.clone(), left.clone()),
            usage::start(service.clone(), left.clone()),
            machines::start(service.clone(), left.clone()),
            moves::start(service.clone(), left),
        ];
        // A worker that ends by itself has panicked: an agent that does nothing must not go on answering.
        let worked = tokio::task::spawn_blocking(move || worker.join());
        let (stopped, stops) = oneshot::channel();
        let worked = tokio::spawn(async move {
            let ended = worked.await;
            let _ = stopped.send(());
            ended
        });
        Ok((Parts { face, door, backups, lender, chores, stays, worked }, stops))
    }

    /// Ends them, after the service was told to leave. True where none of the threads has panicked.
    async fn end(self) -> bool {
        let Parts { face, door, backups, lender, chores, stays, worked } = self;
        if let Some(face) = face {
            face.end().await;
        }
        drop(stays);
        for chore in chores {
            let _ = chore.await;
        }
        let joined = tokio::task::spawn_blocking(move || {
            let door = door.map_or(Ok(()), |door| door.join());
            door.and(backups.join()).and(lender.join())
        });
        matches!(joined.await, Ok(Ok(()))) & matches!(worked.await, Ok(Ok(Ok(()))))
    }
}

/// Serves root until the agent is asked to end, its worker has ended, or another agent asks for its place: then that one is returned beside the outcome.
async fn serve(
    service: &Arc<Service>,
    router: Router,
    (listener, hand_over): (UnixListener, takeover::Listener),
    mut asked: watch::Receiver<bool>,
    stops: oneshot::Receiver<()>,
) -> (std::io::Result<()>, Option<takeover::Handed>) {
    let (stop, (handed, hands), (leaving, mut leaves)) = (service.clone(), oneshot::channel(), watch::channel(false));
    let ends = async move {
        tokio::select! {
            _ = asked.wait_for(|asked| *asked) => {}
            _ = stops => {}
            handing = hand_over.asked() => {
                let _ = handed.send(handing);
            }
        }
        stop.leave();
        let _ = leaving.send(true);
    };
    // Whoever reads nothing of an answer holds up nobody's end.
    let cut = async {
        let _ = leaves.wait_for(|leaves| *leaves).await;
        tokio::time::sleep(REQUESTS_END).await;
    };
    let served = tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(ends).into_future() => served,
        () = cut => Ok(()),
    };
    (served, hands.await.ok())
}

/// Runs an agent once.
async fn once(taking: Option<Taking>, settings: Settings, asked: watch::Receiver<bool>) -> Result<Ended, AgentError> {
    let service = Arc::new(tokio::task::block_in_place(|| Service::open(settings))?);
    if let Some(taking) = &taking {
        tokio::task::block_in_place(|| taking.check(&service))?;
    }
    let gate = Arc::new(face::Gate::open(service.settings())?);
    let (placed, place) = watch::channel(taking.is_none());
    gate.wait(taking.is_some());
    service.machines().know(&gate.access().machines());
    // A door that does not answer yet is told again.
    drop(tokio::task::block_in_place(|| visits::tell(&service, gate.access(), gate.key())));
    let sockets = (bind(service.settings())?, takeover::Listener::bind(service.settings())?);
    let (parts, stops) = Parts::start(&service, &gate, place).await?;
    // The manager hears it before the one before ends: its end would be the end of the service.
    tell_manager(service.settings());
    if let Some(taking) = taking
        && let Err(error) = taking.serves().await
    {
        service.leave();
        return Err(error);
    }
    gate.wait(false);
    placed.send_replace(true);
    tracing::info!(socket = %service.settings().socket().display(), "the agent answers");
    if let Some(serves) = &service.settings().serves {
        serves.send_replace(true);
    }
    let router = face::for_root(api::router(service.clone()), &gate);
    let (served, handed) = serve(&service, router, sockets, asked, stops).await;
    service.leave();
    let all_joined = parts.end().await;
    // Terminals end when they hear that the agent leaves; one that does not is cut with the process.
    let _ = tokio::time::timeout(TERMINALS_END, service.processes().idle()).await;
    if !all_joined {
        return Err(AgentError::Worker);
    }
    served.map_err(AgentError::file("serving", service.settings().socket()))?;
    match handed {
        Some(handed) => {
            let steps = tokio::task::block_in_place(|| takeover::steps(&service)).unwrap_or_default();
            close(service).await?;
            Ok(Ended::HandedOver(handed, steps))
        }
        None => {
            // Whoever starts another one at once finds no lock of this one. A request that was cut may hold them until the process ends.
            if close(service).await.is_err() {
                tracing::warn!("a request that was cut holds the locks until this process ends");
            }
            Ok(Ended::Asked)
        }
    }
}

/// Gives an agent's locks up, as soon as the last request has let go of it.
async fn close(service: Arc<Service>) -> Result<(), AgentError> {
    let begun = Instant::now();
    while Arc::strong_count(&service) > 1 {
        if begun.elapsed() > BACK_MAX {
            return Err(AgentError::Worker);
        }
        tokio::time::sleep(BACK_AGAIN).await;
    }
    Ok(())
}

/// Binds the agent's socket. Its lock is held: a socket that is there is a dead agent's.
fn bind(settings: &Settings) -> Result<UnixListener, AgentError> {
    let socket = settings.socket();
    if let Err(cause) = std::fs::remove_file(&socket)
        && cause.kind() != std::io::ErrorKind::NotFound
    {
        return Err(AgentError::file("removing", &socket)(cause));
    }
    let listener = UnixListener::bind(&socket).map_err(AgentError::file("binding", &socket))?;
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(AgentError::file("protecting", &socket))?;
    Ok(listener)
}
