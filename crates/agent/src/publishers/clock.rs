//! The clock of catalogues: looks at the places of those that the wanted document names, some times a day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::CatalogueError;
use crate::api::blocking;
use crate::error::AgentError;
use crate::service::{Service, names};
use crate::views::EventKind;

/// Longest rest between two looks at what is due: a document may name other catalogues by then.
const LOOK: Duration = Duration::from_secs(60);
/// Time between two looks for texts to which nobody can come back: each reads the documents of all generations that are kept.
const COLLECT: Duration = Duration::from_secs(6 * 3_600);

/// Starts the clock. It ends once the sender of `stays` is gone.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        tell_damages(&service);
        let mut said = String::new();
        let mut collected = None::<Instant>;
        loop {
            let turn = tokio::select! {
                turn = turn(&service) => turn,
                () = ended(&mut stays) => return,
            };
            // One that lasts is told once.
            let words = turn.err().map(|error| error.to_string()).unwrap_or_default();
            if !words.is_empty() && words != said {
                tracing::warn!(error = %words, "catalogues of other publishers cannot be looked at");
            }
            said = words;
            if collected.is_none_or(|at| at.elapsed() >= COLLECT) {
                collected = Some(Instant::now());
                if let Err(error) = blocking(&service, collect).await {
                    tracing::warn!(%error, "texts of templates to which nobody can come back stay for now");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = service.publishers().wake().notified() => {}
                () = ended(&mut stays) => return,
            }
        }
    })
}

/// Waits until the agent leaves.
async fn ended(stays: &mut watch::Receiver<()>) {
    while stays.changed().await.is_ok() {}
}

/// Notes files that this run of the agent could not read and has left out.
fn tell_damages(service: &Service) {
    let wanted = service.wanted().unwrap_or_default();
    for damage in service.publishers().damages() {
        let Some(words) = damage.words else { continue };
        let text = format!("{} cannot be read, and lies in {}: {words}", damage.what, damage.file.display());
        service.history().note(EventKind::Found, wanted, None, text);
    }
}

/// One look.
async fn turn(service: &Arc<Service>) -> Result<(), AgentError> {
    let sources = blocking(service, |service| service.catalogues()).await?;
    for (name, source) in service.publishers().due(&sources) {
        let before = service.publishers().failure(&name);
        let done = service.publishers().refresh(&name, &source).await;
        tell(service, &name, before.as_deref(), &done);
    }
    Ok(())
}

/// Removes texts to which nobody can come back, and notes which.
fn collect(service: &Service) -> Result<(), AgentError> {
    let Some(named) = service.templates_named()? else { return Ok(()) };
    let gone = service.publishers().collect(&named, Instant::now())?;
    if !gone.is_empty() {
        let text = format!("texts of templates to which nobody can come back are gone: {}", names(gone.iter()));
        service.history().note(EventKind::Done, service.wanted()?, None, text);
    }
    Ok(())
}

/// Notes what became of a catalogue where that is news.
fn tell(service: &Service, name: &Name, before: Option<&str>, done: &Result<(), CatalogueError>) {
    let wanted = service.wanted().unwrap_or_default();
    let note = |kind, text: String| service.history().note(kind, wanted, None, text);
    match (before, done) {
        (None, Ok(())) => {}
        (Some(_), Ok(())) => note(EventKind::Over, format!("the catalogue {name} can be fetched again")),
        (before, Err(error)) if before == Some(error.to_string().as_str()) => {}
        (_, Err(error)) => note(EventKind::Found, format!("the catalogue {name} cannot be fetched: {error}")),
    }
}
