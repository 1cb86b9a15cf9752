//! `openmesh down`: stops the networks of a folder, whether a supervisor runs or was lost.

use std::path::Path;
use std::time::Duration;

use super::board::Board;
use super::home::{agent_folder, base, lock_file, networks, process_folders, venues_folder};
use super::supervisor::DRAIN;
use super::terminal::say;
use super::xnode;
use crate::cli::DownArgs;
use crate::failure::Failure;
use crate::presence::{self, Running};

/// Longest time that a supervisor may take to stop what it runs: validators and then the venues' server have ten seconds each, and the agent of the Xnode
/// two minutes, in which it may have to wait for an application.
const SUPERVISOR_SECONDS_MAX: u64 = 150;

/// A process of a network.
struct Found {
    name: String,
    running: Running,
    is_venues: bool,
}

/// Stops every network of the folder.
pub async fn run(arguments: DownArgs) -> Result<(), Failure> {
    let base = base(arguments.home.as_deref())?;
    if arguments.home.is_some() && !base.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", base.display()))
            .hint("name the folder that openmesh up was given; without --home it is ~/.openmesh"));
    }
    let mut stopped = 0;
    for root in networks(&base)? {
        stopped += stop_network(&root).await?;
    }
    if stopped == 0 {
        say(format_args!("nothing runs in {}", base.display()));
    }
    Ok(())
}

/// Stops one network and returns how many of its processes ran.
async fn stop_network(root: &Path) -> Result<usize, Failure> {
    let processes = find(root);
    let supervisor = presence::is_locked(&lock_file(root)).then(|| Board::read(root)?.process.open()).flatten();
    let has_agent = presence::find(&agent_folder(root)).is_some();
    if processes.is_empty() && supervisor.is_none() && !has_agent {
        return Ok(0);
    }
    say(format_args!("network  {}", root.display()));
    let mut count = processes.len() + usize::from(has_agent);
    if let Some(supervisor) = supervisor {
        count += 1;
        stop_supervisor(&supervisor).await?;
    }
    // Held, so that nobody starts what is being stopped.
    let path = lock_file(root);
    let lock = presence::try_lock(&path).map_err(|e| Failure::from_display(path.display(), &e))?;
    let _lock = lock.ok_or_else(|| Failure::new(format!("another openmesh up has begun in {}", root.display())))?;
    let (venues, nodes): (Vec<Found>, Vec<Found>) = processes.into_iter().partition(|found| found.is_venues);
    for group in [nodes, venues] {
        let outcomes = futures::future::join_all(group.iter().map(stop)).await;
        outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
    }
    // A process that was starting when it was looked for.
    let late = find(root);
    count += late.len();
    let outcomes = futures::future::join_all(late.iter().map(stop)).await;
    outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
    // The one that its supervisor has ended is not there any more.
    xnode::down(root).await;
    Ok(count)
}

async fn stop_supervisor(supervisor: &Running) -> Result<(), Failure> {
    let pid = supervisor.pid();
    say(format_args!("stopping the supervisor (process {pid}) and what it runs"));
    let by_itself = supervisor
        .stop(Duration::from_secs(SUPERVISOR_SECONDS_MAX))
        .await
        .map_err(|e| Failure::from_display(format!("process {pid} cannot be stopped"), &e))?;
    if !by_itself {
        say(format_args!("the supervisor did not end within {SUPERVISOR_SECONDS_MAX} s: killed"));
    }
    Ok(())
}

async fn stop(found: &Found) -> Result<(), Failure> {
    let (name, pid) = (&found.name, found.running.pid());
    let by_itself = found
        .running
        .stop(DRAIN)
        .await
        .map_err(|e| Failure::from_display(format!("{name} (process {pid}) cannot be stopped"), &e))?;
    match by_itself {
        true => say(format_args!("stopped  {name} (process {pid})")),
        false => say(format_args!("killed   {name} (process {pid}): it did not end within {} s", DRAIN.as_secs())),
    }
    Ok(())
}

fn find(root: &Path) -> Vec<Found> {
    let named = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    process_folders(root)
        .into_iter()
        .filter_map(|folder| {
            let (_, running) = presence::find(&folder)?;
            Some(Found { name: named(&folder), running, is_venues: folder == venues_folder(root) })
        })
        .collect()
}
