//! `openmesh xnode agent`: the agent as a process of its own, started by a person, by a service, or by `openmesh up`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openmesh_agent::{DocumentFile, Settings};
use openmesh_storage::files::write_whole;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::agent::{print, settings};
use super::xnode_service;
use crate::cli::machine::AgentArgs;
use crate::failure::Failure;
use crate::presence::Presence;
use crate::up::xnode::{Announced, subnet};

/// Runs the agent until it is asked to end.
pub async fn run(arguments: AgentArgs) -> Result<(), Failure> {
    let named = settings(&arguments.agent)?;
    let document = arguments.document.map(std::path::absolute).transpose();
    let document = document.map_err(|e| Failure::from_display("the file with the document", &e))?;
    let (serves, mut served) = watch::channel(false);
    let settings = Settings {
        runc: arguments.runc,
        pages: pages(),
        face: arguments.face.or(named.face),
        subnet: arguments.subnet,
        serves: Some(Arc::new(serves)),
        manager: std::env::var_os("NOTIFY_SOCKET").map(openmesh_agent::Manager::at),
        document: document.map(|path| DocumentFile { path, by: arguments.document_by }),
        ..named
    };
    check_taker(arguments.take_over, &settings)?;
    let greeting = format!(
        "the agent `{}` answers at {}; Ctrl-C ends it, and no application\n{}",
        settings.name,
        settings.socket().display(),
        super::xnode_access::greeting(&settings)
    );
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::from_display("signals", &e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::from_display("signals", &e))?;
    let (mut record, bell) = match &arguments.home {
        Some(home) => take(home, &settings).await.map(|(record, bell)| (Some(record), Some(bell)))?,
        None => (None, None),
    };
    let ends = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = rung(bell) => {}
        }
    };
    let failed = |error: openmesh_agent::AgentError| Failure::new(error.to_string());
    let taking = match arguments.take_over {
        true => Some(openmesh_agent::Taking::ask(&settings).await.map_err(failed)?),
        false => None,
    };
    let agent = openmesh_agent::run_from(taking, settings, ends);
    tokio::pin!(agent);
    let serves = async { served.wait_for(|serves| *serves).await.is_ok() };
    let ended = tokio::select! {
        ended = &mut agent => ended,
        true = serves => {
            if let Some(record) = &mut record {
                record.announce();
            }
            // Said once it is so. An agent goes on where nobody reads it.
            if let Err(failure) = print(&greeting) {
                tracing::warn!(cause = failure.message(), "the greeting is not printed");
            }
            agent.await
        }
    };
    // The record is kept until the last moment: whoever finds none may start another one.
    drop(record);
    ended.map_err(failed)
}

/// Refuses to take over from outside of the service that an agent is: systemd would start a third one for the one that ends.
fn check_taker(take_over: bool, settings: &Settings) -> Result<(), Failure> {
    if take_over && settings.manager.is_none() && xnode_service::is_active(settings)? {
        return Err(Failure::new(format!("the agent `{}` is a service of systemd", settings.name))
            .hint("openmesh xnode service renew lets this program take its place within the service"));
    }
    Ok(())
}

/// Studio, as this binary carries it.
fn pages() -> openmesh_agent::Pages {
    openmesh_agent::Pages::new(|path| {
        openmesh_gateway::studio_file(path).map(|(kind, bytes)| openmesh_agent::Page { kind, bytes })
    })
}

/// The record by which `openmesh up` finds the agent.
struct Record {
    presence: Presence,
    announced: Announced,
    /// File with the address of the face, while it answers.
    face: PathBuf,
}

impl Record {
    /// Records that the agent answers.
    fn announce(&mut self) {
        let face = std::fs::read_to_string(&self.face).ok();
        self.announced.face = face.and_then(|text| text.trim().parse().ok());
        let told = serde_json::to_value(&self.announced).map_err(std::io::Error::other);
        if let Err(error) = told.and_then(|told| self.presence.ready(told)) {
            tracing::warn!(%error, "the record of this process is not written; openmesh up does not find it");
        }
    }
}

/// Takes the record, and the socket by which the user of `openmesh up` ends the agent: a user cannot signal what runs as root.
async fn take(home: &Path, settings: &Settings) -> Result<(Record, UnixListener), Failure> {
    let presence = Presence::take(home).await.map_err(|e| Failure::from_display(home.display(), &e))?;
    let path = settings.run.join("end.socket");
    let bell = bind(&path, home).map_err(|e| Failure::from_display(path.display(), &e))?;
    if let Some(subnet) = &settings.subnet {
        let told = subnet::file(&settings.state);
        std::fs::create_dir_all(&settings.state)
            .and_then(|()| write_whole(&told, format!("{subnet}\n").as_bytes()))
            .map_err(|e| Failure::from_display(told.display(), &e))?;
    }
    let usual = Settings::usual(settings.name.clone()).is_ok_and(|usual| usual.state == settings.state);
    let announced = Announced {
        agent: settings.name.to_string(),
        state: settings.state.clone(),
        is_usual: usual,
        end: path,
        face: None,
    };
    Ok((Record { presence, announced, face: settings.face_file() }, bell))
}

/// Binds a socket that whoever owns the home may use, and nobody else.
fn bind(path: &Path, home: &Path) -> std::io::Result<UnixListener> {
    let owner = std::fs::metadata(home)?.uid();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    chown(path, Some(owner), None)?;
    Ok(socket)
}

/// Waits until somebody asks for the end; for ever where nobody can.
async fn rung(bell: Option<UnixListener>) {
    let Some(bell) = bell else { return std::future::pending().await };
    if let Err(error) = bell.accept().await {
        tracing::warn!(%error, "nobody but root can end this agent any more");
        std::future::pending::<()>().await;
    }
}
