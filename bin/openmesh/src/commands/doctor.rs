//! `openmesh doctor`: what is wrong with a node, and what to do.

use std::path::Path;
use std::time::Duration;

use openmesh_api::{
    IncidentInfo, NodeAlertSeverity, NodeState, Origin, Page, SourceInfo, SourceKind, Status, TroubleKind,
    ValidatorInfo,
};
use openmesh_primitives::Timestamp;

use super::client::Client;
use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::node::config::{Files, NodeConfig};
use crate::presence;
use crate::up::{self, Board};

/// No new block for this long means that consensus stands still, where blocks come about each second.
const BLOCK_AGE_MS_MIN: u64 = 10_000;
/// The same in idle blocks, of a network that is slower.
const BLOCK_AGE_BLOCKS: u64 = 10;
/// Tables follow the blocks at once: so many behind means that they stand still.
const TABLES_BEHIND_MAX: u64 = 60;
/// Free disk below which it is time to act, in MiB.
const DISK_MIB_MIN: u64 = 2_048;
/// Incidents shown.
const INCIDENTS_SHOWN: usize = 5;

/// Findings so far.
#[derive(Default)]
struct Findings {
    wrong: u32,
    odd: u32,
}

impl Findings {
    fn ok(&self, what: &str) {
        println!("ok     {what}");
    }
    fn odd(&mut self, what: &str, todo: &str) {
        self.odd += 1;
        println!("odd    {what}\n       -> {todo}");
    }
    fn wrong(&mut self, what: &str, todo: &str) {
        self.wrong += 1;
        println!("WRONG  {what}\n       -> {todo}");
    }
}

/// Looks at a node's API and, where given, its home. Fails where something is wrong.
pub async fn run(arguments: DoctorArgs) -> Result<(), Failure> {
    let mut findings = Findings::default();
    if let Some(home) = &arguments.home {
        inspect_folder(home, &mut findings)?;
    }
    let client = Client::new(&arguments.node.api)?;
    match client.get::<Status>("/v1/status").await {
        Err(failure) => {
            let start = "start it (openmesh up, openmesh node --home DIR), or name another with --api";
            findings.wrong(failure.message(), failure.what_to_do().unwrap_or(start));
        }
        Ok(status) => {
            let state = client.get::<NodeState>(openmesh_api::path::NODE).await;
            inspect_status(&status, state.as_ref().map_or(0, |state| state.idle_block_ms), &mut findings);
            inspect_alerts(&state?, &mut findings);
            inspect_sources(&client, &mut findings).await?;
            inspect_validators(&client, &status, &mut findings).await?;
            inspect_incidents(&client).await?;
        }
    }
    match (findings.wrong, findings.odd) {
        (0, 0) => println!("\nall is well"),
        (0, odd) => println!("\nnothing is wrong, {odd} thing{} to look at", if odd == 1 { "" } else { "s" }),
        (wrong, _) => {
            return Err(Failure::new(format!("{wrong} thing{} wrong", if wrong == 1 { " is" } else { "s are" })));
        }
    }
    Ok(())
}

/// A node's home, or the folder of one or more networks that `openmesh up` made.
fn inspect_folder(folder: &Path, findings: &mut Findings) -> Result<(), Failure> {
    if !folder.is_dir() {
        findings.wrong(&format!("{} is no folder", folder.display()), "name another with --home");
        return Ok(());
    }
    let networks = up::home::networks(folder)?;
    for network in &networks {
        let runs = presence::is_locked(&up::home::lock_file(network));
        inspect_supervisor(network, runs.then(|| Board::read(network)).flatten().as_ref(), findings);
        for home in up::home::process_folders(network).iter().filter(|home| Files::of(home).key().exists()) {
            inspect_home(home, findings);
        }
    }
    if networks.is_empty() {
        inspect_home(folder, findings);
    }
    Ok(())
}

