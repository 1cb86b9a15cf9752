//! `openmesh node`: one validator in one process. Here the rooms are joined and none of their work is done.

mod chains;
mod collecting;
pub mod config;
mod drill;
mod gossip;
mod joining;
mod retention;
mod running;
mod start;

use std::io::Write as _;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::NodeArgs;
use crate::failure::{Failure, OrFail as _};
use crate::presence::Presence;
use config::{Files, NodeConfig};

/// Runs a node until it is told to stop or a part of it ends.
pub async fn run(arguments: NodeArgs) -> Result<(), Failure> {
    let files = Files::of(&arguments.home);
    let config = NodeConfig::read(&files)?;
    let key = files.read_key()?;
    let genesis = files.read_genesis()?;
    let mut presence = Presence::take(&files.home).await.or_fail(files.home.display())?;
    let mut interrupt = signal(SignalKind::interrupt()).or_fail("signals")?;
    let mut terminate = signal(SignalKind::terminate()).or_fail("signals")?;
    // A join may take a while: it is left where it is when the process is told to stop, and goes on with the next start.
    let mut running = tokio::select! {
        started = start::start(&config, &files, key, genesis) => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let ready = serde_json::json!({ "ready": true, "api": running.api.to_string() });
    // Whoever started it may have gone.
    let _ = writeln!(std::io::stdout(), "{ready}");
    presence.ready(ready).or_fail("the record of this process")?;
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        failure = running.broken() => Err(failure),
    };
    running.drain().await;
    outcome
}
