//! The face as it serves: its address, its end, and what is looked for while it is there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Gate, for_people};
use crate::error::AgentError;
use crate::settings::Settings;

/// Time that open requests have when the agent leaves: streams end at once, and nobody else is waited for longer.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause between two looks for what is over by a clock: a clock is seldom set, and a machine seldom sleeps.
const TIDY: Duration = Duration::from_secs(15);

/// A face that serves.
pub struct Face {
    leave: watch::Sender<bool>,
    serving: JoinHandle<()>,
    tidying: JoinHandle<()>,
    file: PathBuf,
}

impl Face {
    /// Begins to serve people. None where the settings have no face, or its address is another program's: then the agent goes on without it, and says so, since applications
    /// must not wait for that.
    ///
    /// # Errors
    /// The file with its address cannot be written.
    pub async fn begin(settings: &Settings, router: Router, gate: &Arc<Gate>) -> Result<Option<Face>, AgentError> {
        let file = settings.face_file();
        let _ = std::fs::remove_file(&file);
        let Some(wanted) = settings.face else { return Ok(None) };
        if !wanted.ip().is_loopback() {
            let words =
                format!("face: {wanted} is not on loopback; the door carries the face to the outside, with TLS");
            return Err(AgentError::Settings { path: settings.file(), words });
        }
        let listener = match TcpListener::bind(wanted).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%wanted, %error, "nobody is served but root: the face cannot be bound; another address stands as face in xnode.toml");
                return Ok(None);
            }
        };
        let bound = listener.local_addr().map_err(AgentError::file("asking for the address of", "the face"))?;
        openmesh_xnode::marks::replace(&file, format!("{bound}\n").as_bytes())
            .map_err(AgentError::file("writing", &file))?;
        let (leave, mut left) = watch::channel(false);
        let service = for_people(router, gate).into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let ends = async move {
                // Also where the sender is gone.
                let _ = left.wait_for(|left| *left).await;
            };
            if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(ends).await {
                tracing::error!(%error, "the face has ended");
            }
        });
        tracing::info!(address = %bound, "the face answers");
        let tidying = tokio::spawn(tidy(gate.clone(), leave.subscribe()));
        Ok(Some(Face { leave, serving, tidying, file }))
    }

    /// Ends it: nothing new is taken, and what is open has a moment.
    pub async fn end(self) {
        self.leave.send_replace(true);
        let mut serving = self.serving;
        if tokio::time::timeout(DRAIN, &mut serving).await.is_err() {
            serving.abort();
        }
        // Nothing of this face is written behind what comes next.
        let _ = self.tidying.await;
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Tidies until the face is left, also where its owner is gone.
async fn tidy(gate: Arc<Gate>, mut left: watch::Receiver<bool>) {
    let mut leaves = std::pin::pin!(async move {
        let _ = left.wait_for(|left| *left).await;
    });
    let mut pause = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            () = &mut leaves => return,
            _ = pause.tick() => {}
        }
        let gate = gate.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || gate.tidy()).await {
            tracing::error!(%error, "sessions are not tidied");
        }
    }
}