/// Reports the state of a network's processes; `None` where nobody supervises them.
fn inspect_supervisor(network: &Path, board: Option<&Board>, findings: &mut Findings) {
    let Some(board) = board else {
        let processes = up::home::process_folders(network).iter().filter(|home| presence::find(home).is_some()).count();
        if processes > 0 {
            let what = format!("{processes} processes of {} run without a supervisor", network.display());
            findings.odd(&what, "openmesh up takes them over, openmesh down stops them");
        }
        return;
    };
    findings.ok(&format!("{} is supervised by process {}", network.display(), board.process.pid));
    for (name, part) in &board.parts {
        let ended = match &part.last_end {
            Some((time, how)) => format!("{name} ended {} times, last at {time} ({how})", part.ends),
            None => name.clone(),
        };
        let todo = format!("its log says why: {}", part.log.display());
        match (&part.trouble, part.pid) {
            (Some(trouble), _) => findings.wrong(&format!("{ended} and does not start: {trouble}"), &todo),
            (None, None) => findings.wrong(&format!("{ended} and is about to be started again"), &todo),
            (None, Some(pid)) if part.ends > 0 => findings.odd(&format!("{ended}; it runs as process {pid}"), &todo),
            (None, Some(pid)) => findings.ok(&format!("{name} runs as process {pid}")),
        }
    }
}

fn inspect_home(home: &Path, findings: &mut Findings) {
    let files = Files::of(home);
    match NodeConfig::read(&files) {
        Ok(_) => findings.ok(&format!("{} is understood", files.config().display())),
        Err(failure) => findings.wrong(failure.message(), "mend the file"),
    }
    for (path, todo) in [
        (files.genesis(), "take it from another node of the network"),
        (files.key(), "restore it from your backup; without it this node validates no more"),
    ] {
        if !path.exists() {
            findings.wrong(&format!("{} is missing", path.display()), todo);
        }
    }
    if let Ok(meta) = std::fs::metadata(files.key()) {
        use std::os::unix::fs::PermissionsExt;
        if meta.permissions().mode() & 0o077 != 0 {
            let todo = format!("chmod 600 {}", files.key().display());
            findings.wrong("the validator's key can be read by other users", &todo);
        }
    }
    match free_mib(home) {
        Some(free) if free < DISK_MIB_MIN => {
            findings.wrong(&format!("{free} MiB of disk are free"), "make room: a full disk stops the node");
        }
        Some(free) => findings.ok(&format!("{free} MiB of disk are free")),
        None => findings.odd("the free disk could not be read", "look with df -h"),
    }
}

fn free_mib(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize) >> 20)
}

/// Reports the age of the newest block, by the pace of a node whose idle blocks take so long.
fn inspect_age(age_seconds: i64, height: u64, idle_block_ms: u64, findings: &mut Findings) {
    let longest_ms = BLOCK_AGE_MS_MIN.max(idle_block_ms.saturating_mul(BLOCK_AGE_BLOCKS));
    match age_seconds > i64::try_from(longest_ms / 1_000).unwrap_or(i64::MAX) {
        true => findings.wrong(
            &format!("the newest block, height {height}, is {age_seconds} s old"),
            "more than a third of the validators may be down: look at them below, and at their logs",
        ),
        false => findings.ok(&format!("blocks are made: height {height}")),
    }
}

