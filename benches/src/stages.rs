//! Stages of a backup and of a verified restore: where the time goes, before anybody makes it shorter. Needs no peer, and root for a cold cache alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use openmesh_backup::{Folder, Identity, Order, Owners, Repository, Restoration, Special, Stage, Stages, open};
use openmesh_primitives::Timestamp;
use serde_json::{Value, json};

use crate::proc::processor_time;
use crate::tree;
use crate::xnode::cool;

/// Arguments of `stages`.
#[derive(Debug, Args)]
pub struct StagesArgs {
    /// Files of 16 MiB.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    files: u64,
    /// Runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Folder on the disk that is measured: that of temporary files where not given.
    #[arg(long, value_name = "FOLDER")]
    at: Option<PathBuf>,
    /// Drop the kernel's caches of files before each backup and each restore, as root.
    #[arg(long)]
    cold: bool,
}

/// Backs up and restores a tree some times, and prints the time of each stage.
///
/// # Errors
/// A backup or a restore failed; the caches cannot be dropped.
pub fn run(arguments: &StagesArgs) -> anyhow::Result<()> {
    let at = arguments.at.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("openmesh-bench-").tempdir_in(at)?;
    let root = folder.path().join("tree");
    tree::make(&root, arguments.files)?;
    for number in 0..arguments.runs {
        let place = tempfile::tempdir_in(folder.path())?;
        both(arguments, number, &root, place.path())?;
    }
    Ok(())
}

fn both(arguments: &StagesArgs, number: u64, root: &Path, place: &Path) -> anyhow::Result<()> {
    let (owner, target) = (Identity::generate()?, place.join("back"));
    let store = Folder::open(place.join("repository"))?;
    Repository::create(&store, &[owner.recipient()], &open)?;
    let opened = |stages: &Arc<Stages>| {
        let repository = Repository::open(&store, std::slice::from_ref(&owner), None);
        repository.map(|repository| repository.watched(stages.clone()))
    };
    let order = Order {
        root,
        labels: std::collections::BTreeMap::new(),
        time: Timestamp::now(),
        writer: "bench",
        special: Special::Refuse,
    };
    let snapshot = timed(arguments, "backup", number, |stages| Ok(opened(stages)?.backup(&order, &open)?.snapshot))?;
    let order = Restoration { snapshot, target: &target, owners: Owners::Callers, verify: true };
    timed(arguments, "restore", number, |stages| Ok(opened(stages)?.restore(&order, &open)?)).map(drop)
}

/// Does something and prints its time, that of the processors, and that of each stage over all threads.
fn timed<T>(
    arguments: &StagesArgs,
    act: &str,
    number: u64,
    doing: impl FnOnce(&Arc<Stages>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if arguments.cold {
        cool()?;
    }
    let stages = Arc::new(Stages::default());
    let processors = || processor_time(std::process::id());
    let (begun, before) = (Instant::now(), processors());
    let done = doing(&stages)?;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), processors().saturating_sub(before).as_secs_f64());
    let told = Stage::ALL.into_iter().filter(|stage| stages.spent(*stage).times > 0);
    let line = json!({
        "benchmark": "stages",
        "act": act,
        "run": number,
        "cold": arguments.cold,
        "bytes": tree::bytes(arguments.files),
        "seconds": rounded(seconds),
        "cpu_seconds": rounded(cpu),
        "stages": told.map(|stage| figures(&stages, stage)).collect::<Vec<Value>>(),
    });
    println!("{line}");
    Ok(done)
}

fn figures(stages: &Stages, stage: Stage) -> Value {
    let spent = stages.spent(stage);
    let seconds = spent.time.as_secs_f64();
    let pace = if seconds > 0.0 { (spent.bytes as f64 / seconds / 1e6).round() } else { 0.0 };
    json!({
        "stage": stage.word(),
        "seconds": rounded(seconds),
        "times": spent.times,
        "bytes": spent.bytes,
        "megabytes_per_second": pace,
    })
}

/// Seconds to the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
