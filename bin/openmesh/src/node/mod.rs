//! `openmesh node`: one validator in one process. Here the rooms are joined and none of their work is done.

mod collecting;
pub mod config;
mod drill;
mod gossip;
mod running;
mod start;

use std::fs::File;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::NodeArgs;
use crate::failure::{Failure, OrFail as _};
use config::{Files, NodeConfig};

/// Time to wait for an earlier process of the same home: longer than it has to drain.
const FORMER_SECONDS_MAX: u64 = 30;

/// Runs a node until it is told to stop or a part of it ends.
pub async fn run(arguments: NodeArgs) -> Result<(), Failure> {
    let files = Files::of(&arguments.home);
    let config = NodeConfig::read(&files)?;
    let key = files.read_key()?;
    let genesis = files.read_genesis()?;
    let _lock = lock(&files).await?;
    let mut interrupt = signal(SignalKind::interrupt()).or_fail("signals")?;
    let mut terminate = signal(SignalKind::terminate()).or_fail("signals")?;
    let mut running = start::start(&config, &files, key, genesis).await?;
    println!("{}", serde_json::json!({ "ready": true, "api": running.api.to_string() }));
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        failure = running.broken() => Err(failure),
    };
    running.drain().await;
    outcome
}

/// Locks a home for this process; waits until an earlier one has drained. After a supervisor was killed and started again
/// at once, its children may still be writing.
async fn lock(files: &Files) -> Result<File, Failure> {
    let path = files.home.join("node.lock");
    let lock = File::create(&path).map_err(|e| Failure::from_display(path.display(), &e))?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(FORMER_SECONDS_MAX);
    let mut said = false;
    while lock.try_lock().is_err() {
        if !std::mem::replace(&mut said, true) {
            let home = files.home.display();
            eprintln!("another node runs in {home}: waiting up to {FORMER_SECONDS_MAX} s for it to end");
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Failure::new(format!("another node runs in {}", files.home.display()))
                .hint("stop it, or give this one a home of its own"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(lock)
}
