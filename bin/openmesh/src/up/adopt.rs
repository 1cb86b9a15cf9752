//! Taking over what an earlier supervisor left running.
//!
//! A process is taken over only where everything speaks for it: its record's number, start time and boot are those of a
//! process that runs, the folder's lock is held, its API answers, and its network is this one. Where something does not
//! match, it is stopped in order and started afresh.

use std::time::Duration;

use openmesh_api::Status;
use openmesh_ledger::Genesis;

use super::catalogue::VenuesReady;
use super::home::NodeHome;
use super::process::{Process, Program};
use super::settings::{Wanted, former};
use super::supervisor::DRAIN;
use super::terminal::{command, say};
use crate::failure::Failure;
use crate::presence::{self, Build, Record, Running};

/// Longest time until a running process serves: it may have been started a moment before its supervisor was lost.
const SERVES_SECONDS_MAX: u64 = 120;
/// Longest wait for an answer of its API, in seconds: it may be replaying, or the machine busy with the others' starts.
const ANSWER_SECONDS_MAX: u64 = 10;

/// A validator that runs and may go on, with the address of its API.
pub async fn node(node: &NodeHome, number: usize, wanted: &Wanted<'_>) -> Result<Option<(Process, String)>, Failure> {
    let Some((_, running)) = presence::find(&node.dir) else { return Ok(None) };
    let Some((record, ready)) = serving(&node.dir, &running).await else {
        return stop(&node.name, running, "does not serve").await;
    };
    let as_wanted = former(node).is_some_and(|config| {
        config.collect == wanted.collect()
            && config.xnode.face == wanted.xnode().face
            && wanted.drill(number).is_ok_and(|d| d == config.drill)
    });
    if !as_wanted {
        return stop(&node.name, running, "was started with other settings").await;
    }
    let api = ready.get("api").and_then(|api| api.as_str()).map(reachable).unwrap_or_default();
    if let Err(why) = answers(&api, wanted.genesis).await {
        return stop(&node.name, running, &why).await;
    }
    say_build(&node.name, &record);
    Ok(Some((Program::node(node).adopt(running), api)))
}

/// The venues' server that runs as wanted, with what it announced.
pub async fn venues(program: &Program) -> Result<Option<(Process, VenuesReady)>, Failure> {
    let Some((record, running)) = presence::find(program.folder()) else { return Ok(None) };
    if !program.is_as_recorded(&record) {
        return stop(program.name(), running, "was started with other settings").await;
    }
    let Some((record, ready)) = serving(program.folder(), &running).await else {
        return stop(program.name(), running, "does not serve").await;
    };
    let Ok(ready) = serde_json::from_value::<VenuesReady>(ready) else {
        return stop(program.name(), running, "announces something else than expected").await;
    };
    if tokio::net::TcpStream::connect(ready.venues).await.is_err() {
        return stop(program.name(), running, "does not answer").await;
    }
    say_build(program.name(), &record);
    Ok(Some((program.clone().adopt(running), ready)))
}

/// The record of a running process once it serves, and what it announces.
async fn serving(folder: &std::path::Path, running: &Running) -> Option<(Record, serde_json::Value)> {
    let serves = async {
        loop {
            if let Some((record, now)) = presence::find(folder)
                && now.pid() == running.pid()
                && let Some(ready) = record.ready.clone()
            {
                return (record, ready);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        found = serves => Some(found),
        () = running.ended() => None,
        () = tokio::time::sleep(Duration::from_secs(SERVES_SECONDS_MAX)) => None,
    }
}

/// Checks that the API at this address answers and is one of this network; fails with the reason.
async fn answers(api: &str, genesis: &Genesis) -> Result<(), String> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(ANSWER_SECONDS_MAX)).build();
    let http = http.map_err(|e| e.to_string())?;
    let answer = http.get(format!("http://{api}/v1/status")).send().await.map_err(|_| "does not answer".to_owned())?;
    let status: Status = answer.json().await.map_err(|_| "answers something else than expected".to_owned())?;
    match status.chain_id == genesis.chain_id && status.network == genesis.name {
        true => Ok(()),
        false => Err(format!("belongs to another network ({})", status.network)),
    }
}

/// The address at which this machine reaches a socket that listens there.
pub fn reachable(api: &str) -> String {
    api.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
}

async fn stop<T>(name: &str, running: Running, why: &str) -> Result<Option<T>, Failure> {
    say(format_args!("{name} runs (process {}) but {why}: stopped, and started again", running.pid()));
    running.stop(DRAIN).await.map_err(|e| Failure::from_display(format!("{name} cannot be stopped"), &e))?;
    Ok(None)
}

fn say_build(name: &str, record: &Record) {
    if Build::own().is_ok_and(|own| own != record.build) {
        say(format_args!(
            "warning  {name} runs another build of openmesh: to change it, {} down, and up again",
            command()
        ));
    }
}