fn inspect_status(status: &Status, idle_block_ms: u64, findings: &mut Findings) {
    findings.ok(&format!(
        "{} answers: {} on {}, version {}",
        status.node.name, status.node.address, status.network, status.version
    ));
    match status.origin {
        Origin::Live => findings.ok("market data is live"),
        Origin::Simulated => findings.odd("market data is SIMULATED", "for real prices start with openmesh up --live"),
        Origin::Replay => {
            findings.odd("market data is replayed from recordings", "for live data start without --replay")
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let age = Timestamp::parse_rfc3339(status.time.as_bytes())
        .map(|t| i64::try_from(now.as_secs()).unwrap_or(i64::MAX) - t.millis() / 1_000);
    match age {
        Ok(age) => inspect_age(age, status.height, idle_block_ms, findings),
        Err(_) => findings.odd(&format!("block time {:?} is not understood", status.time), "are the versions alike?"),
    }
    let behind = status.height.saturating_sub(status.tables.height);
    if behind > TABLES_BEHIND_MAX && !status.syncing {
        findings.wrong(
            &format!("the tables are {behind} blocks behind: answers of SQL are old"),
            "is the disk full? See the node's log",
        );
    }
    if status.tables.chunks_missing > 0 {
        let what = format!("rows of {} agreed chunks are missing in the tables", status.tables.chunks_missing);
        findings.odd(&what, "they were given up; ask a node that has them");
    }
    if status.tables.chunks_unavailable > 0 {
        let what = format!("{} agreed chunks are held by no connected node", status.tables.chunks_unavailable);
        findings.odd(&what, "are the validators that attested them running and reachable?");
    }
    for disk in &status.disks {
        let free = disk.free_bytes >> 20;
        findings.wrong(&format!("the disk of {} is full: {free} MiB are free", disk.folder), "make room on it");
    }
    if status.syncing {
        findings.odd("the node is behind its peers and catches up", "wait; look again in a minute");
    }
    if status.peers + 1 < status.validators {
        let what = format!("connected to {} of {} other validators", status.peers, status.validators.saturating_sub(1));
        findings.odd(&what, "are the others running, and their ports reachable?");
    }
    if status.chunks_accepted == 0 {
        findings.odd("no chunk has been agreed on yet", "the first takes a window and a few seconds; look again");
    }
}

/// Open alerts of the node, as `openmesh validator status` tells them.
fn inspect_alerts(state: &NodeState, findings: &mut Findings) {
    for alert in &state.alerts {
        match alert.severity {
            NodeAlertSeverity::Critical => findings.wrong(&alert.cause, &alert.remedy),
            NodeAlertSeverity::Warning => findings.odd(&alert.cause, &alert.remedy),
        }
    }
}

async fn inspect_sources(client: &Client, findings: &mut Findings) -> Result<(), Failure> {
    let sources: Page<SourceInfo> = client.get("/v1/sources").await?;
    sources.items.iter().for_each(|source| inspect_source(source, findings));
    Ok(())
}

fn inspect_source(source: &SourceInfo, findings: &mut Findings) {
    let silent = source.silent_ms.map_or("since the start".into(), |ms| format!("for {} s", ms / 1_000));
    let old = format!("{} is silent {silent}: what is shown of it is old", source.id);
    let troubles = source.collection.iter().flat_map(|collection| &collection.troubles);
    for trouble in troubles.filter(|trouble| trouble.kind != TroubleKind::Silent) {
        findings.wrong(&format!("{}: {}", source.id, trouble.detail), "look at the disk, and at this node's log");
    }
    match (source.stale, source.kind) {
        (_, SourceKind::Market) if source.collection.is_none() => {
            findings.ok(&format!("{}: not collected by this node", source.id))
        }
        (false, SourceKind::Chain) => findings.ok(&format!("{}: no block {silent}, as is usual", source.id)),
        (false, _) => findings.ok(&format!(
            "{}: {:.0} events/s, {} incidents here",
            source.id, source.events_per_second, source.incidents
        )),
        // A recording of blocks ends and does not begin again.
        (true, SourceKind::Chain) if source.origin == Origin::Replay => {
            findings.odd(&old, "the recording may have come to its end")
        }
        (true, SourceKind::Chain) => {
            findings.wrong(&old, "is the chain's node reachable (node.toml, collect.ethereum)? See the log")
        }
        (true, _) => {
            findings.wrong(&old, "is the venue reachable from here? See the collector's incidents below");
        }
    }
}

async fn inspect_validators(client: &Client, status: &Status, findings: &mut Findings) -> Result<(), Failure> {
    let validators: Page<ValidatorInfo> = client.get("/v1/validators").await?;
    for validator in &validators.items {
        let silent = validator.last_signed_height.is_none_or(|h| h + validator.recent.max(1) < status.height);
        let name = format!("{} ({})", validator.name, validator.address);
        if silent && status.height > 0 {
            findings.odd(&format!("{name} has not signed any recent block"), "is it running?");
        } else if validator.recent > 0 && validator.signed_recent * 2 < validator.recent {
            let what = format!("{name} signed {} of the last {} blocks", validator.signed_recent, validator.recent);
            findings.odd(&what, "is it overloaded or badly connected?");
        }
        if validator.differing > 0 {
            findings.odd(
                &format!("{name} differed from the agreed data {} times", validator.differing),
                "its collectors see something else than the others: look at the incidents",
            );
        }
    }
    Ok(())
}

async fn inspect_incidents(client: &Client) -> Result<(), Failure> {
    let incidents: Page<IncidentInfo> = client.get(&format!("/v1/incidents?limit={INCIDENTS_SHOWN}")).await?;
    if !incidents.items.is_empty() {
        println!("\nlast incidents:");
        for incident in &incidents.items {
            println!(
                "  {}  {}  {}  {}",
                incident.time,
                incident.kind,
                incident.source.as_deref().unwrap_or("-"),
                incident.detail
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_api::SourceCollection;

    /// Numbers of wrong and odd findings about a source.
    fn found(kind: SourceKind, origin: Origin, stale: bool) -> (u32, u32) {
        let source = SourceInfo {
            id: "s".into(),
            exchange: "e".into(),
            kind,
            origin,
            symbols: Vec::new(),
            feeds: Vec::new(),
            window_ms: 1,
            assigned: Vec::new(),
            epoch: 0,
            last_window: None,
            last_event_time: None,
            silent_ms: Some(200_000),
            stale,
            events_per_second: 0.0,
            incidents: 0,
            collection: Some(SourceCollection::default()),
        };
        let mut findings = Findings::default();
        inspect_source(&source, &mut findings);
        (findings.wrong, findings.odd)
    }

    #[test]
    fn a_recording_of_a_chain_that_has_ended_is_nothing_wrong() {
        assert_eq!(found(SourceKind::Chain, Origin::Replay, true), (0, 1));
        assert_eq!(found(SourceKind::Chain, Origin::Live, true), (1, 0));
        assert_eq!(found(SourceKind::Chain, Origin::Live, false), (0, 0));
        assert_eq!(found(SourceKind::Market, Origin::Replay, true), (1, 0));
    }

    #[test]
    fn a_block_is_old_by_the_pace_of_its_network() {
        let is_wrong = |age_seconds, idle_block_ms| {
            let mut findings = Findings::default();
            inspect_age(age_seconds, 7, idle_block_ms, &mut findings);
            findings.wrong > 0
        };
        for idle_block_ms in [0, 200, 1_000] {
            assert!(!is_wrong(10, idle_block_ms) && is_wrong(11, idle_block_ms), "{idle_block_ms}");
        }
        assert!(!is_wrong(600, 60_000) && is_wrong(601, 60_000), "a block a minute");
        assert!(!is_wrong(-5, 1_000), "a clock that is behind");
    }

    #[test]
    fn a_process_that_does_not_come_back_is_wrong_and_one_that_did_is_odd() {
        let dir = tempfile::tempdir().unwrap();
        let board: Board = serde_json::from_value(serde_json::json!({
            "process": { "pid": 1, "started_ticks": 2, "boot": "b" },
            "parts": {
                "validator-0": { "pid": 7, "ends": 0, "last_end": null, "trouble": null, "log": "l" },
                "validator-1": { "pid": 8, "ends": 2, "last_end": ["t", "signal 9"], "trouble": null, "log": "l" },
                "validator-2": { "pid": null, "ends": 5, "last_end": ["t", "exit code 1"], "trouble": "no log", "log": "l" },
            }
        }))
        .unwrap();
        let mut findings = Findings::default();
        inspect_supervisor(dir.path(), Some(&board), &mut findings);
        assert_eq!((findings.wrong, findings.odd), (1, 1));
    }
}
