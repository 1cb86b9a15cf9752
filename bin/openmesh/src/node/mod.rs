//! `openmesh node`: one validator in one process. Here the rooms are joined and none of their work is done.

pub mod card;
mod chains;
mod collecting;
pub mod config;
mod drill;
pub mod entry;
mod gossip;
pub mod health;
mod joining;
mod operator;
pub mod peer;
pub mod ports;
mod readiness;
mod retention;
mod room;
mod running;
mod start;
mod twin;
mod wait;

use std::io::Write as _;
use std::net::SocketAddr;

use openmesh_ledger::{Genesis, RuleSets};
use openmesh_primitives::ValidatorKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::cli::NodeArgs;
use crate::failure::{Failure, OrFail as _};
use crate::presence::Presence;
use config::{Files, NodeConfig};
use room::Room;

/// Runs a node until it is told to stop or a part of it ends. Where its disk has no room it stops in order, waits for room and
/// starts again.
pub async fn run(arguments: NodeArgs, rule_sets: RuleSets) -> Result<(), Failure> {
    let files = Files::of(&arguments.home);
    let mut config = NodeConfig::read(&files)?;
    entry::apply(&mut config, &files, &arguments)?;
    let key = files.read_key()?;
    // What is wrong with a file is said before anything is waited for.
    if files.genesis().exists() {
        files.read_genesis()?;
    }
    let presence = Presence::take(&files.home).await.or_fail(files.home.display())?;
    let mut asked = Asked::new()?;
    ports::check(&config)?;
    let genesis = tokio::select! {
        genesis = entry::genesis(&files, &config) => genesis?,
        () = asked.wait() => return Ok(()),
    };
    let room = Room::of(&files);
    Node { files, config, key, genesis, presence, asked, room, rule_sets }.run().await
}

/// Signals that ask this process to stop.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    fn new() -> Result<Asked, Failure> {
        Ok(Asked {
            interrupt: signal(SignalKind::interrupt()).or_fail("signals")?,
            terminate: signal(SignalKind::terminate()).or_fail("signals")?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The end of a node's run.
enum End {
    /// It was asked to.
    Asked,
    /// Its disk has no room; its parts drain.
    NoRoom(Draining),
}

/// The parts of a run that ended for lack of room, which drain; then the transactions that it had accepted and that are in no
/// block yet.
type Draining = JoinHandle<Vec<Vec<u8>>>;

/// A node as it is before, between and after its runs.
struct Node {
    files: Files,
    config: NodeConfig,
    key: ValidatorKey,
    genesis: Genesis,
    presence: Presence,
    asked: Asked,
    room: Room,
    rule_sets: RuleSets,
}

impl Node {
    async fn run(mut self) -> Result<(), Failure> {
        let mut draining = None;
        loop {
            self.room.look().await;
            let mut waiting = Vec::new();
            if draining.is_some() || self.room.lacking(room::START_BYTES).is_some() {
                let Some(accepted) = self.wait_for_room(draining.take()).await? else { return Ok(()) };
                waiting = accepted;
            }
            match self.serve(waiting).await? {
                End::Asked => return Ok(()),
                End::NoRoom(parts) => draining = Some(parts),
            }
        }
    }

    /// Starts all parts, hands the transactions in that an earlier run had accepted, and lets the parts run.
    async fn serve(&mut self, waiting: Vec<Vec<u8>>) -> Result<End, Failure> {
        let (key, genesis) = (self.key.clone(), self.genesis.clone());
        let started = start::start(&self.config, &self.files, key, genesis, &self.room, &self.rule_sets);
        // A join may take a while: it is left where it is when the process is told to stop, and goes on with the next start.
        let (mut running, engine) = tokio::select! {
            started = started => started?,
            () = self.asked.wait() => return Ok(End::Asked),
        };
        self.announce(running.api)?;
        let again = tokio::spawn(hand_in_again(engine.clone(), waiting));
        let (failure, full) = tokio::select! {
            () = self.asked.wait() => (None, false),
            failure = running.broken() => (Some(failure), false),
            disk = self.room.runs_out() => {
                let failure = format!("{} has {} MiB free", disk.folder, disk.free_bytes >> 20);
                (Some(Failure::new(failure)), true)
            }
        };
        again.abort();
        let Some(failure) = failure else {
            running.drain().await;
            return Ok(End::Asked);
        };
        // The disk may have been filled between two looks.
        self.room.look().await;
        if full || self.room.lacking(room::STOP_BYTES).is_some() {
            tracing::error!(failure = failure.message(), "this node stops until there is room on its disk");
            return Ok(End::NoRoom(tokio::spawn(async move {
                running.drain().await;
                engine.waiting()
            })));
        }
        running.drain().await;
        Err(failure)
    }

    /// Records that this process answers, and where.
    fn announce(&mut self, api: SocketAddr) -> Result<(), Failure> {
        // The same address also after a pause.
        self.config.api = api;
        let ready = serde_json::json!({ "ready": true, "api": api.to_string() });
        if self.presence.is_ready(&ready) {
            return Ok(());
        }
        // Whoever started it may have gone.
        let _ = writeln!(std::io::stdout(), "{ready}");
        self.presence.ready(ready).or_fail("the record of this process")
    }
}

/// Hands transactions in that this node had accepted before it paused. What other nodes have put into a block meanwhile is refused,
/// as it must be.
async fn hand_in_again(engine: openmesh_engine::Handle, waiting: Vec<Vec<u8>>) {
    let total = waiting.len();
    let mut taken = 0;
    for transaction in waiting {
        match engine.submit_own(transaction).await {
            Ok(_) => taken += 1,
            Err(error) => tracing::debug!(%error, "a transaction from before the pause is not taken again"),
        }
    }
    if total > 0 {
        tracing::info!(total, taken, "transactions from before the pause were handed in again");
    }
}
